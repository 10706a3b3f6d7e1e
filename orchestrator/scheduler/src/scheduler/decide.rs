//! One decision: where the next Pod goes, or what is done for one that fits nowhere.

use std::sync::Arc;

use futures::future::join_all;
use tokio::time::Instant;

use super::outcome::{Binding, Written};
use super::wake::Hints;
use super::{Scheduler, Shared};
use crate::cluster::NodeIndex;
use crate::cycle::{Asker, Decision, Unschedulable, schedule, steps};
use crate::event::Event;
use crate::io::bind::{bind, bind_by};
use crate::io::events::Notice;
use crate::io::write::{self, Nominate};
use crate::metrics::{Attempt, Point};
use crate::plugins::{Plugin, PluginSet};
use crate::pod::PodInfo;
use crate::preemption::{Aside, Plan, Victims, World, plan};
use crate::profiles::Own;
use crate::queue::Popped;

/// A decision under way.
pub(super) struct Cycle {
    pub(super) popped: Popped,
    pub(super) own: Arc<Own>,
    pub(super) nominated: Option<NodeIndex>,
    /// The nominated Pods that do not count meanwhile.
    pub(super) aside: Aside,
    pub(super) began: Instant,
}

impl Cycle {
    pub(super) fn pod(&self) -> &Shared {
        &self.popped.pod
    }
}

/// What comes of a decision.
pub(super) enum Outcome {
    Node(Decision),
    NoNode(Box<Unschedulable>, Option<Plan>),
}

/// What was done for the next Pod.
pub(super) enum Next {
    /// There is none.
    Rest,
    Decided,
    /// Others have to be asked about it.
    Asks(Cycle),
}

impl Scheduler {
    /// Decides on the next Pod, if nobody else has a say.
    pub(super) fn decide_one(&mut self) -> Next {
        if !self.is_complete() {
            return Next::Rest;
        }
        let Some(popped) = self.queue.pop(Instant::now()) else { return Next::Rest };
        let began = Instant::now();
        let pod = popped.pod.clone();
        let nominated = self.nominations.node_of(&pod.uid).and_then(|node| self.cluster.node_named(node));
        let aside = self.nominations.step_aside(&mut self.cluster, &pod);
        let Some(own) = self.profiles.of(&pod).cloned().filter(|_| !self.cluster.is_placed(&pod.uid)) else {
            self.nominations.step_back(&mut self.cluster, aside);
            self.queue.decided(&pod.uid);
            return Next::Decided;
        };
        let cycle = Cycle { popped, own, nominated, aside, began };
        if self.extenders.concern(&pod.object) {
            return Next::Asks(cycle);
        }
        let chosen = self.choose(&pod, &cycle.own, nominated);
        self.config.metrics.decided(began.elapsed());
        let outcome = chosen.map_or_else(
            |refused| {
                let plan = self.make_room(&cycle, &refused);
                Outcome::NoNode(Box::new(refused), plan)
            },
            Outcome::Node,
        );
        self.conclude(cycle, outcome);
        Next::Decided
    }

    /// Does what was decided.
    pub(super) fn conclude(&mut self, cycle: Cycle, outcome: Outcome) {
        let Cycle { popped, own, nominated, aside, began } = cycle;
        let pod = popped.pod.clone();
        match outcome {
            Outcome::Node(decision) => {
                let node = self.cluster.node(decision.node).name.clone();
                let steps = steps(&pod, decision.node, &self.cluster, &own.profile);
                let change = self.cluster.assume(&pod, decision.node);
                self.nominations.placed(&pod.uid);
                self.nominations.step_back(&mut self.cluster, aside);
                self.queue.decided(&pod.uid);
                self.happened(Some(change));
                if let Some(left) = nominated.filter(|node| *node != decision.node) {
                    // It gives up the room that it held there.
                    self.happened(Some(Event::PodGone { template: pod.template.clone(), node: left }));
                }
                if steps.is_empty() {
                    self.bind(popped, node, began, own);
                } else {
                    self.bind_after(popped, node, began, (own, steps));
                }
            }
            Outcome::NoNode(refused, plan) => {
                self.nominations.step_back(&mut self.cluster, aside);
                own.counts.attempt(Attempt::Unschedulable, began.elapsed());
                self.refuse(&pod, &own, &refused, plan);
            }
        }
    }

    /// A Pod goes where it is nominated if it can, else to the best node.
    fn choose(
        &mut self,
        pod: &PodInfo,
        own: &Own,
        nominated: Option<NodeIndex>,
    ) -> Result<Decision, Unschedulable> {
        if let Some(node) = nominated
            && self.fits(pod, own, node)
        {
            return Ok(Decision { node, feasible: 1 });
        }
        let draw = |bound| self.random.below(bound);
        schedule(pod, &mut self.cluster, &own.profile, &mut self.scratch, draw)
    }

    /// Whether a Pod fits on a node as it is.
    pub(super) fn fits(&mut self, pod: &PodInfo, own: &Own, node: NodeIndex) -> bool {
        let asker = Asker::new(pod, &own.profile, &mut self.cluster, &mut self.scratch);
        asker.refusal(node, &mut self.cluster, &mut self.scratch).is_none()
    }

    pub(super) fn bind(&mut self, popped: Popped, node: String, began: Instant, own: Arc<Own>) {
        let (client, pod) = (self.client.clone(), popped.pod.clone());
        let binder = self.extenders.binder(&pod.object);
        self.writes.bind(async move {
            let sent = Instant::now();
            let outcome = match binder {
                None => bind(client, pod, node.clone()).await,
                Some(binder) => bind_by(&binder, client, pod, node.clone()).await,
            };
            Written::Bound(Box::new(Binding { popped, own, node, outcome, began, sent }))
        });
    }

