//! One decision with extenders: they are asked after the plugins, one after the other, and nothing else is decided
//! meanwhile, so that all of them speak of the same cluster.

use tokio::time::Instant;
use tracing::warn;

use super::Scheduler;
use super::decide::{Cycle, Outcome};
use super::panel::Panel;
use crate::cycle::{Decision, Unschedulable, best_of, fitting, refusals};
use crate::extender::{Extender, ExtenderError};
use crate::io::write::Nominate;
use crate::metrics::{Attempt, Point};
use crate::plugins::Plugin;
use crate::preemption::{Plan, offers, pick};

/// Why there is no decision.
enum Undecided {
    NoNode(Unschedulable),
    Failed(ExtenderError),
}

impl Scheduler {
    /// Decides on a Pod that extenders have a say about.
    pub(super) async fn decide_with_extenders(&mut self, cycle: Cycle) {
        let extenders = self.extenders.of(&cycle.pod().object);
        let chosen = self.choose_with(&cycle, &extenders).await;
        self.config.metrics.decided(cycle.began.elapsed());
        match chosen {
            Ok(decision) => self.conclude(cycle, Outcome::Node(decision)),
            Err(Undecided::NoNode(refused)) => {
                let plan = self.make_room_with(&cycle, &refused, &extenders).await;
                self.conclude(cycle, Outcome::NoNode(Box::new(refused), plan));
            }
            Err(Undecided::Failed(error)) => self.extender_failed(cycle, &error),
        }
    }

    fn panel<'s>(&'s self, cycle: &'s Cycle, asked: &'s [Extender]) -> Panel<'s> {
        let (cluster, extenders, client) = (&self.cluster, &self.extenders, &self.client);
        Panel { pod: cycle.pod(), asked, cluster, extenders, client }
    }

    async fn choose_with(&mut self, cycle: &Cycle, extenders: &[Extender]) -> Result<Decision, Undecided> {
        let (pod, profile) = (cycle.pod().clone(), &cycle.own.profile);
        if let Some(node) = cycle.nominated
            && self.fits(&pod, &cycle.own, node)
            && let Ok((fit, _)) = self.panel(cycle, extenders).filter(vec![node]).await
            && !fit.is_empty()
        {
            return Ok(Decision { node, feasible: 1 });
        }
        let nodes =
            fitting(&pod, &mut self.cluster, profile, &mut self.scratch).map_err(Undecided::NoNode)?;
        let (fit, refused) = self.panel(cycle, extenders).filter(nodes).await.map_err(Undecided::Failed)?;
        if let [node] = fit[..] {
            return Ok(Decision { node, feasible: 1 });
        }
        let scores = self.panel(cycle, extenders).scores(&fit).await;
        let random = &mut self.random;
        let (cluster, scratch) = (&mut self.cluster, &mut self.scratch);
        let best = best_of((&pod, &fit), &scores, (cluster, profile), scratch, |bound| random.below(bound));
        best.ok_or_else(|| {
            let mut all = refusals(&pod, &mut self.cluster, profile, &mut self.scratch);
            all.plugins.insert(Plugin::Extender);
            for (node, text, is_final) in refused {
                *all.reasons.entry(text).or_default() += 1;
                all.resolvable.extend(self.cluster.node_named(&node).filter(|_| !is_final));
            }
            Undecided::NoNode(all)
        })
    }

    /// As without extenders, but they choose among the Pods to end.
    async fn make_room_with(
        &mut self,
        cycle: &Cycle,
        refused: &Unschedulable,
        extenders: &[Extender],
    ) -> Option<Plan> {
        let began = Instant::now();
        let pod = cycle.pod().clone();
        let found =
            self.in_world(cycle, refused, |refused, world, draw| offers(&pod, refused, world, draw))?;
        let plan = match found {
            Err(plan) => plan,
            Ok(found) => match self.panel(cycle, extenders).offers(found).await {
                Ok(found) => pick(found, self.config.clock.now()),
                Err(text) => Plan::Useless(text),
            },
        };
        self.config.metrics.preemption();
        cycle.own.counts.point(Point::PostFilter, matches!(plan, Plan::End { .. }), began.elapsed());
        Some(plan)
    }

    /// The Pod is tried again after a while.
    fn extender_failed(&mut self, cycle: Cycle, error: &ExtenderError) {
        let Cycle { popped, own, aside, began, .. } = cycle;
        self.nominations.step_back(&mut self.cluster, aside);
        own.counts.attempt(Attempt::Error, began.elapsed());
        let pod = popped.pod;
        self.queue.back_off(&pod.uid, Instant::now());
        let cause = error as &dyn std::error::Error;
        warn!(namespace = pod.namespace, pod = pod.name, error = cause, "an extender failed");
        self.note(&pod, &own, ("SchedulerError", error.to_string()), &Nominate::Keep);
    }
}
