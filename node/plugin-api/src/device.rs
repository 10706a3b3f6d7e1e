//! The API of device plugins, v1beta1: a plugin tells the node which devices it has, and what a container needs to use some.

use std::collections::BTreeMap;

use prost::Message;

/// The only version.
pub const VERSION: &str = "v1beta1";
/// The health of a device that can be given to containers.
pub const HEALTHY: &str = "Healthy";
/// A plugin calls the node.
pub const REGISTER: &str = "/v1beta1.Registration/Register";
/// What the plugin wants to be asked.
pub const GET_OPTIONS: &str = "/v1beta1.DevicePlugin/GetDevicePluginOptions";
/// All its devices, again and again.
pub const LIST_AND_WATCH: &str = "/v1beta1.DevicePlugin/ListAndWatch";
/// Which devices are best given together.
pub const GET_PREFERRED: &str = "/v1beta1.DevicePlugin/GetPreferredAllocation";
/// What a container needs to use devices.
pub const ALLOCATE: &str = "/v1beta1.DevicePlugin/Allocate";
/// Makes devices ready before a container starts.
pub const PRE_START: &str = "/v1beta1.DevicePlugin/PreStartContainer";

/// What a plugin wants to be asked.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct Options {
    /// [`PRE_START`].
    #[prost(bool, tag = "1")]
    pub pre_start_required: bool,
    /// [`GET_PREFERRED`].
    #[prost(bool, tag = "2")]
    pub get_preferred_allocation_available: bool,
}

/// A plugin that is there.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RegisterRequest {
    /// The version of the API it speaks.
    #[prost(string, tag = "1")]
    pub version: String,
    /// The name of its socket, beside the node's.
    #[prost(string, tag = "2")]
    pub endpoint: String,
    /// The name of the resource that its devices are: `example.com/gpu`.
    #[prost(string, tag = "3")]
    pub resource_name: String,
    /// What it wants to be asked.
    #[prost(message, optional, tag = "4")]
    pub options: Option<Options>,
}

/// All devices of a plugin.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Devices {
    /// One by one.
    #[prost(message, repeated, tag = "1")]
    pub devices: Vec<Device>,
}

/// A device.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Device {
    /// Its name within the resource.
    #[prost(string, tag = "1")]
    pub id: String,
    /// [`HEALTHY`], or something else.
    #[prost(string, tag = "2")]
    pub health: String,
    /// Where it is.
    #[prost(message, optional, tag = "3")]
    pub topology: Option<TopologyInfo>,
}

/// Where a device is.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct TopologyInfo {
    /// The NUMA nodes it is near.
    #[prost(message, repeated, tag = "1")]
    pub nodes: Vec<NumaNode>,
}

/// A NUMA node of the machine.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct NumaNode {
    /// Its number.
    #[prost(int64, tag = "1")]
    pub id: i64,
}

/// Devices that a container is to start with.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PreStartRequest {
    /// Their names.
    #[prost(string, repeated, tag = "1")]
    pub devices_ids: Vec<String>,
}

/// Which devices to choose from.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PreferredRequest {
    /// By container.
    #[prost(message, repeated, tag = "1")]
    pub container_requests: Vec<ContainerPreferredRequest>,
}

/// Which devices to choose from for one container.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ContainerPreferredRequest {
    /// Those nobody has.
    #[prost(string, repeated, tag = "1")]
    pub available_device_ids: Vec<String>,
    /// Those that must be among the chosen.
    #[prost(string, repeated, tag = "2")]
    pub must_include_device_ids: Vec<String>,
    /// How many.
    #[prost(int32, tag = "3")]
    pub allocation_size: i32,
}

/// Which devices are best.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PreferredResponse {
    /// By container.
    #[prost(message, repeated, tag = "1")]
    pub container_responses: Vec<ContainerPreferredResponse>,
}

/// Which devices are best for one container.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ContainerPreferredResponse {
    /// Their names.
    #[prost(string, repeated, tag = "1")]
    pub device_ids: Vec<String>,
}

/// Devices that containers are given.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AllocateRequest {
    /// By container.
    #[prost(message, repeated, tag = "1")]
    pub container_requests: Vec<ContainerAllocateRequest>,
}

/// Devices that one container is given.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ContainerAllocateRequest {
    /// Their names.
    #[prost(string, repeated, tag = "1")]
    pub devices_ids: Vec<String>,
}

/// What containers need.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AllocateResponse {
    /// By container.
    #[prost(message, repeated, tag = "1")]
    pub container_responses: Vec<ContainerAllocateResponse>,
}

/// What one container needs.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ContainerAllocateResponse {
    /// Environment.
    #[prost(btree_map = "string, string", tag = "1")]
    pub envs: BTreeMap<String, String>,
    /// Files.
    #[prost(message, repeated, tag = "2")]
    pub mounts: Vec<Mount>,
    /// Devices.
    #[prost(message, repeated, tag = "3")]
    pub devices: Vec<DeviceSpec>,
    /// Annotations for the runtime.
    #[prost(btree_map = "string, string", tag = "4")]
    pub annotations: BTreeMap<String, String>,
    /// Devices by their names in files of the Container Device Interface.
    #[prost(message, repeated, tag = "5")]
    pub cdi_devices: Vec<CdiDevice>,
}

/// A file or directory of the node in a container.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Mount {
    /// Where in the container.
    #[prost(string, tag = "1")]
    pub container_path: String,
    /// Where on the node.
    #[prost(string, tag = "2")]
    pub host_path: String,
    /// Whether it is only read.
    #[prost(bool, tag = "3")]
    pub read_only: bool,
}

/// A device of the node in a container.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct DeviceSpec {
    /// Where in the container.
    #[prost(string, tag = "1")]
    pub container_path: String,
    /// Where on the node.
    #[prost(string, tag = "2")]
    pub host_path: String,
    /// `r`, `w` and `m`.
    #[prost(string, tag = "3")]
    pub permissions: String,
}

/// A device that a file of the Container Device Interface describes.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct CdiDevice {
    /// `vendor/class=name`.
    #[prost(string, tag = "1")]
    pub name: String,
}
