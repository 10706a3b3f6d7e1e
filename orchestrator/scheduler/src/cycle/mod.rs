//! One decision: which node a Pod goes to, or why to none.
//!
//! What is known of the nodes is kept for each template (`class`) and brought up to date by what changed, so a
//! decision costs what changed since the last Pod of the template, not the number of nodes. Only where the domains
//! of a topology matter (`plan`, `domains`) the nodes that fit by themselves are gone through. What would be without
//! some Pods (`suppose`) is asked of one node at a time.

mod class;
mod column;
mod domains;
mod plan;
mod ranking;
mod steps;
mod suppose;
mod unschedulable;

use crate::cluster::{Cluster, NodeIndex};
use crate::plugins::needs::{Needs, Steps};
use crate::plugins::{NAME_REFUSAL, NOT_NAMED, Profile, Refusal};
use crate::pod::PodInfo;

use class::{Class, Highest, Verdict};
use domains::{Checks, add_spread, add_wishes};
pub(crate) use steps::{best_of, fitting, refusals};
pub(crate) use suppose::{Asker, Supposed};
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
        let find = |classes: &[Class], is_plain| {
            classes.iter().position(|class| class.is_of(&pod.template, profile, is_plain))
        };
        let mut found = find(&self.classes, false);
        let is_plain = found.is_none() && is_plain(pod, cluster, profile);
        if is_plain {
            found = find(&self.classes, true);
        }
        if let Some(place) = found.filter(|place| self.classes[*place].is_outdated(cluster, profile)) {
            self.classes.swap_remove(place);
            found = None;
        }
        let place = found.unwrap_or_else(|| {
            self.make_room(cluster.node_slots());
            self.classes.push(if is_plain {
                Class::plain(&pod.template, cluster, profile)
            } else {
                Class::new(&pod.template, cluster, profile)
            });
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
    let needs =
        Needs::of(pod, cluster, profile).map_err(|refused| Unschedulable::everywhere(&refused, cluster))?;
    let question = Question { pod, needs: needs.as_ref(), cluster, profile };
    if named(pod).is_none() && needs.is_none() && !class.plan.is_active() {
        let feasible = class.fitting();
        let ranking = class.ranking();
        let best = ranking.best();
        let chosen = if best > 1 { draw(best) } else { 0 };
        if let Some(place) = ranking.nth_best(chosen) {
            return Ok(Decision { node: NodeIndex::new(place), feasible });
        }
    }
    question.find_fitting(class, nodes);
    if nodes.is_empty() {
        return Err(question.refused(class));
    }
    add_up(class, cluster, profile, nodes, totals);
    let highest = totals.iter().max().copied().unwrap_or(0);
    let mut best = nodes.iter().zip(&*totals).filter(|(_, total)| **total == highest);
    let count = best.clone().count();
    let chosen = if count > 1 { draw(count) } else { 0 };
    let node = best.nth(chosen).map_or(nodes[0], |(node, _)| *node);
    Ok(Decision { node: NodeIndex::new(node as usize), feasible: nodes.len() })
}

/// Whether neither other Pods nor what Pods belong together matters to one.
fn is_plain(pod: &PodInfo, cluster: &Cluster, profile: &Profile) -> bool {
    !cluster.templates.have_terms()
        && !pod.template.has_terms()
        && plan::spreads(&pod.template, cluster, &profile.args.spread).is_empty()
}

/// What has to be written about a Pod's volumes and devices before it can be bound to a node.
pub(crate) fn steps(pod: &PodInfo, node: NodeIndex, cluster: &Cluster, profile: &Profile) -> Steps {
    let needs = Needs::of(pod, cluster, profile).ok().flatten();
    needs.map(|needs| needs.steps(node, cluster)).unwrap_or_default()
}

/// One Pod's question about nodes.
struct Question<'q> {
    pod: &'q PodInfo,
    needs: Option<&'q Needs<'q>>,
    cluster: &'q Cluster,
    profile: &'q Profile,
}

impl Question<'_> {
    /// What is said of one node.
    fn ask(&self, class: &Class, checks: &Checks<'_>, node: NodeIndex) -> Result<(), Refusal> {
        if let Some(refusal) = outside(self.pod, self.cluster, node) {
            return Err(refusal);
        }
        match class.verdicts[node.get()] {
            Verdict::Absent => Err(NAME_REFUSAL),
            Verdict::Refused(place) => Err(class.refusals[usize::from(place)]),
            Verdict::Fits(_) => {
                self.pass_volumes(node)?;
                checks.pass(node.get())?;
                self.pass_devices(node)
            }
        }
    }

    #[inline]
    fn pass_volumes(&self, node: NodeIndex) -> Result<(), Refusal> {
        self.needs.map_or(Ok(()), |needs| needs.pass_volumes(node, self.cluster, self.profile))
    }

    #[inline]
    fn pass_devices(&self, node: NodeIndex) -> Result<(), Refusal> {
        self.needs.map_or(Ok(()), |needs| needs.pass_devices(node, self.cluster))
    }

    fn find_fitting(&self, class: &Class, nodes: &mut Vec<u32>) {
        nodes.clear();
        let checks = Checks::new(&class.plan, self.cluster);
        if let Some(names) = named(self.pod) {
            let named = names.iter().filter_map(|name| self.cluster.node_named(name));
            let fitting = named.filter(|node| self.ask(class, &checks, *node).is_ok());
            nodes.extend(fitting.map(NodeIndex::number));
            nodes.sort_unstable();
            return;
        }
        for (place, verdict) in class.verdicts.iter().enumerate() {
            if !matches!(verdict, Verdict::Fits(_)) {
                continue;
            }
            let node = NodeIndex::new(place);
            if self.pass_volumes(node).is_ok()
                && checks.pass(place).is_ok()
                && self.pass_devices(node).is_ok()
            {
                nodes.push(node.number());
            }
        }
    }

    /// Why no node fits.
    fn refused(&self, class: &Class) -> Unschedulable {
        let Self { pod, cluster, .. } = self;
        let mut refused = Unschedulable { nodes: cluster.node_count(), ..Unschedulable::default() };
        if pod.pinned.as_ref().is_some_and(Vec::is_empty) {
            refused.refuse_all("pod affinity terms conflict", NOT_NAMED.plugin);
            return refused;
        }
        let mut counts: Vec<(Refusal, usize)> = Vec::new();
        let checks = Checks::new(&class.plan, cluster);
        for (index, _) in cluster.nodes() {
            let Err(refusal) = self.ask(class, &checks, index) else { continue };
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
        if let Some(wrong) = self.needs.and_then(Needs::wrong) {
            refused.refuse_all(&wrong.text, wrong.plugin);
        }
        refused
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

#[cfg(test)]
mod differential;
#[cfg(test)]
mod domain_tests;
#[cfg(test)]
#[path = "cycle_tests.rs"]
mod tests;
