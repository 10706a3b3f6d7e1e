//! The node's part of CSI v1: a volume is staged once for a node and published for each Pod.

mod volume_stats;

use std::collections::BTreeMap;

use prost::{Message, Oneof};

pub use volume_stats::{Unit, VOLUME_STATS, VolumeStats, VolumeStatsRequest, VolumeUsage};

/// `NodeGetInfo`.
pub const GET_INFO: &str = "/csi.v1.Node/NodeGetInfo";
/// `NodeGetCapabilities`.
pub const GET_CAPABILITIES: &str = "/csi.v1.Node/NodeGetCapabilities";
/// `NodeStageVolume`.
pub const STAGE: &str = "/csi.v1.Node/NodeStageVolume";
/// `NodeUnstageVolume`.
pub const UNSTAGE: &str = "/csi.v1.Node/NodeUnstageVolume";
/// `NodePublishVolume`.
pub const PUBLISH: &str = "/csi.v1.Node/NodePublishVolume";
/// `NodeUnpublishVolume`.
pub const UNPUBLISH: &str = "/csi.v1.Node/NodeUnpublishVolume";
/// `NodeExpandVolume`.
pub const EXPAND: &str = "/csi.v1.Node/NodeExpandVolume";

/// What a driver calls the node, and what it knows of it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct NodeInfo {
    /// Its name for the node.
    #[prost(string, tag = "1")]
    pub node_id: String,
    /// How many volumes it can attach here; 0 tells no limit.
    #[prost(int64, tag = "2")]
    pub max_volumes_per_node: i64,
    /// Where the node is.
    #[prost(message, optional, tag = "3")]
    pub accessible_topology: Option<Topology>,
}

/// Where something is, by labels.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Topology {
    /// The labels.
    #[prost(btree_map = "string, string", tag = "1")]
    pub segments: BTreeMap<String, String>,
}

/// What a driver can do on a node.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Capabilities {
    /// One by one.
    #[prost(message, repeated, tag = "1")]
    pub capabilities: Vec<NodeCapability>,
}

/// One thing a driver can do.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct NodeCapability {
    /// If it is a call.
    #[prost(message, optional, tag = "1")]
    pub rpc: Option<RpcCapability>,
}

/// Something a driver can be called for.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct RpcCapability {
    /// Which: a [`Capability`], or one this node does not know.
    #[prost(enumeration = "Capability", tag = "1")]
    pub kind: i32,
}

/// What drivers can be called for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Capability {
    /// None.
    Unknown = 0,
    /// Volumes are staged before they are published.
    StageUnstageVolume = 1,
    /// It tells how full a volume is.
    GetVolumeStats = 2,
    /// It lets what is on a volume grow.
    ExpandVolume = 3,
    /// It tells how a volume is.
    VolumeCondition = 4,
    /// It tells one writer from one node with several.
    SingleNodeMultiWriter = 5,
    /// It gives files to a group while it mounts.
    VolumeMountGroup = 6,
}

impl Capabilities {
    /// Whether the driver can do this.
    pub fn has(&self, wanted: Capability) -> bool {
        let mut calls = self.capabilities.iter().filter_map(|one| one.rpc.as_ref());
        calls.any(|rpc| rpc.kind() == wanted)
    }

    /// These.
    pub fn of(kinds: &[Capability]) -> Self {
        let one = |kind: &Capability| NodeCapability { rpc: Some(RpcCapability { kind: *kind as i32 }) };
        Self { capabilities: kinds.iter().map(one).collect() }
    }
}

/// How a volume is to be used.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct VolumeCapability {
    /// As files or as a device.
    #[prost(oneof = "AccessType", tags = "1, 2")]
    pub access_type: Option<AccessType>,
    /// By whom.
    #[prost(message, optional, tag = "3")]
    pub access_mode: Option<AccessMode>,
}

/// As what a volume is used.
#[derive(Clone, PartialEq, Eq, Oneof)]
pub enum AccessType {
    /// A device.
    #[prost(message, tag = "1")]
    Block(BlockVolume),
    /// Files.
    #[prost(message, tag = "2")]
    Mount(MountVolume),
}

/// A volume that is a device.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct BlockVolume {}

/// A volume that is mounted.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct MountVolume {
    /// The kind of its file system.
    #[prost(string, tag = "1")]
    pub fs_type: String,
    /// Options of the mount.
    #[prost(string, repeated, tag = "2")]
    pub mount_flags: Vec<String>,
    /// The group its files are to belong to.
    #[prost(string, tag = "3")]
    pub volume_mount_group: String,
}

