//! Pods that have a node and wait for their volumes and devices: what was decided about their claims is written, and when
//! all claims of volumes are bound and all claims of devices know of it, the Pod is.
//!
//! Nothing polls: the watch of the claims says when they are bound, or that the node was given back.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::resource::v1::ResourceClaim;
use kube::Client;
use tokio::time::Instant;
use tracing::warn;

use super::outcome::Written;
use super::{Scheduler, Shared};
use crate::cluster::{Cluster, Name, Storage};
use crate::io::devices::reserve_all;
use crate::io::volumes::{SELECTED_NODE, VolumeWrite, write_all};
use crate::io::write::Nominate;
use crate::metrics::{Attempt, Point};
use crate::plugins::dynamic_resources::Reservation;
use crate::plugins::needs::Steps;
use crate::plugins::volumes::{Step, is_bound};
use crate::pod::PodInfo;
use crate::profiles::Own;
use crate::queue::Popped;

/// A claim that is waited for.
struct Claim {
    name: Name,
    /// Whether the node was seen in its annotations, which asks for a volume there.
    has_node: bool,
}

/// A Pod that waits for its volumes.
struct Awaiting {
    popped: Popped,
    own: Arc<Own>,
    began: Instant,
    /// Since when it waits.
    since: Instant,
    wait: Wait,
}

/// What is waited for.
struct Wait {
    node: String,
    due: Instant,
    claims: Vec<Claim>,
    /// Whether claims of devices do not know of the Pod yet.
    reserving: bool,
}

/// All of them, by uid.
#[derive(Default)]
pub(super) struct Awaited(HashMap<String, Awaiting>);

/// How the claims of a Pod are.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Waiting,
    Bound,
    Failed(String),
}

/// Volumes that never will be bound, as the user reads it.
fn failed(text: &str) -> State {
    State::Failed(format!("\"VolumeBinding\": binding volumes: {text}"))
}

/// Writes what was decided; returns the claims of devices as they are then.
async fn write_before(
    client: Client,
    pod: &PodInfo,
    volumes: Vec<VolumeWrite>,
    devices: Vec<Reservation>,
) -> Result<Vec<ResourceClaim>, String> {
    let written = write_all(client.clone(), volumes).await;
    written.map_err(|error| format!("\"VolumeBinding\": binding volumes: {error}"))?;
    let reserved = reserve_all(&client, pod, devices).await;
    reserved.map_err(|error| format!("\"DynamicResources\": {error}"))
}

impl Awaited {
    /// When the first one has waited for too long.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.0.values().map(|awaiting| awaiting.wait.due).min()
    }
}

impl Wait {
    fn look(&mut self, storage: &Storage, now: Instant) -> State {
        let mut waits = self.reserving;
        for claim in &mut self.claims {
            let (namespace, name) = &claim.name;
            let Some(found) = storage.claim(namespace, name) else {
                return failed(&format!("persistentvolumeclaim {name:?} not found"));
            };
            let annotations = found.metadata.annotations.as_ref();
            let has_node = annotations.and_then(|all| all.get(SELECTED_NODE)) == Some(&self.node);
            if is_bound(found) {
                continue;
            }
            if claim.has_node && !has_node {
                return failed(&format!("selectedNode annotation reset for PVC {name:?}"));
            }
            claim.has_node = has_node;
            waits = true;
        }
        match waits {
            false => State::Bound,
            true if now >= self.due => failed("context deadline exceeded"),
            true => State::Waiting,
        }
    }
}

/// The writes that make steps true.
fn writes(steps: &[Step], namespace: &str, storage: &Storage) -> Vec<VolumeWrite> {
    let claim = |name: &str| Some(Box::new(storage.claim(namespace, name)?.as_ref().clone()));
    let write = |step: &Step| match step {
        Step::Bind { volume, claim: name } => {
            let volume = Box::new(storage.volume(volume)?.as_ref().clone());
            Some(VolumeWrite::Bind { volume, claim: claim(name)? })
        }
        Step::Provision { claim: name, node } => {
            Some(VolumeWrite::Provision { claim: claim(name)?, node: node.clone() })
        }
    };
    steps.iter().filter_map(write).collect()
}

