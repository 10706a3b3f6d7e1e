//! What is known of every node for the Pods of one template.
//!
//! It is brought up to date by the nodes that changed since the last look. As long as no domain matters, the best
//! node is at the top of a ranking; else the nodes that fit by themselves are gone through, with a few sums each.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::{Cluster, Moment, NodeIndex, NodeInfo};
use crate::plugins::{Ask, FILTERS, Normalize, Plugin, Prepared, Profile, Refusal, SCORES};
use crate::pod::{Spread, Template};

use super::plan::{Plan, spreads};
use super::ranking::Ranking;

/// What a node is by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// There is no such node.
    Absent,
    Fits(Rates),
    /// The place of the refusal in the list.
    Refused(u16),
}

/// The scores of a node that fits, before they are compared with others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Rates {
    /// The weighted sum of those that need no comparison.
    sum: i32,
    /// Taints that would rather not have the Pod.
    taints: i32,
    /// Wishes of the Pod that the node satisfies.
    wishes: i32,
}

/// The highest values among the nodes that fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Highest {
    taints: i32,
    wishes: i32,
}

impl Highest {
    #[inline]
    pub(super) fn include(&mut self, rates: Rates) {
        self.taints = self.taints.max(rates.taints);
        self.wishes = self.wishes.max(rates.wishes);
    }
}

/// How much the scores that are compared count.
#[derive(Clone, Copy, Debug, Default)]
struct Weights {
    taints: i64,
    wishes: i64,
}

/// The state the list of what is known depends on, besides the nodes.
#[derive(PartialEq, Eq)]
struct Basis {
    namespaces: u64,
    spreads: Vec<Spread>,
    /// How many nodes have each image; the last is how many there are.
    images: Vec<usize>,
}

/// How often what the basis is made of has changed.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Moved {
    namespaces: u64,
    selectors: u64,
}

impl Moved {
    fn now(cluster: &Cluster) -> Self {
        Self { namespaces: cluster.namespace_changes(), selectors: cluster.selectors.changes() }
    }
}

/// How many nodes have each of a Pod's images; then, if some have one, how many nodes there are.
fn image_counts<'c>(template: &'c Template, cluster: &'c Cluster) -> impl Iterator<Item = usize> + 'c {
    let count = |image: &String| cluster.images.nodes_with(image);
    let some = template.images.iter().any(move |image| count(image) > 0);
    template.images.iter().map(count).chain(some.then(|| cluster.node_count()))
}

/// See the module's documentation.
pub(super) struct Class {
    pub(super) template: Arc<Template>,
    pub(super) scheduler: String,
    /// Whether it is for all Pods that nodes by themselves are the same to, whatever their labels.
    pub(super) is_plain: bool,
    pub(super) used: u64,
    prepared: Prepared,
    seen: Option<Moment>,
    basis: Basis,
    /// How much had changed when the basis was last looked at.
    moved: Moved,
    pub(super) plan: Plan,
    pub(super) verdicts: Vec<Verdict>,
    pub(super) refusals: Vec<Refusal>,
    weights: Weights,
    ranking: Ranking,
    /// The values that the ranking was made with.
    ranked: Highest,
    taints: Tally,
    wishes: Tally,
}

/// How often each value occurs.
#[derive(Default)]
struct Tally(BTreeMap<i32, usize>);

impl Tally {
    fn add(&mut self, value: i32) {
        *self.0.entry(value).or_default() += 1;
    }

    fn remove(&mut self, value: i32) {
        if let Some(count) = self.0.get_mut(&value) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&value);
            }
        }
    }

    fn highest(&self) -> i32 {
        self.0.last_key_value().map_or(0, |(value, _)| *value)
    }
}

impl Class {
    pub(super) fn new(template: &Arc<Template>, cluster: &mut Cluster, profile: &Profile) -> Self {
        let basis = Basis::new(template, cluster, profile);
        let weights = Weights {
            taints: profile.weight(Plugin::TaintToleration),
            wishes: profile.weight(Plugin::NodeAffinity),
        };
        Self {
            template: template.clone(),
            scheduler: profile.scheduler_name.clone(),
            is_plain: false,
            used: 0,
            prepared: Prepared::new(template, &profile.args, &cluster.symbols),
            seen: None,
            basis,
            moved: Moved::now(cluster),
            plan: Plan::new(template, cluster, profile),
            verdicts: Vec::new(),
            refusals: Vec::new(),
            weights,
            ranking: Ranking::default(),
            ranked: Highest::default(),
            taints: Tally::default(),
            wishes: Tally::default(),
        }
    }

    /// A class for Pods to which only nodes by themselves matter, as they do to this one.
    pub(super) fn plain(template: &Template, cluster: &mut Cluster, profile: &Profile) -> Self {
        let template = Arc::new(template.without_identity());
        Self { is_plain: true, ..Self::new(&template, cluster, profile) }
    }

    /// Whether Pods of this template are looked after here.
    pub(super) fn is_of(&self, template: &Template, profile: &Profile, is_plain: bool) -> bool {
        let is_its = if is_plain { self.template.is_like(template) } else { *self.template == *template };
        self.is_plain == is_plain && is_its && self.scheduler == profile.scheduler_name
    }

    /// Whether something changed that concerns every node.
    pub(super) fn is_outdated(&mut self, cluster: &Cluster, profile: &Profile) -> bool {
        let moved = Moved::now(cluster);
        let counts = image_counts(&self.template, cluster);
        if moved == self.moved && counts.eq(self.basis.images.iter().copied()) {
            return false;
        }
        self.moved = moved;
        let basis = Basis::new(&self.template, cluster, profile);
        std::mem::replace(&mut self.basis, basis) != self.basis
    }

