//! The API of Pods' resources: which container has which devices and processors, for programs beside the node that watch over
//! devices (`pod-resources/kubelet.sock` in the node's directory).

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Container, Pod};
use tokio_util::sync::CancellationToken;
use tracing::warn;
use wherry_plugin_api::device::{NumaNode, TopologyInfo};
use wherry_plugin_api::grpc::{self, NOT_FOUND, Question, Reply, Service, Status, UNIMPLEMENTED};
use wherry_plugin_api::pod_resources::{
    AllocatableResponse, ContainerDevices, ContainerResources, GET, GET_ALLOCATABLE, GetRequest, GetResponse,
    LIST, ListResponse, Memory, PodResources,
};
use wherry_runtime_api::CpuSet;

use crate::context::Context;
use crate::devices::Held;
use crate::pods::PodIndex;
use crate::resource_managers::numa_nodes;
use crate::sockets::listen;

/// Below the node's directory.
const SOCKET: &str = "pod-resources/kubelet.sock";

/// Answers until `shutdown`.
pub(crate) async fn serve(ctx: Arc<Context>, index: PodIndex, node: PathBuf, shutdown: CancellationToken) {
    let path = node.join(SOCKET);
    match listen(&path) {
        Ok(listener) => grpc::serve(listener, Arc::new(Lister { ctx, index }), shutdown).await,
        Err(error) => warn!(path = %path.display(), %error, "nobody can be told which resources Pods have"),
    }
}

struct Lister {
    ctx: Arc<Context>,
    index: PodIndex,
}

impl Service for Lister {
    async fn answer(&self, method: &str, question: Question) -> Result<Reply, Status> {
        match method {
            LIST => {
                let pods = self.index.all();
                let going_on = pods.iter().filter(|pod| !has_ended(pod));
                Ok(Reply::one(&ListResponse {
                    pod_resources: going_on.map(|pod| self.of_pod(pod)).collect(),
                }))
            }
            GET => {
                let GetRequest { pod_name, pod_namespace } = question.read()?;
                let missing = format!("pod {pod_name} in namespace {pod_namespace} not found");
                let pod = self.index.get(&pod_namespace, &pod_name).ok_or(Status::new(NOT_FOUND, missing))?;
                Ok(Reply::one(&GetResponse { pod_resources: Some(self.of_pod(&pod)) }))
            }
            GET_ALLOCATABLE => {
                let cpu_ids = self.ctx.managers.cpus().map(|cpus| ids(cpus.givable())).unwrap_or_default();
                let devices = self.ctx.devices.healthy().into_iter().map(told).collect();
                Ok(Reply::one(&AllocatableResponse { devices, cpu_ids, memory: vec![self.memory()] }))
            }
            other => Err(Status::new(UNIMPLEMENTED, format!("unknown method {other}"))),
        }
    }
}

impl Lister {
    fn of_pod(&self, pod: &Pod) -> PodResources {
        let spec = pod.spec.iter();
        let containers =
            spec.flat_map(|spec| spec.containers.iter().chain(sidecars(spec.init_containers.as_deref())));
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let of = |container: &Container| ContainerResources {
            name: container.name.clone(),
            devices: self.ctx.devices.held(uid, &container.name).into_iter().map(told).collect(),
            cpu_ids: self.own_cpus(uid, &container.name),
        };
        PodResources {
            name: pod.metadata.name.clone().unwrap_or_default(),
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            containers: containers.map(of).collect(),
        }
    }

    /// All memory that Pods may use; nobody has some of one NUMA node for itself.
    fn memory(&self) -> Memory {
        let nodes = numa_nodes().ids().map(|id| NumaNode { id: i64::from(id) }).collect();
        Memory {
            memory_type: "memory".to_owned(),
            size: self.ctx.allocatable_amounts.memory,
            topology: Some(TopologyInfo { nodes }),
        }
    }

    fn own_cpus(&self, uid: &str, container: &str) -> Vec<i64> {
        let own = self.ctx.managers.cpus().and_then(|cpus| cpus.own(uid, container));
        own.as_ref().map(ids).unwrap_or_default()
    }
}

/// Init containers that run as long as the others; what those had that ended is others' now.
fn sidecars(init: Option<&[Container]>) -> impl Iterator<Item = &Container> {
    let init = init.unwrap_or_default().iter();
    init.filter(|container| container.restart_policy.as_deref() == Some("Always"))
}

fn has_ended(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

fn ids(cpus: &CpuSet) -> Vec<i64> {
    cpus.iter().map(i64::from).collect()
}

fn told(held: Held) -> ContainerDevices {
    let nodes = held.nodes.ids().map(|id| NumaNode { id: i64::from(id) }).collect::<Vec<_>>();
    ContainerDevices {
        resource_name: held.resource,
        device_ids: vec![held.device],
        topology: (!nodes.is_empty()).then_some(TopologyInfo { nodes }),
    }
}
