//! What a StatefulSet needs next, as data.
//!
//! In order, one Pod after the other, unless the set is managed in parallel: the Pods that shall be (created, ended ones
//! replaced, their identity kept), those beyond the range (from the highest ordinal down), then those of another
//! revision. What blocks a step blocks those after it.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{RollingUpdateStatefulSetStrategy, StatefulSet, StatefulSetStatus};
use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::ResourceExt;

use super::claims;
use super::identity;
use super::status;
use crate::objects::intstr;
use crate::objects::pods::{available_in, is_running, is_terminal, is_terminating};

/// A template and the name of the revision that holds it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Revision {
    pub(super) name: String,
    pub(super) template: PodTemplateSpec,
}

/// What was observed.
pub(super) struct World<'a> {
    pub(super) set: &'a StatefulSet,
    /// The revision that Pods had before the update under way; the same as `update` if there is none.
    pub(super) current: &'a Revision,
    /// The revision of the set's template.
    pub(super) update: &'a Revision,
    pub(super) collisions: i32,
    pub(super) pods: &'a [Arc<Pod>],
    /// The claim of a name.
    pub(super) claim: &'a (dyn Fn(&str) -> Option<Arc<PersistentVolumeClaim>> + Sync),
    pub(super) now: Timestamp,
}

/// One write.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Action {
    Claim {
        pod: String,
        claim: Box<PersistentVolumeClaim>,
    },
    /// Gives a claim other owners.
    Own {
        claim: Arc<PersistentVolumeClaim>,
        owners: Vec<OwnerReference>,
    },
    Create(Box<Pod>),
    Update(Box<Pod>),
    Delete(Arc<Pod>),
}

/// All writes: each step's side by side if the set is managed in parallel, one after the other if not.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Plan {
    pub(super) steps: Vec<Vec<Vec<Action>>>,
    pub(super) status: StatefulSetStatus,
    pub(super) look_again: Option<Duration>,
}

/// Whether the steps after this one may be planned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flow {
    GoOn,
    Stop,
}

/// A Pod that shall be, with its ordinal.
struct Replica {
    ordinal: i32,
    found: Option<Arc<Pod>>,
}

/// Decides.
pub(super) fn plan(world: &World<'_>) -> Plan {
    let set = world.set;
    let (replicas, condemned) = divide(world);
    let mut status = status::counts(world);
    let mut steps = Vec::new();
    if set.metadata.deletion_timestamp.is_none() {
        let mut planner = Planner { world, in_order: !is_parallel(set), steps: Vec::new() };
        let updated = planner.run(&replicas, &condemned);
        status.current_replicas = status::less(status.current_replicas, updated);
        steps = planner.steps;
    }
    status::complete(set, &mut status);
    Plan { steps, status, look_again: next_available(world) }
}

struct Planner<'a> {
    world: &'a World<'a>,
    in_order: bool,
    steps: Vec<Vec<Vec<Action>>>,
}

