//! How full a volume is.

use prost::Message;

/// `NodeGetVolumeStats`.
pub const VOLUME_STATS: &str = "/csi.v1.Node/NodeGetVolumeStats";

/// Asks how full a volume is.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct VolumeStatsRequest {
    /// The volume.
    #[prost(string, tag = "1")]
    pub volume_id: String,
    /// Where a Pod has it.
    #[prost(string, tag = "2")]
    pub volume_path: String,
    /// Where it is staged, if it is.
    #[prost(string, tag = "3")]
    pub staging_target_path: String,
}

/// How full it is.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct VolumeStats {
    /// By what is counted.
    #[prost(message, repeated, tag = "1")]
    pub usage: Vec<VolumeUsage>,
}

/// How much of it there is; 0 is not told.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct VolumeUsage {
    /// What is left.
    #[prost(int64, tag = "1")]
    pub available: i64,
    /// All.
    #[prost(int64, tag = "2")]
    pub total: i64,
    /// What is taken.
    #[prost(int64, tag = "3")]
    pub used: i64,
    /// What is counted.
    #[prost(enumeration = "Unit", tag = "4")]
    pub unit: i32,
}

/// What is counted of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Unit {
    /// Nothing.
    Unknown = 0,
    /// Bytes.
    Bytes = 1,
    /// Files and directories.
    Inodes = 2,
}
