//! How writes ended.

use std::sync::Arc;

use k8s_openapi::api::resource::v1::ResourceClaim;
use tokio::task::JoinError;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{Scheduler, Shared};
use crate::cluster::Placed;
use crate::io::bind::Refused;
use crate::io::events::{Notice, PodName};
use crate::io::write::Nominate;
use crate::metrics::{Attempt, Point};
use crate::plugins::PluginSet;
use crate::profiles::Own;
use crate::queue::Popped;

/// A binding that was written.
pub(super) struct Binding {
    pub(super) popped: Popped,
    pub(super) own: Arc<Own>,
    pub(super) node: String,
    pub(super) outcome: Result<(), Refused>,
    /// When its cycle began, and when it was sent.
    pub(super) began: Instant,
    pub(super) sent: Instant,
}

/// How a write ended.
pub(super) enum Written {
    Bound(Box<Binding>),
    Status {
        pod: Shared,
        outcome: Result<(), kube::Error>,
    },
    /// What was decided about a Pod's volumes and devices.
    Before {
        pod: Shared,
        /// The claims of devices, by uid.
        devices: Vec<String>,
        outcome: Result<Vec<ResourceClaim>, String>,
    },
    /// A claim without its devices, which kept a Pod from other nodes.
    GivenBack {
        claim: String,
        outcome: Result<(), kube::Error>,
    },
    /// Victims of a preemption.
    Ended {
        pod: Shared,
        own: Arc<Own>,
        node: String,
        plugins: PluginSet,
        ended: Vec<(Placed, Result<(), kube::Error>)>,
    },
}

impl Scheduler {
    pub(super) fn written(&mut self, ended: Result<Written, JoinError>) {
        match ended {
            Ok(Written::Bound(binding)) => self.bound(&binding),
            Ok(Written::Before { pod, devices, outcome }) => self.before_written(&pod, &devices, outcome),
            Ok(Written::GivenBack { claim, outcome: Err(error) }) => {
                let error = &error as &dyn std::error::Error;
                debug!(claim, error, "devices could not be given back");
            }
            Ok(Written::Status { outcome: Ok(()), .. } | Written::GivenBack { outcome: Ok(()), .. }) => {}
            Ok(Written::Status { pod, outcome: Err(error) }) => {
                let error = &error as &dyn std::error::Error;
                debug!(namespace = pod.namespace, pod = pod.name, error, "a status could not be written");
            }
            Ok(Written::Ended { pod, own, node, plugins, ended }) => {
                self.ended(&pod, &own, (&node, plugins), ended);
            }
            Err(error) => warn!(error = &error as &dyn std::error::Error, "a write ended abnormally"),
        }
    }

    fn bound(&mut self, binding: &Binding) {
        let Binding { popped, own, node, outcome, began, sent } = binding;
        own.counts.point(Point::Bind, outcome.is_ok(), sent.elapsed());
        match outcome {
            Ok(()) => {
                own.counts.attempt(Attempt::Scheduled, began.elapsed());
                self.config.metrics.bound(popped.attempt, popped.since.elapsed());
                self.recorder.event(&popped.pod.object, &own.name, Notice::Scheduled { node: node.clone() });
            }
            Err(refused) => {
                own.counts.attempt(Attempt::Error, began.elapsed());
                self.binding_failed(&popped.pod, own, refused);
            }
        }
    }

    /// The Pod is tried again after a while, unless it is gone or bound already: then the watch says so.
    fn binding_failed(&mut self, pod: &Shared, own: &Own, refused: &Refused) {
        let Some(change) = self.cluster.forget(&pod.uid) else { return };
        self.queue.back_off(&pod.uid, Instant::now());
        self.happened(Some(change));
        let message = match refused {
            Refused::Denied(status) if status.code == 409 => {
                debug!(namespace = pod.namespace, pod = pod.name, "the Pod is ending or bound already");
                return;
            }
            Refused::Denied(status) => format!("binding rejected: {}", status.message),
            Refused::Extender(error) => error.to_string(),
            Refused::Elsewhere | Refused::Gone => return,
        };
        let error = refused as &dyn std::error::Error;
        warn!(namespace = pod.namespace, pod = pod.name, error, "binding failed");
        self.note(pod, own, ("SchedulerError", message), &Nominate::Keep);
    }

    /// The victims of a preemption were told; the Pod waits until they are gone, or is tried again if some were not or
    /// another Pod took its place.
    fn ended(
        &mut self,
        pod: &Shared,
        own: &Own,
        (node, plugins): (&str, PluginSet),
        ended: Vec<(Placed, Result<(), kube::Error>)>,
    ) {
        let mut failed = false;
        for (victim, outcome) in ended {
            match outcome {
                Ok(()) => self.victim_ends(pod, own, &victim, node),
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    warn!(
                        namespace = victim.template.namespace,
                        pod = &*victim.name,
                        error,
                        "preemption failed"
                    );
                    failed = true;
                }
            }
        }
        let is_nominated = self.nominations.node_of(&pod.uid) == Some(node);
        if failed || !is_nominated {
            self.queue.again(&pod.uid);
        } else {
            self.park(&pod.uid, plugins);
        }
    }

    fn victim_ends(&mut self, pod: &Shared, own: &Own, victim: &Placed, node: &str) {
        if self.cluster.is_placed(&victim.uid) {
            self.ending.insert(victim.uid.to_string());
        }
        let by = PodName { namespace: pod.namespace.clone(), name: pod.name.clone(), uid: pod.uid.clone() };
        let about = PodName {
            namespace: victim.template.namespace.clone(),
            name: victim.name.to_string(),
            uid: victim.uid.to_string(),
        };
        self.recorder.about(about, &own.name, Notice::Preempted { by: Box::new(by), node: node.to_owned() });
    }
}
