//! `pluginregistration` v1: a plugin puts a socket into a directory of the node, the node asks who it is and tells whether it was
//! taken.

use prost::Message;

/// Asks who the plugin is.
pub const GET_INFO: &str = "/pluginregistration.Registration/GetInfo";
/// Tells it whether it was taken.
pub const NOTIFY: &str = "/pluginregistration.Registration/NotifyRegistrationStatus";
/// The kind of drivers of volumes.
pub const CSI_PLUGIN: &str = "CSIPlugin";
/// The kind of those that have devices.
pub const DEVICE_PLUGIN: &str = "DevicePlugin";

/// The question who a plugin is, and other messages without fields.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Empty {}

/// Who a plugin is.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PluginInfo {
    /// What it is: [`CSI_PLUGIN`] or [`DEVICE_PLUGIN`].
    #[prost(string, tag = "1")]
    pub kind: String,
    /// Its name, for drivers that of the driver.
    #[prost(string, tag = "2")]
    pub name: String,
    /// The socket of its service, if that is another one.
    #[prost(string, tag = "3")]
    pub endpoint: String,
    /// The versions of the API that it speaks.
    #[prost(string, repeated, tag = "4")]
    pub supported_versions: Vec<String>,
}

/// Whether a plugin was taken.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RegistrationStatus {
    /// Whether it was.
    #[prost(bool, tag = "1")]
    pub plugin_registered: bool,
    /// Why not.
    #[prost(string, tag = "2")]
    pub error: String,
}
