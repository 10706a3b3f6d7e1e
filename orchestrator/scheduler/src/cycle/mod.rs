//! One decision: which node a Pod goes to, or why to none.
//!
//! What is known of the nodes is kept for each template (`class`) and brought up to date by what changed, so a
//! decision costs what changed since the last Pod of the template, not the number of nodes. Only where the domains
//! of a topology matter (`plan`, `domains`) the nodes that fit by themselves are gone through.

mod class;
mod column;
mod domains;
mod plan;
mod ranking;
mod unschedulable;

use crate::cluster::{Cluster, NodeIndex, PodIndex};
use crate::plugins::{NAME_REFUSAL, NOT_NAMED, Profile, Refusal};
use crate::pod::PodInfo;

use class::{Class, Highest, Verdict};
use domains::{Checks, add_spread, add_wishes};
pub(crate) use unschedulable::{Unschedulable, histogram};

/// About how much memory the classes may take together.
const MEMORY: usize = 32 << 20;
/// About how much one takes for each node.
const FOR_EACH_NODE: usize = 64;

/// Where a Pod goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) node: NodeIndex,
    /// How many nodes fit.
    pub(crate) feasible: usize,
}

/// What is kept from one decision to the next.
#[derive(Default)]
pub(crate) struct Scratch {
    classes: Vec<Class>,
    decisions: u64,
    /// The nodes that fit, and their totals.
    nodes: Vec<u32>,
    totals: Vec<i64>,
}

impl Scratch {
    /// The class of a Pod, up to date.
    fn class(&mut self, pod: &PodInfo, cluster: &mut Cluster, profile: &Profile) -> usize {
        self.decisions += 1;
        let is_its =
            |class: &Class| class.template == pod.template && class.scheduler == profile.scheduler_name;
        let mut found = self.classes.iter().position(is_its);
        if let Some(place) = found.filter(|place| self.classes[*place].is_outdated(cluster, profile)) {
            self.classes.swap_remove(place);
            found = None;
        }
        let place = found.unwrap_or_else(|| {
            self.make_room(cluster.node_slots());
            self.classes.push(Class::new(&pod.template, cluster, profile));
            self.classes.len() - 1
        });
        let class = &mut self.classes[place];
        class.used = self.decisions;
        class.catch_up(cluster, profile);
        place
    }

    /// Drops the class that was not needed for longest, if there are too many.
    fn make_room(&mut self, nodes: usize) {
        if self.classes.len() < (MEMORY / (FOR_EACH_NODE * nodes.max(1))).clamp(4, 1024) {
            return;
        }
        let oldest = self.classes.iter().enumerate().min_by_key(|(_, class)| class.used);
        if let Some((place, _)) = oldest {
            self.classes.swap_remove(place);
        }
    }
}

/// Decides. `draw` chooses between equally good nodes: it returns a number below its argument.
pub(crate) fn schedule(
    pod: &PodInfo,
    cluster: &mut Cluster,
    profile: &Profile,
    scratch: &mut Scratch,
    mut draw: impl FnMut(usize) -> usize,
) -> Result<Decision, Unschedulable> {
    let class = scratch.class(pod, cluster, profile);
    let Scratch { classes, nodes, totals, .. } = scratch;
    let class = &mut classes[class];
    if pod.node_name.is_none() && pod.pinned.is_none() && !class.plan.is_active() {
        let feasible = class.fitting();
        let ranking = class.ranking();
        let best = ranking.best();
        let chosen = if best > 1 { draw(best) } else { 0 };
        if let Some(place) = ranking.nth_best(chosen) {
            return Ok(Decision { node: NodeIndex::new(place), feasible });
        }
    }
    find_fitting(pod, class, cluster, nodes);
    if nodes.is_empty() {
        return Err(refused(pod, class, cluster));
    }
    add_up(class, cluster, profile, nodes, totals);
    let highest = totals.iter().max().copied().unwrap_or(0);
    let mut best = nodes.iter().zip(&*totals).filter(|(_, total)| **total == highest);
    let count = best.clone().count();
    let chosen = if count > 1 { draw(count) } else { 0 };
    let node = best.nth(chosen).map_or(nodes[0], |(node, _)| *node);
    Ok(Decision { node: NodeIndex::new(node as usize), feasible: nodes.len() })
}

/// A node, as it would be without some of its Pods.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spot<'p> {
    pub(crate) node: NodeIndex,
    pub(crate) without: &'p [PodIndex],
}

impl From<NodeIndex> for Spot<'_> {
    fn from(node: NodeIndex) -> Self {
        Self { node, without: &[] }
    }
}

