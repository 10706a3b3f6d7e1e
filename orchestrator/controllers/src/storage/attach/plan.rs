//! What is to be attached and detached, given what is needed and what is.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{AttachedVolume, Node, PersistentVolume, Pod};
use k8s_openapi::api::storage::v1::VolumeAttachment;
use kube::ResourceExt;
use wherry_api::csi;

use super::super::facts::is_going;
use super::needs::Need;
use super::{ATTACHED, NOT_ATTACHED};
use crate::runtime::recorder::Severity;

/// How long a node that does not answer keeps what it has in use, as upstream.
const PATIENCE: Duration = Duration::from_mins(6);
/// A taint that says that a node is off, and keeps nothing.
const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";

/// What there is.
pub(super) struct World {
    /// By the names of attachments.
    pub(super) needs: BTreeMap<String, Need>,
    pub(super) attachments: Vec<Arc<VolumeAttachment>>,
    pub(super) nodes: Vec<Arc<Node>>,
    pub(super) volumes: Vec<Arc<PersistentVolume>>,
}

/// What is to be done, in this order.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// What Nodes are to name as attached, where they name something else.
    pub(super) report: BTreeMap<String, BTreeSet<String>>,
    pub(super) attach: Vec<Need>,
    pub(super) detach: Vec<Arc<VolumeAttachment>>,
    /// What Pods are to know.
    pub(super) tell: Vec<(Arc<Pod>, Severity, &'static str, String)>,
    pub(super) look_again: Option<Duration>,
}