/// By whom a volume is used.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct AccessMode {
    /// The mode.
    #[prost(enumeration = "Mode", tag = "1")]
    pub mode: i32,
}

/// From where and how a volume is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Mode {
    /// None.
    Unknown = 0,
    /// Written on one node.
    SingleNodeWriter = 1,
    /// Read on one node.
    SingleNodeReaderOnly = 2,
    /// Read on many.
    MultiNodeReaderOnly = 3,
    /// Written on one, read on many.
    MultiNodeSingleWriter = 4,
    /// Written on many.
    MultiNodeMultiWriter = 5,
    /// Written by one Pod of one node.
    SingleNodeSingleWriter = 6,
    /// Written by many Pods of one node.
    SingleNodeMultiWriter = 7,
}

/// Makes a volume ready on a node.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct StageRequest {
    /// The volume.
    #[prost(string, tag = "1")]
    pub volume_id: String,
    /// What attaching it told.
    #[prost(btree_map = "string, string", tag = "2")]
    pub publish_context: BTreeMap<String, String>,
    /// Where.
    #[prost(string, tag = "3")]
    pub staging_target_path: String,
    /// How it is used.
    #[prost(message, optional, tag = "4")]
    pub volume_capability: Option<VolumeCapability>,
    /// Secrets for that.
    #[prost(btree_map = "string, string", tag = "5")]
    pub secrets: BTreeMap<String, String>,
    /// What its PersistentVolume tells the driver.
    #[prost(btree_map = "string, string", tag = "6")]
    pub volume_context: BTreeMap<String, String>,
}

/// Undoes [`StageRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UnstageRequest {
    /// The volume.
    #[prost(string, tag = "1")]
    pub volume_id: String,
    /// Where it was staged.
    #[prost(string, tag = "2")]
    pub staging_target_path: String,
}

/// Gives a volume to a Pod.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PublishRequest {
    /// The volume.
    #[prost(string, tag = "1")]
    pub volume_id: String,
    /// What attaching it told.
    #[prost(btree_map = "string, string", tag = "2")]
    pub publish_context: BTreeMap<String, String>,
    /// Where it was staged, if it was.
    #[prost(string, tag = "3")]
    pub staging_target_path: String,
    /// Where the Pod is to have it.
    #[prost(string, tag = "4")]
    pub target_path: String,
    /// How it is used.
    #[prost(message, optional, tag = "5")]
    pub volume_capability: Option<VolumeCapability>,
    /// Whether it is only read.
    #[prost(bool, tag = "6")]
    pub readonly: bool,
    /// Secrets for that.
    #[prost(btree_map = "string, string", tag = "7")]
    pub secrets: BTreeMap<String, String>,
    /// What its PersistentVolume or its Pod tells the driver.
    #[prost(btree_map = "string, string", tag = "8")]
    pub volume_context: BTreeMap<String, String>,
}

/// Undoes [`PublishRequest`].
#[derive(Clone, PartialEq, Eq, Message)]
pub struct UnpublishRequest {
    /// The volume.
    #[prost(string, tag = "1")]
    pub volume_id: String,
    /// Where the Pod had it.
    #[prost(string, tag = "2")]
    pub target_path: String,
}

/// Lets what is on a volume grow.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ExpandRequest {
    /// The volume.
    #[prost(string, tag = "1")]
    pub volume_id: String,
    /// Where a Pod has it.
    #[prost(string, tag = "2")]
    pub volume_path: String,
    /// To what size.
    #[prost(message, optional, tag = "3")]
    pub capacity_range: Option<CapacityRange>,
    /// Where it is staged, if it is.
    #[prost(string, tag = "4")]
    pub staging_target_path: String,
    /// How it is used.
    #[prost(message, optional, tag = "5")]
    pub volume_capability: Option<VolumeCapability>,
    /// Secrets for that.
    #[prost(btree_map = "string, string", tag = "6")]
    pub secrets: BTreeMap<String, String>,
}

/// A size, in bytes; 0 is not set.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct CapacityRange {
    /// At least.
    #[prost(int64, tag = "1")]
    pub required_bytes: i64,
    /// At most.
    #[prost(int64, tag = "2")]
    pub limit_bytes: i64,
}

/// How large a volume has become.
#[derive(Clone, Copy, PartialEq, Eq, Message)]
pub struct ExpandResponse {
    /// In bytes; 0 is not told.
    #[prost(int64, tag = "1")]
    pub capacity_bytes: i64,
}
