//! The API of Pods' resources, v1: the node tells programs beside it which container has which devices and processors.

use prost::Message;

use crate::device::TopologyInfo;

/// What all Pods have.
pub const LIST: &str = "/v1.PodResourcesLister/List";
/// What one Pod has.
pub const GET: &str = "/v1.PodResourcesLister/Get";
/// What can be given to Pods.
pub const GET_ALLOCATABLE: &str = "/v1.PodResourcesLister/GetAllocatableResources";

/// What all Pods have.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ListResponse {
    /// One by one.
    #[prost(message, repeated, tag = "1")]
    pub pod_resources: Vec<PodResources>,
}

/// Asks for one Pod.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetRequest {
    /// Its name.
    #[prost(string, tag = "1")]
    pub pod_name: String,
    /// Its namespace.
    #[prost(string, tag = "2")]
    pub pod_namespace: String,
}

/// What one Pod has.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct GetResponse {
    /// The Pod.
    #[prost(message, optional, tag = "1")]
    pub pod_resources: Option<PodResources>,
}

/// What can be given to Pods, whoever has it.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct AllocatableResponse {
    /// Devices.
    #[prost(message, repeated, tag = "1")]
    pub devices: Vec<ContainerDevices>,
    /// Processors.
    #[prost(int64, repeated, tag = "2")]
    pub cpu_ids: Vec<i64>,
    /// Memory.
    #[prost(message, repeated, tag = "3")]
    pub memory: Vec<Memory>,
}

/// Memory of one kind.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct Memory {
    /// `memory`, or the size of huge pages.
    #[prost(string, tag = "1")]
    pub memory_type: String,
    /// Bytes.
    #[prost(uint64, tag = "2")]
    pub size: u64,
    /// Where it is.
    #[prost(message, optional, tag = "3")]
    pub topology: Option<TopologyInfo>,
}

/// What a Pod has.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PodResources {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its namespace.
    #[prost(string, tag = "2")]
    pub namespace: String,
    /// Its containers.
    #[prost(message, repeated, tag = "3")]
    pub containers: Vec<ContainerResources>,
}

/// What a container has.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ContainerResources {
    /// Its name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Devices.
    #[prost(message, repeated, tag = "2")]
    pub devices: Vec<ContainerDevices>,
    /// Processors that are its alone.
    #[prost(int64, repeated, tag = "3")]
    pub cpu_ids: Vec<i64>,
}

/// Devices of one resource.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ContainerDevices {
    /// The resource.
    #[prost(string, tag = "1")]
    pub resource_name: String,
    /// Their names.
    #[prost(string, repeated, tag = "2")]
    pub device_ids: Vec<String>,
    /// Where they are.
    #[prost(message, optional, tag = "3")]
    pub topology: Option<TopologyInfo>,
}