impl Planner<'_> {
    /// Plans all steps; returns how many Pods go because of an update.
    fn run(&mut self, replicas: &[Replica], condemned: &[(i32, Arc<Pod>)]) -> i32 {
        let mut step = Vec::new();
        let flow = self.each(replicas, &mut step, Self::replica);
        self.steps.push(step);
        if flow == Flow::Stop {
            return 0;
        }
        let kept = condemned.iter().map(|(ordinal, pod)| self.keep_claims(*ordinal, pod, true));
        let kept = kept.filter(|actions| !actions.is_empty()).collect();
        self.steps.push(kept);
        let first = self.first_unavailable(replicas, condemned);
        let mut step = Vec::new();
        let flow = self.each(condemned, &mut step, |planner, (_, pod), actions| {
            planner.condemned(pod, first.as_ref(), actions)
        });
        self.steps.push(step);
        if flow == Flow::Stop {
            return 0;
        }
        let outdated: Vec<_> =
            self.outdated(replicas).into_iter().map(|pod| vec![Action::Delete(pod)]).collect();
        let count = i32::try_from(outdated.len()).unwrap_or(i32::MAX);
        self.steps.push(outdated);
        count
    }

    /// Plans for each item; one that stops holds up the others only if the set is managed in order.
    fn each<T>(
        &self,
        items: &[T],
        step: &mut Vec<Vec<Action>>,
        plan_one: impl Fn(&Self, &T, &mut Vec<Action>) -> Flow,
    ) -> Flow {
        for item in items {
            let mut actions = Vec::new();
            let flow = plan_one(self, item, &mut actions);
            if !actions.is_empty() {
                step.push(actions);
            }
            if flow == Flow::Stop && self.in_order {
                return Flow::Stop;
            }
        }
        Flow::GoOn
    }

    /// One Pod that shall be.
    fn replica(&self, replica: &Replica, actions: &mut Vec<Action>) -> Flow {
        let Some(pod) = &replica.found else { return self.missing(replica.ordinal, actions) };
        if is_terminal(pod) {
            // The next one is made once this one is gone.
            if !is_terminating(pod) {
                actions.push(Action::Delete(pod.clone()));
            }
            return Flow::Stop;
        }
        if !is_running(pod) {
            self.missing_claims(replica.ordinal, Some(pod), actions);
        }
        if self.in_order && (is_terminating(pod) || !self.is_available(pod)) {
            return Flow::Stop;
        }
        if !identity::is_identified(self.world.set, pod, replica.ordinal) {
            let mut changed = (**pod).clone();
            identity::identify(self.world.set, &mut changed, replica.ordinal);
            self.missing_claims(replica.ordinal, Some(pod), actions);
            actions.push(Action::Update(Box::new(changed)));
        }
        actions.extend(self.keep_claims(replica.ordinal, pod, false));
        Flow::GoOn
    }

    fn missing(&self, ordinal: i32, actions: &mut Vec<Action>) -> Flow {
        let World { set, current, update, claim, .. } = self.world;
        let name = identity::pod_name(set, ordinal);
        let mut held =
            identity::claims(set, ordinal).into_values().filter_map(|wanted| claim(&wanted.name_any()));
        if held.any(|held| claims::is_stale(&held, &name)) {
            return Flow::Stop;
        }
        self.missing_claims(ordinal, None, actions);
        let revision = if needs_current(set, ordinal) { current } else { update };
        let pod = identity::new_pod(set, &revision.template, &revision.name, ordinal);
        actions.push(Action::Create(Box::new(pod)));
        if self.in_order { Flow::Stop } else { Flow::GoOn }
    }

    fn missing_claims(&self, ordinal: i32, pod: Option<&Pod>, actions: &mut Vec<Action>) {
        let set = self.world.set;
        for mut claim in identity::claims(set, ordinal).into_values() {
            if (self.world.claim)(&claim.name_any()).is_some() {
                continue;
            }
            if let Some(owners) = claims::owners(set, &claim, pod, false) {
                claim.metadata.owner_references = Some(owners);
            }
            let action = Action::Claim { pod: identity::pod_name(set, ordinal), claim: Box::new(claim) };
            if !actions.contains(&action) {
                actions.push(action);
            }
        }
    }

    /// Lets the claims of a Pod belong to whom the policy says.
    fn keep_claims(&self, ordinal: i32, pod: &Pod, is_condemned: bool) -> Vec<Action> {
        let set = self.world.set;
        let held = identity::claims(set, ordinal).into_values();
        held.filter_map(|wanted| {
            let claim = (self.world.claim)(&wanted.name_any())?;
            let owners = claims::owners(set, &claim, Some(pod), is_condemned)?;
            Some(Action::Own { claim, owners })
        })
        .collect()
    }

    /// One Pod beyond the range. In order, one that is not available waits unless it is what all wait for.
    fn condemned(
        &self,
        pod: &Arc<Pod>,
        first_unavailable: Option<&Arc<Pod>>,
        actions: &mut Vec<Action>,
    ) -> Flow {
        if is_terminating(pod) {
            return Flow::Stop;
        }
        let is_first = first_unavailable.is_some_and(|first| first.metadata.uid == pod.metadata.uid);
        if self.in_order && !self.is_available(pod) && !is_first {
            return Flow::Stop;
        }
        actions.push(Action::Delete(pod.clone()));
        Flow::Stop
    }

    /// The Pods of another revision that may go now: those that serve nobody at once, of the others as many as may be
    /// missing, from the highest ordinal down.
    fn outdated(&self, replicas: &[Replica]) -> Vec<Arc<Pod>> {
        let set = self.world.set;
        if !is_rolling(set) {
            return Vec::new();
        }
        let limit = rolling(set).and_then(|rolling| rolling.max_unavailable.as_ref());
        let limit = limit.map_or(1, |limit| intstr::scaled(limit, wanted(set), false).max(1));
        let missing = replicas.iter().filter(|replica| !self.serves(replica)).count();
        let room = usize::try_from(limit).unwrap_or(0).saturating_sub(missing);
        let (first, partition) = (start(set), partition(set));
        let outdated = replicas.iter().rev().filter(|replica| replica.ordinal - first >= partition);
        let outdated = outdated
            .filter_map(|replica| replica.found.clone())
            .filter(|pod| identity::revision(pod) != self.world.update.name && !is_terminating(pod));
        let (serving, broken): (Vec<_>, Vec<_>) = outdated.partition(|pod| self.is_available(pod));
        broken.into_iter().chain(serving.into_iter().take(room)).collect()
    }

    /// The lowest Pod that does not serve, of those that shall be before those that shall not.
    fn first_unavailable(&self, replicas: &[Replica], condemned: &[(i32, Arc<Pod>)]) -> Option<Arc<Pod>> {
        if replicas.iter().any(|replica| replica.found.is_none()) {
            return None;
        }
        let replicas = replicas.iter().filter(|replica| !self.serves(replica));
        let replicas = replicas.filter_map(|replica| replica.found.clone());
        let condemned = condemned.iter().rev().map(|(_, pod)| pod.clone());
        replicas.chain(condemned.filter(|pod| is_terminating(pod) || !self.is_available(pod))).next()
    }

    fn serves(&self, replica: &Replica) -> bool {
        replica.found.as_ref().is_some_and(|pod| !is_terminating(pod) && self.is_available(pod))
    }

    fn is_available(&self, pod: &Pod) -> bool {
        is_available(self.world, pod)
    }
}