/// Promises volumes to claims, so that nobody else gets them.
fn promise(steps: &[Step], namespace: &str, cluster: &mut Cluster) {
    for step in steps {
        if let Step::Bind { volume, claim } = step {
            cluster.storage.promise((namespace.to_owned(), claim.clone()), volume.clone());
        }
    }
}

impl Scheduler {
    /// Has the volumes of a Pod bound and its devices reserved, then the Pod bound.
    pub(super) fn bind_after(
        &mut self,
        popped: Popped,
        node: String,
        began: Instant,
        (own, steps): (Arc<Own>, Steps),
    ) {
        let pod = popped.pod.clone();
        let devices = self.assume_devices(&steps.devices);
        let (steps, reservations) = (steps.volumes, steps.devices);
        promise(&steps, &pod.namespace, &mut self.cluster);
        let writes = writes(&steps, &pod.namespace, &self.cluster.storage);
        let name = |step: Step| match step {
            Step::Bind { claim, .. } | Step::Provision { claim, .. } => claim,
        };
        let claim = |step| Claim { name: (pod.namespace.clone(), name(step)), has_node: false };
        let claims = steps.into_iter().map(claim).collect();
        let wait = Wait {
            node,
            due: Instant::now() + own.profile.args.bind_timeout,
            claims,
            reserving: !devices.is_empty(),
        };
        let awaiting = Awaiting { popped, own, began, since: Instant::now(), wait };
        self.awaited.0.insert(pod.uid.clone(), awaiting);
        let client = self.client.clone();
        self.writes.bind(async move {
            let outcome = write_before(client, &pod, writes, reservations).await;
            Written::Before { pod, devices, outcome }
        });
    }

    /// What was decided about volumes and devices is written, or is not. Until then devices are not given to others,
    /// even if the Pod waits no more.
    pub(super) fn before_written(
        &mut self,
        pod: &Shared,
        devices: &[String],
        outcome: Result<Vec<ResourceClaim>, String>,
    ) {
        match outcome {
            Ok(claims) => {
                for claim in &claims {
                    self.cluster.devices.written(claim);
                }
                if let Some(awaiting) = self.awaited.0.get_mut(&pod.uid) {
                    awaiting.wait.reserving = false;
                }
                self.claims_changed();
            }
            Err(text) => {
                for claim in devices {
                    self.cluster.devices.give_back(claim);
                }
                self.volumes_failed(&pod.uid, &text);
            }
        }
    }

    /// Goes on with the Pods whose claims are bound, and gives up on those whose never will be.
    pub(super) fn claims_changed(&mut self) {
        let (now, storage) = (Instant::now(), &self.cluster.storage);
        let look = |(uid, awaiting): (&String, &mut Awaiting)| match awaiting.wait.look(storage, now) {
            State::Waiting => None,
            State::Bound => Some((uid.clone(), Ok(()))),
            State::Failed(text) => Some((uid.clone(), Err(text))),
        };
        let ready: Vec<_> = self.awaited.0.iter_mut().filter_map(look).collect();
        for (uid, state) in ready {
            match state {
                Ok(()) => {
                    if let Some(Awaiting { popped, own, began, since, wait }) = self.stop_awaiting(&uid) {
                        own.counts.point(Point::PreBind, true, since.elapsed());
                        self.bind(popped, wait.node, began, own);
                    }
                }
                Err(text) => self.volumes_failed(&uid, &text),
            }
        }
    }

    /// Forgets that a Pod waits, and what was promised to it.
    fn stop_awaiting(&mut self, uid: &str) -> Option<Awaiting> {
        let awaiting = self.awaited.0.remove(uid)?;
        for claim in &awaiting.wait.claims {
            self.cluster.storage.end_promise(&claim.name);
        }
        Some(awaiting)
    }

    /// A Pod that goes needs no volumes, nor its place.
    pub(super) fn stop_waiting_for_volumes(&mut self, uid: &str) {
        if self.stop_awaiting(uid).is_some() {
            let change = self.cluster.forget(uid);
            self.happened(change);
        }
    }

