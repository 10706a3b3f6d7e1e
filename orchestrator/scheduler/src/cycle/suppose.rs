//! What would be if some Pods of a node were gone: for those who end others, and for those who wait for their end.
//!
//! Most Pods ask only of the node by itself. For them the sums of that node are changed for a moment, which costs
//! nothing worth counting; else the Pods are taken out of the whole cluster.

use super::class::filter;
use super::domains::Checks;
use super::{Question, Scratch, outside, plan};
use crate::cluster::{Cluster, NodeIndex, PodIndex};
use crate::plugins::needs::Needs;
use crate::plugins::{Ask, Prepared, Profile, Refusal};
use crate::pod::PodInfo;

/// A Pod that asks about one node after the other, with what is prepared for it once.
pub(crate) struct Asker<'p> {
    pod: &'p PodInfo,
    profile: &'p Profile,
    prepared: Prepared,
    /// Whether nothing but what each node is by itself decides where it fits.
    is_alone: bool,
}

impl<'p> Asker<'p> {
    pub(crate) fn new(
        pod: &'p PodInfo,
        profile: &'p Profile,
        cluster: &mut Cluster,
        scratch: &mut Scratch,
    ) -> Self {
        let prepared = Prepared::new(&pod.template, &profile.args, &cluster.symbols);
        let is_alone =
            is_modest(pod, cluster, profile) && !is_kept_away_somewhere(pod, cluster, profile, scratch);
        Self { pod, profile, prepared, is_alone }
    }

    pub(crate) fn pod(&self) -> &'p PodInfo {
        self.pod
    }

    /// The no to the Pod on a node as it is.
    pub(crate) fn refusal(
        &self,
        node: NodeIndex,
        cluster: &mut Cluster,
        scratch: &mut Scratch,
    ) -> Option<Refusal> {
        let Self { pod, profile, prepared, is_alone } = self;
        if let Some(refusal) = outside(pod, cluster, node) {
            return Some(refusal);
        }
        let ask = Ask { template: &pod.template, prepared, args: &profile.args, cluster };
        if let Err(refusal) = filter(&ask, profile, cluster.node(node)) {
            return Some(refusal);
        }
        if *is_alone {
            return None;
        }
        let class = scratch.class(pod, cluster, profile);
        let class = &scratch.classes[class];
        match Needs::of(pod, cluster, profile) {
            Ok(needs) => {
                let question = Question { pod, needs: needs.as_ref(), cluster, profile };
                question.ask(class, &Checks::new(&class.plan, cluster), node).err()
            }
            Err(everywhere) => {
                Some(Refusal::for_good(everywhere.plugin, "the Pod is refused on all nodes alike"))
            }
        }
    }
}

/// A node from which Pods are taken away and put back. All are back when this is dropped.
pub(crate) struct Supposed<'w> {
    asker: &'w Asker<'w>,
    node: NodeIndex,
    cluster: &'w mut Cluster,
    scratch: &'w mut Scratch,
    away: Vec<PodIndex>,
}

impl<'w> Supposed<'w> {
    /// A node as it is, so far.
    pub(crate) fn new(
        asker: &'w Asker<'w>,
        node: NodeIndex,
        cluster: &'w mut Cluster,
        scratch: &'w mut Scratch,
    ) -> Self {
        Self { asker, node, cluster, scratch, away: Vec::new() }
    }

    /// Takes a Pod of the node away.
    pub(crate) fn take_away(&mut self, pod: PodIndex) {
        if self.asker.is_alone {
            self.cluster.release(pod);
        } else {
            self.cluster.lift(pod);
        }
        self.away.push(pod);
    }

    /// Puts one back that was taken away.
    pub(crate) fn put_back(&mut self, pod: PodIndex) {
        let Some(at) = self.away.iter().rposition(|away| *away == pod) else { return };
        self.away.swap_remove(at);
        self.enter(pod);
    }

    /// The no to the Pod on the node as it is supposed to be.
    pub(crate) fn refusal(&mut self) -> Option<Refusal> {
        self.asker.refusal(self.node, self.cluster, self.scratch)
    }

    /// The cluster, of which only what the node holds is supposed.
    pub(crate) fn cluster(&self) -> &Cluster {
        self.cluster
    }

    fn enter(&mut self, pod: PodIndex) {
        if self.asker.is_alone {
            self.cluster.occupy(pod);
        } else {
            self.cluster.put_back(pod);
        }
    }
}

impl Drop for Supposed<'_> {
    fn drop(&mut self) {
        while let Some(pod) = self.away.pop() {
            self.enter(pod);
        }
    }
}

/// Whether the Pod itself asks for nothing but what a node is by itself.
fn is_modest(pod: &PodInfo, cluster: &Cluster, profile: &Profile) -> bool {
    pod.volumes.is_none()
        && !pod.template.claims_devices
        && !pod.template.has_required_terms()
        && plan::spreads(&pod.template, cluster, &profile.args.spread).iter().all(|rule| rule.is_soft)
}

/// Whether placed Pods keep it out of some domain.
fn is_kept_away_somewhere(
    pod: &PodInfo,
    cluster: &mut Cluster,
    profile: &Profile,
    scratch: &mut Scratch,
) -> bool {
    if !cluster.templates.keep_away() {
        return false;
    }
    let class = scratch.class(pod, cluster, profile);
    scratch.classes[class].plan.is_kept_away_somewhere()
}