/// The no to a Pod on one node.
pub(crate) fn refusal(
    pod: &PodInfo,
    spot: Spot<'_>,
    cluster: &mut Cluster,
    profile: &Profile,
    scratch: &mut Scratch,
) -> Option<Refusal> {
    let taken = cluster.lift(spot.without);
    let refusal = outside(pod, cluster, spot.node).or_else(|| {
        let by_itself = class::refusal_by_itself(&pod.template, cluster.node(spot.node), cluster, profile);
        by_itself.or_else(|| {
            let is_alone = !cluster.templates.have_terms()
                && !pod.template.has_terms()
                && plan::spreads(&pod.template, cluster, &profile.args.spread)
                    .iter()
                    .all(|rule| rule.is_soft);
            if is_alone {
                return None;
            }
            let class = scratch.class(pod, cluster, profile);
            verdict(pod, &scratch.classes[class], cluster, spot.node).err()
        })
    });
    cluster.put_back(taken);
    refusal
}

/// What is said of one node.
fn verdict(pod: &PodInfo, class: &Class, cluster: &Cluster, node: NodeIndex) -> Result<(), Refusal> {
    if let Some(refusal) = outside(pod, cluster, node) {
        return Err(refusal);
    }
    match class.verdicts[node.get()] {
        Verdict::Absent => Err(NAME_REFUSAL),
        Verdict::Refused(place) => Err(class.refusals[usize::from(place)]),
        Verdict::Fits(_) => Checks::new(&class.plan, cluster).pass(node.get()),
    }
}

/// The no to a node that the Pod does not name, if it names some.
fn outside(pod: &PodInfo, cluster: &Cluster, node: NodeIndex) -> Option<Refusal> {
    let name = &cluster.node(node).name;
    if pod.node_name.as_ref().is_some_and(|wanted| wanted != name) {
        return Some(NAME_REFUSAL);
    }
    pod.pinned.as_ref().is_some_and(|names| !names.contains(name)).then_some(NOT_NAMED)
}

fn find_fitting(pod: &PodInfo, class: &Class, cluster: &Cluster, nodes: &mut Vec<u32>) {
    nodes.clear();
    if let Some(names) = named(pod) {
        let named = names.iter().filter_map(|name| cluster.node_named(name));
        let fitting = named.filter(|node| verdict(pod, class, cluster, *node).is_ok());
        nodes.extend(fitting.map(NodeIndex::number));
        nodes.sort_unstable();
        return;
    }
    let checks = Checks::new(&class.plan, cluster);
    for (place, verdict) in class.verdicts.iter().enumerate() {
        if matches!(verdict, Verdict::Fits(_)) && checks.pass(place).is_ok() {
            nodes.push(NodeIndex::new(place).number());
        }
    }
}

/// The only nodes that come into question, if the Pod names some.
fn named(pod: &PodInfo) -> Option<&[String]> {
    pod.node_name.as_ref().map(std::slice::from_ref).or(pod.pinned.as_deref())
}

/// Adds up the scores of the nodes that fit.
fn add_up(class: &Class, cluster: &Cluster, profile: &Profile, nodes: &[u32], totals: &mut Vec<i64>) {
    totals.clear();
    let rates = |node: &u32| match class.verdicts[*node as usize] {
        Verdict::Fits(rates) => rates,
        Verdict::Absent | Verdict::Refused(_) => class::Rates::default(),
    };
    let mut highest = Highest::default();
    for node in nodes {
        highest.include(rates(node));
    }
    totals.extend(nodes.iter().map(|node| class.total(rates(node), highest)));
    if nodes.len() > 1 {
        add_spread(nodes, totals, &class.plan, cluster, profile);
        add_wishes(nodes, totals, &class.plan, cluster, profile);
    }
}

/// Why no node fits.
fn refused(pod: &PodInfo, class: &Class, cluster: &Cluster) -> Unschedulable {
    let mut refused = Unschedulable { nodes: cluster.node_count(), ..Unschedulable::default() };
    if pod.pinned.as_ref().is_some_and(Vec::is_empty) {
        refused.refuse_all("pod affinity terms conflict", NOT_NAMED.plugin);
        return refused;
    }
    let mut counts: Vec<(Refusal, usize)> = Vec::new();
    let checks = Checks::new(&class.plan, cluster);
    for (index, _) in cluster.nodes() {
        let found = outside(pod, cluster, index).or_else(|| match class.verdicts[index.get()] {
            Verdict::Refused(place) => Some(class.refusals[usize::from(place)]),
            Verdict::Fits(_) | Verdict::Absent => checks.pass(index.get()).err(),
        });
        let Some(refusal) = found else { continue };
        if !refusal.is_final {
            refused.resolvable.push(index);
        }
        match counts.iter_mut().find(|(known, _)| *known == refusal) {
            Some((_, count)) => *count += 1,
            None => counts.push((refusal, 1)),
        }
    }
    for (refusal, nodes) in counts {
        refused.count(refusal, nodes, &pod.template);
    }
    refused
}

#[cfg(test)]
mod differential;
#[cfg(test)]
#[path = "cycle_tests.rs"]
mod tests;