impl Plan {
    fn tell(&mut self, need: &Need, (severity, reason): (Severity, &'static str), message: &str) {
        let told = need.pods.iter().map(|pod| (pod.clone(), severity, reason, message.to_owned()));
        self.tell.extend(told);
    }
}

/// What of a Node matters here: volumes it has in use and names as attached, whether it answers, whether it is off.
pub(super) fn said(node: &Node) -> (Option<&Vec<String>>, Option<&Vec<AttachedVolume>>, bool, bool) {
    let status = node.status.as_ref();
    let mut conditions = status.into_iter().flat_map(|status| status.conditions.iter().flatten());
    let answers = conditions.any(|condition| condition.type_ == "Ready" && condition.status == "True");
    let mut taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let is_off = taints.any(|taint| taint.key == OUT_OF_SERVICE);
    let in_use = status.and_then(|status| status.volumes_in_use.as_ref());
    (in_use, status.and_then(|status| status.volumes_attached.as_ref()), answers, is_off)
}

/// Plans; `unneeded` remembers since when volumes are in use that nobody needs.
pub(super) fn plan(world: &World, unneeded: &mut BTreeMap<String, Timestamp>, now: Timestamp) -> Plan {
    let mut plan = Plan::default();
    let ours = || world.attachments.iter().filter(|attachment| is_ours(attachment));
    let by_name: BTreeMap<String, &Arc<VolumeAttachment>> =
        ours().map(|attachment| (attachment.name_any(), attachment)).collect();
    let nodes: BTreeMap<String, &Arc<Node>> =
        world.nodes.iter().map(|node| (node.name_any(), node)).collect();
    for (name, need) in &world.needs {
        match by_name.get(name) {
            Some(attachment) => tell(&mut plan, need, attachment),
            None if nodes.contains_key(&need.node) => attach(&mut plan, need, world),
            None => {}
        }
    }
    let loose: Vec<_> =
        ours().filter(|attachment| !world.needs.contains_key(&attachment.name_any())).collect();
    unneeded.retain(|name, _| loose.iter().any(|attachment| attachment.name_any() == *name));
    for attachment in loose.into_iter().filter(|attachment| !is_going(&attachment.metadata)) {
        let node = nodes.get(&attachment.spec.node_name).map(|node| &***node);
        let since = *unneeded.entry(attachment.name_any()).or_insert(now);
        match wait(attachment, node, PATIENCE.saturating_sub(now.duration_since(since).unsigned_abs())) {
            Wait::Not => plan.detach.push(attachment.clone()),
            Wait::ForNode => {}
            Wait::AtMost(left) => {
                plan.look_again = Some(plan.look_again.map_or(left, |soonest| soonest.min(left)));
            }
        }
    }
    report(&mut plan, world);
    plan
}

/// Whether the attachment is one of those made here: of a PersistentVolume, and named like one.
fn is_ours(attachment: &VolumeAttachment) -> bool {
    let name = attachment.name_any();
    let hash = name.strip_prefix("csi-").unwrap_or_default();
    attachment.spec.source.persistent_volume_name.is_some()
        && hash.len() == 64
        && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Attaches what is needed, unless another node has it alone.
fn attach(plan: &mut Plan, need: &Need, world: &World) {
    let elsewhere = world.attachments.iter().any(|attachment| {
        attachment.spec.source.persistent_volume_name.as_ref() == Some(&need.volume)
            && attachment.spec.node_name != need.node
    });
    if !(need.is_exclusive && elsewhere) {
        return plan.attach.push(need.clone());
    }
    let message = format!(
        "Multi-Attach error for volume {:?} Volume is already exclusively attached to one node and can't be attached \
         to another",
        need.volume
    );
    plan.tell(need, NOT_ATTACHED, &message);
}

/// Tells Pods how their volume is.
fn tell(plan: &mut Plan, need: &Need, attachment: &VolumeAttachment) {
    let Some(status) = attachment.status.as_ref().filter(|_| !is_going(&attachment.metadata)) else { return };
    if status.attached {
        let message = format!("AttachVolume.Attach succeeded for volume {:?} ", need.volume);
        plan.tell(need, ATTACHED, &message);
    } else if let Some(error) = &status.attach_error {
        let reason = error.message.as_deref().unwrap_or_default();
        let message = format!("AttachVolume.Attach failed for volume {:?} : {reason}", need.volume);
        plan.tell(need, NOT_ATTACHED, &message);
    }
}

/// What a volume that nobody needs waits for before it is detached.
enum Wait {
    Not,
    /// Until the node does not use it.
    ForNode,
    /// The same, or this long.
    AtMost(Duration),
}

fn wait(attachment: &VolumeAttachment, node: Option<&Node>, left: Duration) -> Wait {
    let Some((in_use, _, answers, is_off)) = node.map(said) else { return Wait::Not };
    let (name, prefix) = (attachment.name_any(), csi::unique_name(&attachment.spec.attacher, ""));
    let is_used = in_use.into_iter().flatten().any(|volume| {
        volume.strip_prefix(&prefix).is_some_and(|handle| {
            csi::attachment_name(&attachment.spec.attacher, handle, &attachment.spec.node_name) == name
        })
    });
    match (is_used && !is_off, answers) {
        (false, _) => Wait::Not,
        (true, true) => Wait::ForNode,
        (true, false) if left.is_zero() => Wait::Not,
        (true, false) => Wait::AtMost(left),
    }
}

/// What is attached and is to stay so is named by the Nodes.
fn report(plan: &mut Plan, world: &World) {
    let handle = |name: &str| {
        let volume = world.volumes.iter().find(|volume| volume.name_any() == name)?;
        Some(volume.spec.as_ref()?.csi.as_ref()?.volume_handle.clone())
    };
    let mut attached = BTreeMap::<&str, BTreeSet<String>>::new();
    for attachment in world.attachments.iter().filter(|attachment| is_ours(attachment)) {
        let is_attached = attachment.status.as_ref().is_some_and(|status| status.attached);
        let goes =
            is_going(&attachment.metadata) || plan.detach.iter().any(|one| Arc::ptr_eq(one, attachment));
        let volume = attachment.spec.source.persistent_volume_name.as_deref();
        if let Some(handle) = volume.filter(|_| is_attached && !goes).and_then(handle) {
            let names = attached.entry(attachment.spec.node_name.as_str()).or_default();
            names.insert(csi::unique_name(&attachment.spec.attacher, &handle));
        }
    }
    for node in &world.nodes {
        let name = node.name_any();
        let now = attached.remove(name.as_str()).unwrap_or_default();
        let (_, named, _, _) = said(node);
        let named: BTreeSet<String> = named.into_iter().flatten().map(|volume| volume.name.clone()).collect();
        if named != now {
            plan.report.insert(name, now);
        }
    }
}