    /// Looks again at the nodes that changed since the last time.
    pub(super) fn catch_up(&mut self, cluster: &Cluster, profile: &Profile) {
        if self.prepared.is_outdated(&cluster.symbols) {
            self.prepared = Prepared::new(&self.template, &profile.args, &cluster.symbols);
        }
        let changes = self.seen.and_then(|seen| cluster.changed_since(seen));
        let slots = cluster.node_slots();
        match changes.filter(|changes| changes.len() < slots.max(8)) {
            Some(changes) => {
                for index in changes {
                    self.update(*index, cluster, profile);
                }
            }
            None => {
                for place in 0..slots {
                    self.update(NodeIndex::new(place), cluster, profile);
                }
            }
        }
        self.seen = Some(cluster.now());
    }

    fn update(&mut self, index: NodeIndex, cluster: &Cluster, profile: &Profile) {
        let node = cluster.node(index);
        let template = self.template.clone();
        let ask = Ask { template: &template, prepared: &self.prepared, args: &profile.args, cluster };
        let verdict = if node.is_known { judge(&ask, profile, node) } else { Err(None) };
        self.plan.update(index.get(), node, &ask);
        let verdict = match verdict {
            Ok(rates) => Verdict::Fits(rates),
            Err(Some(refusal)) => Verdict::Refused(self.refusal(refusal)),
            Err(None) => Verdict::Absent,
        };
        self.set(index.get(), verdict);
    }

    fn refusal(&mut self, refusal: Refusal) -> u16 {
        let found = self.refusals.iter().position(|known| *known == refusal);
        let place = found.unwrap_or_else(|| {
            self.refusals.push(refusal);
            self.refusals.len() - 1
        });
        u16::try_from(place).unwrap_or(u16::MAX)
    }

    fn set(&mut self, place: usize, verdict: Verdict) {
        if self.verdicts.len() <= place {
            self.verdicts.resize(place + 1, Verdict::Absent);
        }
        let before = std::mem::replace(&mut self.verdicts[place], verdict);
        if before == verdict && self.ranking.holds(place) {
            return;
        }
        if let Verdict::Fits(rates) = before {
            self.taints.remove(rates.taints);
            self.wishes.remove(rates.wishes);
        }
        if let Verdict::Fits(rates) = verdict {
            self.taints.add(rates.taints);
            self.wishes.add(rates.wishes);
        }
        if self.ranking.holds(place) {
            self.ranking.set(place, self.total_by_itself(verdict));
        }
    }

    fn total_by_itself(&self, verdict: Verdict) -> Option<i64> {
        let Verdict::Fits(rates) = verdict else { return None };
        Some(self.total(rates, self.ranked))
    }

    /// The sum of the scores that do not depend on domains, given the highest among the nodes that fit.
    #[inline]
    pub(super) fn total(&self, rates: Rates, highest: Highest) -> i64 {
        let taints = match i64::from(highest.taints) {
            0 => 100,
            highest => 100 - i64::from(rates.taints) * 100 / highest,
        };
        let wishes = (i64::from(rates.wishes) * 100).checked_div(i64::from(highest.wishes)).unwrap_or(0);
        i64::from(rates.sum) + self.weights.taints * taints + self.weights.wishes * wishes
    }

    /// The ranking of the nodes by themselves, made again if what they are compared with changed.
    pub(super) fn ranking(&mut self) -> &Ranking {
        let highest = Highest { taints: self.taints.highest(), wishes: self.wishes.highest() };
        if highest != self.ranked || !self.ranking.holds(self.verdicts.len().saturating_sub(1)) {
            self.ranked = highest;
            self.ranking.reset(self.verdicts.len());
            for place in 0..self.verdicts.len() {
                let total = self.total_by_itself(self.verdicts[place]);
                self.ranking.set(place, total);
            }
        }
        &self.ranking
    }

    /// How many nodes fit by themselves.
    pub(super) fn fitting(&self) -> usize {
        self.taints.0.values().sum()
    }
}

impl Basis {
    fn new(template: &Template, cluster: &Cluster, profile: &Profile) -> Self {
        let images = image_counts(template, cluster).collect();
        let namespaces = if template.has_terms() || cluster.templates.have_terms() {
            cluster.namespace_changes()
        } else {
            0
        };
        Self { namespaces, spreads: spreads(template, cluster, &profile.args.spread), images }
    }
}

/// The no of the plugins that look at one node.
pub(super) fn filter(ask: &Ask<'_>, profile: &Profile, node: &NodeInfo) -> Result<(), Refusal> {
    let asked = FILTERS.iter().filter(|(plugin, _)| profile.filters.contains(*plugin));
    asked.into_iter().try_for_each(|(_, fits)| fits(ask, node))
}

/// Asks the plugins about one node.
fn judge(ask: &Ask<'_>, profile: &Profile, node: &NodeInfo) -> Result<Rates, Option<Refusal>> {
    filter(ask, profile, node).map_err(Some)?;
    let mut rates = Rates::default();
    for score in SCORES {
        let weight = profile.weight(score.plugin);
        if weight == 0 {
            continue;
        }
        let rate = (score.rate)(ask, node);
        match score.normalize {
            Normalize::Not => rates.sum = rates.sum.saturating_add(small(rate * weight)),
            Normalize::Lowest => rates.taints = small(rate),
            Normalize::Highest => rates.wishes = small(rate),
        }
    }
    Ok(rates)
}

fn small(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