/// Whether the Pod runs and has been ready for long enough.
pub(super) fn is_available(world: &World<'_>, pod: &Pod) -> bool {
    is_running(pod) && available_in(pod, min_ready(world.set), world.now) == Some(Duration::ZERO)
}

/// How long until the next ready Pod counts as available.
fn next_available(world: &World<'_>) -> Option<Duration> {
    let waits = world.pods.iter().filter_map(|pod| available_in(pod, min_ready(world.set), world.now));
    waits.filter(|wait| !wait.is_zero()).min()
}

fn min_ready(set: &StatefulSet) -> Duration {
    let seconds = set.spec.as_ref().and_then(|spec| spec.min_ready_seconds).unwrap_or(0);
    Duration::from_secs(u64::try_from(seconds).unwrap_or(0))
}

/// The Pods that shall be, by ordinal, and those beyond, the highest ordinal first.
fn divide(world: &World<'_>) -> (Vec<Replica>, Vec<(i32, Arc<Pod>)>) {
    let range = start(world.set)..start(world.set).saturating_add(wanted(world.set));
    let mut replicas: Vec<_> = range.clone().map(|ordinal| Replica { ordinal, found: None }).collect();
    let mut condemned = Vec::new();
    for pod in world.pods {
        let Some(ordinal) = identity::ordinal(world.set, pod) else { continue };
        match usize::try_from(ordinal - range.start).ok().and_then(|index| replicas.get_mut(index)) {
            Some(replica) => replica.found = Some(pod.clone()),
            None => condemned.push((ordinal, pod.clone())),
        }
    }
    condemned.sort_by_key(|(ordinal, _)| std::cmp::Reverse(*ordinal));
    (replicas, condemned)
}

/// Whether a Pod of this ordinal, made now, is still to be of the revision before the update.
fn needs_current(set: &StatefulSet, ordinal: i32) -> bool {
    is_rolling(set) && ordinal - start(set) < partition(set)
}

/// Whether Pods of another revision are replaced without being deleted by somebody.
pub(super) fn is_rolling(set: &StatefulSet) -> bool {
    let strategy = set.spec.as_ref().and_then(|spec| spec.update_strategy.as_ref());
    strategy.is_none_or(|strategy| strategy.type_.as_deref() != Some("OnDelete"))
}

fn rolling(set: &StatefulSet) -> Option<&RollingUpdateStatefulSetStrategy> {
    set.spec.as_ref()?.update_strategy.as_ref()?.rolling_update.as_ref()
}

/// How many Pods are asked for.
pub(super) fn wanted(set: &StatefulSet) -> i32 {
    set.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1).max(0)
}

fn start(set: &StatefulSet) -> i32 {
    let ordinals = set.spec.as_ref().and_then(|spec| spec.ordinals.as_ref());
    ordinals.and_then(|ordinals| ordinals.start).unwrap_or(0)
}

fn partition(set: &StatefulSet) -> i32 {
    rolling(set).and_then(|rolling| rolling.partition).unwrap_or(0)
}

fn is_parallel(set: &StatefulSet) -> bool {
    set.spec.as_ref().and_then(|spec| spec.pod_management_policy.as_deref()) == Some("Parallel")
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "rollout_tests.rs"]
mod rollout_tests;
