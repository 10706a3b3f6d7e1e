//! What the scheduler needs of a Pod, parsed once.

mod node_term;
mod ports;
mod requests;
pub(crate) mod resources;
mod spread;
mod template;
mod term;
mod toleration;
mod volumes;

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

pub(crate) use node_term::NodeTerm;
pub(crate) use ports::HostPort;
pub(crate) use spread::{Honor, Spread};
pub(crate) use template::{Rules, Template, node_terms};
pub(crate) use term::{Labels, PodTerm, holds, parse_selector};
pub(crate) use toleration::{Effect, Taint, Toleration};
pub(crate) use volumes::{ClaimRef, Volumes};

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct PodInfo {
    pub(crate) uid: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) priority: i32,
    /// Whether the Pod may make room for itself by ending others.
    pub(crate) may_preempt: bool,
    /// The node in the Pod's spec: where it is, or for a Pod not placed yet, nothing.
    pub(crate) node_name: Option<String>,
    /// The only nodes that its affinity names, if it names any; a DaemonSet's Pods name one each.
    pub(crate) pinned: Option<Vec<String>>,
    /// When it started to run.
    pub(crate) started: Option<Timestamp>,
    /// Whether it is on its way out.
    pub(crate) is_leaving: bool,
    /// All that decides where the Pod may go and what it takes there; equal for Pods of one controller.
    pub(crate) template: Arc<Template>,
    /// The volumes that matter to where it can go, if it has any.
    pub(crate) volumes: Option<Arc<Volumes>>,
    /// The object, for events and status.
    pub(crate) object: Arc<Pod>,
}

impl PodInfo {
    pub(crate) fn new(object: Arc<Pod>) -> Self {
        let (template, pinned) = Template::of(&object);
        let spec = object.spec.as_ref();
        let started = object.status.as_ref().and_then(|status| status.start_time.as_ref());
        Self {
            uid: object.metadata.uid.clone().unwrap_or_default(),
            namespace: object.metadata.namespace.clone().unwrap_or_default(),
            name: object.metadata.name.clone().unwrap_or_default(),
            priority: spec.and_then(|spec| spec.priority).unwrap_or(0),
            may_preempt: spec.and_then(|spec| spec.preemption_policy.as_deref()) != Some("Never"),
            node_name: spec.and_then(|spec| spec.node_name.clone()).filter(|name| !name.is_empty()),
            pinned,
            started: started.map(|time| time.0),
            is_leaving: object.metadata.deletion_timestamp.is_some(),
            template: Arc::new(template),
            volumes: Volumes::of(&object),
            object,
        }
    }
}

/// Whether all containers have ended for good, so that the Pod uses nothing.
pub(crate) fn is_terminal(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}