    /// The Pod is tried again after a while.
    fn volumes_failed(&mut self, uid: &str, text: &str) {
        let Some(Awaiting { popped, own, began, since, .. }) = self.stop_awaiting(uid) else { return };
        own.counts.point(Point::PreBind, false, since.elapsed());
        own.counts.attempt(Attempt::Error, began.elapsed());
        let change = self.cluster.forget(uid);
        let pod = popped.pod;
        self.queue.back_off(&pod.uid, Instant::now());
        self.happened(change);
        warn!(namespace = pod.namespace, pod = pod.name, reason = text, "what comes before binding failed");
        let message = format!("running PreBind plugin {text}");
        self.note(&pod, &own, ("SchedulerError", message), &Nominate::Keep);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    const LONGEST: Duration = Duration::from_mins(10);

    /// A claim with a node asked for and a volume, if they are given.
    fn set_claim(storage: &mut Storage, node: Option<&str>, volume: Option<&str>) {
        let mut annotations = json!({});
        if let Some(node) = node {
            annotations[SELECTED_NODE] = json!(node);
        }
        if volume.is_some() {
            annotations["pv.kubernetes.io/bind-completed"] = json!("yes");
        }
        let metadata = json!({ "name": "c", "namespace": "ns", "annotations": annotations });
        let claim = json!({ "metadata": metadata, "spec": { "volumeName": volume } });
        storage.set_claim(serde_json::from_value(claim).unwrap());
    }

    fn name() -> Name {
        ("ns".to_owned(), "c".to_owned())
    }

    fn wait(now: Instant) -> Wait {
        let claims = vec![Claim { name: name(), has_node: false }];
        Wait { node: "n".to_owned(), due: now + LONGEST, claims, reserving: false }
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_is_waited_for_until_it_is_bound() {
        let (mut storage, now) = (Storage::default(), Instant::now());
        let mut wait = wait(now);
        set_claim(&mut storage, None, None);
        assert_eq!(wait.look(&storage, now), State::Waiting, "what was written has not come back");
        set_claim(&mut storage, Some("n"), None);
        assert_eq!(wait.look(&storage, now), State::Waiting);
        set_claim(&mut storage, Some("n"), Some("v"));
        assert_eq!(wait.look(&storage, now), State::Bound);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_given_back_ends_the_wait() {
        let (mut storage, now) = (Storage::default(), Instant::now());
        let mut wait = wait(now);
        set_claim(&mut storage, Some("n"), None);
        assert_eq!(wait.look(&storage, now), State::Waiting);
        set_claim(&mut storage, None, None);
        assert_eq!(wait.look(&storage, now), failed("selectedNode annotation reset for PVC \"c\""));
    }

    #[tokio::test(start_paused = true)]
    async fn a_claim_that_goes_and_one_that_takes_too_long() {
        let (mut storage, now) = (Storage::default(), Instant::now());
        let mut wait = wait(now);
        set_claim(&mut storage, Some("n"), None);
        assert_eq!(wait.look(&storage, now + LONGEST), failed("context deadline exceeded"));
        storage.remove_claim(&name());
        assert_eq!(wait.look(&storage, now), failed("persistentvolumeclaim \"c\" not found"));
    }

    #[test]
    fn steps_are_written_against_what_was_seen() {
        let mut storage = Storage::default();
        set_claim(&mut storage, None, None);
        let volume = json!({ "metadata": { "name": "v", "resourceVersion": "7" } });
        storage.set_volume(serde_json::from_value(volume).unwrap());
        let steps = [
            Step::Bind { volume: "v".into(), claim: "c".into() },
            Step::Provision { claim: "c".into(), node: "n".into() },
            Step::Bind { volume: "gone".into(), claim: "c".into() },
        ];
        let writes = writes(&steps, "ns", &storage);
        assert_eq!(writes.len(), 2, "a volume that is gone cannot be bound");
        let VolumeWrite::Bind { volume, .. } = &writes[0] else { panic!("{writes:?}") };
        assert_eq!(volume.metadata.resource_version.as_deref(), Some("7"));
    }
}