    fn make_room(&mut self, cycle: &Cycle, refused: &Unschedulable) -> Option<Plan> {
        let began = Instant::now();
        let pod = cycle.pod().clone();
        let plan = self.in_world(cycle, refused, |refused, world, draw| plan(&pod, refused, world, draw))?;
        self.config.metrics.preemption();
        cycle.own.counts.point(Point::PostFilter, matches!(plan, Plan::End { .. }), began.elapsed());
        Some(plan)
    }

    /// Plans in the world as it is, if the Pod may make room at all.
    pub(super) fn in_world<T>(
        &mut self,
        cycle: &Cycle,
        refused: &Unschedulable,
        plan: impl FnOnce(&Unschedulable, &mut World<'_>, &mut dyn FnMut(usize) -> usize) -> T,
    ) -> Option<T> {
        if refused.nodes == 0 || !cycle.own.preempts {
            return None;
        }
        let mut world = World {
            cluster: &mut self.cluster,
            scratch: &mut self.scratch,
            profile: &cycle.own.profile,
            budgets: &self.budgets,
            nominated: cycle.nominated,
            ending: &self.ending,
            now: self.config.clock.now(),
            args: cycle.own.preemption,
        };
        let random = &mut self.random;
        Some(plan(refused, &mut world, &mut |bound| random.below(bound)))
    }

    fn refuse(&mut self, pod: &Shared, own: &Arc<Own>, refused: &Unschedulable, plan: Option<Plan>) {
        let message = refused.message();
        if refused.plugins.contains(Plugin::DynamicResources) {
            self.give_devices_back(pod, own);
        }
        match plan {
            None => self.refused(pod, own, (message, Nominate::Keep), refused.plugins),
            Some(Plan::Ineligible(text)) => {
                let message = format!("{message} preemption: {text}");
                self.refused(pod, own, (message, Nominate::Keep), refused.plugins);
            }
            Some(Plan::Useless(text)) => {
                let message = format!("{message} preemption: {text}");
                self.withdraw(&pod.uid);
                self.refused(pod, own, (message, Nominate::Clear), refused.plugins);
            }
            Some(Plan::End { node, victims }) => {
                let node = self.cluster.node(node).name.clone();
                self.step_down(pod, &node);
                let change = self.nominations.nominate(&mut self.cluster, pod, &node);
                self.happened(change);
                self.note(pod, own, ("Unschedulable", message), &Nominate::Node(node.clone()));
                self.end(pod, own, (node, victims), refused.plugins);
            }
        }
    }

    /// Tells why there is no node, and lets the Pod wait for an event that helps.
    fn refused(
        &mut self,
        pod: &Shared,
        own: &Own,
        (message, nominate): (String, Nominate),
        plugins: PluginSet,
    ) {
        self.note(pod, own, ("Unschedulable", message), &nominate);
        self.park(&pod.uid, plugins);
    }

    /// Lets a Pod wait for an event that helps.
    pub(super) fn park(&mut self, uid: &str, plugins: PluginSet) {
        let Self { queue, cluster, scratch, profiles, nominations, ending, .. } = self;
        let mut hints = Hints { cluster, scratch, profiles, nominations, ending };
        let help = |event: &_, pod: &_, plugins| hints.help(event, pod, plugins);
        queue.park(uid, plugins, Instant::now(), help);
    }

    /// Pods of lower priority that are nominated for the same node look for another one.
    fn step_down(&mut self, pod: &Shared, node: &str) {
        for other in self.nominations.on(node).to_vec() {
            if other.priority < pod.priority {
                self.withdraw(&other.uid);
                self.patch(&other, write::unnominate_patch(&other.object));
                self.queue.again_if_parked(&other.uid);
            }
        }
    }

    /// Ends the victims; the Pod is in its cycle until all of them are told, so that nobody ends others for it.
    fn end(&mut self, pod: &Shared, own: &Arc<Own>, (node, victims): (String, Victims), plugins: PluginSet) {
        let victims: Vec<_> = victims.pods.into_iter().filter(|victim| !victim.is_leaving).collect();
        if victims.is_empty() {
            self.park(&pod.uid, plugins);
            return;
        }
        self.config.metrics.victims(victims.len());
        let (client, pod, own, now) =
            (self.client.clone(), pod.clone(), own.clone(), self.config.clock.now());
        self.writes.write(async move {
            let evict = victims.into_iter().map(|victim| {
                let (client, name) = (client.clone(), own.name.clone());
                async move {
                    let outcome = write::evict(client, &victim, &name, now).await;
                    (victim, outcome)
                }
            });
            let ended = join_all(evict).await;
            Written::Ended { pod, own, node, plugins, ended }
        });
    }

    /// Tells the user why a Pod has no node, by an event and its condition.
    pub(super) fn note(
        &mut self,
        pod: &Shared,
        own: &Own,
        (reason, message): (&'static str, String),
        nominate: &Nominate,
    ) {
        let now = self.config.clock.now();
        let patch = write::unscheduled_patch(&pod.object, (reason, &message), nominate, now);
        self.recorder.event(&pod.object, &own.name, Notice::Failed { message });
        if let Some(patch) = patch {
            self.patch(pod, patch);
        }
    }

    fn patch(&mut self, pod: &Shared, patch: serde_json::Value) {
        let (client, pod) = (self.client.clone(), pod.clone());
        self.writes.write(async move {
            let outcome = write::patch_status(client, pod.clone(), patch).await;
            Written::Status { pod, outcome }
        });
    }
}
