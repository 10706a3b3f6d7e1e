//! What a Pod's decision counts by domain: its own constraints and terms, and those of placed Pods that speak of it.

use std::sync::Arc;

use crate::cluster::{Cluster, KeyIndex, NodeInfo, TemplateIndex};
use crate::plugins::{Args, Ask, HOSTNAME, Plugin, Profile, SpreadDefaults};
use crate::pod::{Honor, PodTerm, Spread, Template};

use super::column::{Column, Kind};

/// A constraint with the index of its key.
pub(super) struct Constraint {
    pub(super) rule: Spread,
    pub(super) key: KeyIndex,
    /// Whether the Pod itself is among those that are spread.
    pub(super) counts_itself: bool,
    /// Whether its domains are the nodes, which need no sums.
    pub(super) by_node: bool,
}

/// What one Pod of a template adds to a column.
#[derive(Clone, Copy)]
struct Part {
    column: usize,
    weight: i64,
    /// Whether Pods on their way out do not count.
    only_staying: bool,
}

/// What is known of a placed template: its parts in the list.
#[derive(Clone, Copy, Default)]
struct Link {
    serial: u64,
    start: usize,
    end: usize,
}

/// What of affinity is asked for.
#[derive(Clone, Copy)]
struct AffinityAsks {
    filters: bool,
    scores: bool,
}

/// See the module's documentation.
pub(super) struct Plan {
    template: Arc<Template>,
    pub(super) hard: Vec<Constraint>,
    pub(super) soft: Vec<Constraint>,
    /// Whether nodes that lack one of the keys of `soft` are not scored by them.
    pub(super) needs_all_keys: bool,
    pub(super) columns: Vec<Column>,
    /// Whether the Pod satisfies its own affinity, so that it may be the first of its kind.
    pub(super) likes_itself: bool,
    asks: AffinityAsks,
    links: Vec<Link>,
    parts: Vec<Part>,
    /// For one node: the sums by column.
    sums: Vec<i64>,
}

impl Plan {
    pub(super) fn new(template: &Arc<Template>, cluster: &mut Cluster, profile: &Profile) -> Self {
        let spreads = spreads(template, cluster, &profile.args.spread);
        let mut constraints = |is_soft: bool, plugin_is_asked: bool| -> Vec<Constraint> {
            let wanted = spreads.iter().filter(|rule| plugin_is_asked && rule.is_soft == is_soft);
            wanted.map(|rule| constraint(rule, template, cluster)).collect()
        };
        let hard = constraints(false, profile.filters.contains(Plugin::PodTopologySpread));
        let soft = constraints(true, profile.weight(Plugin::PodTopologySpread) != 0);
        let ignores_others =
            profile.args.ignore_preferred_terms_of_existing_pods && template.preferred.is_empty();
        let namespace = cluster.namespace(&template.namespace);
        let likes_itself = template
            .affinity
            .iter()
            .all(|term| term.matches(&template.namespace, &template.labels, namespace));
        let is_default = template.spread.is_empty() && profile.args.spread == SpreadDefaults::System;
        let mut plan = Self {
            template: template.clone(),
            columns: Vec::new(),
            needs_all_keys: !is_default,
            likes_itself,
            asks: AffinityAsks {
                filters: profile.filters.contains(Plugin::InterPodAffinity),
                scores: profile.weight(Plugin::InterPodAffinity) != 0 && !ignores_others,
            },
            links: Vec::new(),
            parts: Vec::new(),
            sums: Vec::new(),
            hard,
            soft,
        };
        plan.add_own_columns(cluster);
        plan
    }

    fn add_own_columns(&mut self, cluster: &mut Cluster) {
        let hard = self.hard.iter().enumerate().map(|(place, rule)| (Kind::Hard(place), rule.key));
        let soft = self.soft.iter().enumerate().map(|(place, rule)| (Kind::Soft(place), rule.key));
        let mut columns: Vec<_> = hard.chain(soft).collect();
        let template = self.template.clone();
        if self.asks.filters {
            columns.extend(
                template.affinity.iter().map(|term| (Kind::Near, cluster.topology(&term.topology_key))),
            );
            let apart = template.anti_affinity.iter();
            columns.extend(apart.map(|term| (Kind::Apart, cluster.topology(&term.topology_key))));
        }
        if self.asks.scores {
            let wishes = template.preferred.iter();
            columns.extend(wishes.map(|(_, term)| (Kind::Wishes, cluster.topology(&term.topology_key))));
        }
        for (kind, key) in columns {
            self.column(kind, key);
        }
    }

    /// The place of a column, which is made if there is none.
    fn column(&mut self, kind: Kind, key: KeyIndex) -> usize {
        let found = self.columns.iter().position(|column| (column.kind, column.key) == (kind, key));
        found.unwrap_or_else(|| {
            self.columns.push(Column::new(kind, key));
            self.columns.len() - 1
        })
    }

    /// Takes over what a node is now and which Pods are on it.
    pub(super) fn update(&mut self, place: usize, node: &NodeInfo, ask: &Ask<'_>) {
        if self.columns.is_empty() && !ask.cluster.templates.have_terms() {
            return;
        }
        self.sums.clear();
        for residents in &node.residents {
            let link = self.link(residents.template, ask.cluster, ask.args);
            for at in link.start..link.end {
                let part = self.parts[at];
                let left_out = if part.only_staying { residents.leaving } else { 0 };
                if self.sums.len() <= part.column {
                    self.sums.resize(part.column + 1, 0);
                }
                self.sums[part.column] += part.weight * i64::from(residents.count - left_out);
            }
        }
        let index = crate::cluster::NodeIndex::new(place);
        for (at, column) in self.columns.iter_mut().enumerate() {
            let amount = self.sums.get(at).copied().unwrap_or(0);
            let counts = match column.kind {
                Kind::Hard(at) => counts_for(&self.hard[at], &self.hard, true, node, ask),
                Kind::Soft(at) => counts_for(&self.soft[at], &self.soft, self.needs_all_keys, node, ask),
                Kind::Near | Kind::Apart | Kind::KeepsAway | Kind::Wishes => true,
            };
            let domain = if counts {
                ask.cluster.topologies.of_node(column.key, index)
            } else {
                crate::cluster::Domain::NONE
            };
            column.set(place, domain, amount);
        }
    }

    /// What a Pod of a placed template adds; worked out once.
    fn link(&mut self, index: TemplateIndex, cluster: &Cluster, args: &Args) -> Link {
        let Some(used) = cluster.templates.get(index) else { return Link::default() };
        if self.links.len() <= index.get() {
            self.links.resize(index.get() + 1, Link::default());
        }
        if self.links[index.get()].serial == used.serial {
            return self.links[index.get()];
        }
        let start = self.parts.len();
        let template = self.template.clone();
        self.link_own(&template, &used.template, cluster);
        self.link_others(&template, &used.template, cluster, args);
        let link = Link { serial: used.serial, start, end: self.parts.len() };
        self.links[index.get()] = link;
        link
    }

    /// What the Pod's own rules say of a placed one.
    fn link_own(&mut self, own: &Template, other: &Template, cluster: &Cluster) {
        let speaks = |term: &PodTerm| {
            term.matches(&other.namespace, &other.labels, cluster.namespace(&other.namespace))
        };
        for (constraints, kind) in [(&self.hard, Kind::Hard as fn(usize) -> Kind), (&self.soft, Kind::Soft)] {
            for (place, constraint) in constraints.iter().enumerate() {
                if own.namespace != other.namespace || !constraint.rule.counts(&other.labels) {
                    continue;
                }
                let found = self.columns.iter().position(|column| column.kind == kind(place));
                let part = |column| Part { column, weight: 1, only_staying: true };
                self.parts.extend(found.map(part));
            }
        }
        if self.asks.filters {
            if !own.affinity.is_empty() && own.affinity.iter().all(speaks) {
                self.add_parts(Kind::Near, own.affinity.iter().map(|term| (1, term)), cluster);
            }
            let apart = own.anti_affinity.iter().filter(|term| speaks(term));
            self.add_parts(Kind::Apart, apart.map(|term| (1, term)), cluster);
        }
        if self.asks.scores {
            let wishes = own.preferred.iter().filter(|(_, term)| speaks(term));
            self.add_parts(Kind::Wishes, wishes.map(|(weight, term)| (*weight, term)), cluster);
        }
    }

    /// What a placed Pod's rules say of this one.
    fn link_others(&mut self, own: &Template, other: &Template, cluster: &Cluster, args: &Args) {
        let namespace = cluster.namespace(&own.namespace);
        let speaks = |term: &PodTerm| term.matches(&own.namespace, &own.labels, namespace);
        if self.asks.filters {
            let apart = other.anti_affinity.iter().filter(|term| speaks(term));
            self.add_parts(Kind::KeepsAway, apart.map(|term| (1, term)), cluster);
        }
        if self.asks.scores {
            let weight = args.hard_pod_affinity_weight;
            let required = other.affinity.iter().filter(|term| weight > 0 && speaks(term));
            let wishes = other.preferred.iter().filter(|(_, term)| speaks(term));
            let wishes = wishes.map(|(weight, term)| (*weight, term));
            self.add_parts(Kind::Wishes, wishes.chain(required.map(|term| (weight, term))), cluster);
        }
    }

    fn add_parts<'t>(
        &mut self,
        kind: Kind,
        terms: impl Iterator<Item = (i64, &'t PodTerm)>,
        cluster: &Cluster,
    ) {
        for (weight, term) in terms {
            let Some(key) = cluster.topologies.find(&term.topology_key) else { continue };
            let column = self.column(kind, key);
            self.parts.push(Part { column, weight, only_staying: false });
        }
    }

    /// Whether some domain differs from another, so that nodes cannot be looked at by themselves.
    pub(super) fn is_active(&self) -> bool {
        self.columns.iter().any(|column| match column.kind {
            Kind::Near | Kind::Hard(_) | Kind::Soft(_) => true,
            Kind::Apart | Kind::KeepsAway | Kind::Wishes => !column.is_empty(),
        })
    }

    /// Whether some domain holds Pods that must not be with this one.
    pub(super) fn is_kept_away_somewhere(&self) -> bool {
        self.columns.iter().any(|column| column.kind == Kind::KeepsAway && !column.is_empty())
    }
}

/// The constraints of a Pod: its own, or else those of the profile for the Pods it belongs with.
pub(super) fn spreads(template: &Template, cluster: &Cluster, defaults: &SpreadDefaults) -> Vec<Spread> {
    if !template.spread.is_empty() {
        return template.spread.clone();
    }
    let Some(selector) = cluster.selectors.of(template) else { return Vec::new() };
    let with = |rule: Spread| Spread { selector: Some(selector.clone()), ..rule };
    match defaults {
        SpreadDefaults::System => Spread::of_system().into_iter().map(with).collect(),
        SpreadDefaults::List(rules) => rules.iter().cloned().map(with).collect(),
    }
}

fn constraint(rule: &Spread, template: &Template, cluster: &mut Cluster) -> Constraint {
    Constraint {
        key: cluster.topology(&rule.topology_key),
        counts_itself: rule.counts(&template.labels),
        by_node: rule.is_soft && rule.topology_key == HOSTNAME,
        rule: rule.clone(),
    }
}

/// Whether a node's Pods count for a constraint.
fn counts_for(
    constraint: &Constraint,
    all: &[Constraint],
    needs_all_keys: bool,
    node: &NodeInfo,
    ask: &Ask<'_>,
) -> bool {
    if constraint.by_node {
        return true;
    }
    let symbols = &ask.cluster.symbols;
    let has = |key: &str| symbols.get(key).is_some_and(|key| node.labels.get(key).is_some());
    (!needs_all_keys || all.iter().all(|other| has(&other.rule.topology_key)))
        && (constraint.rule.affinity == Honor::Ignore || ask.is_asked_for(node))
        && (constraint.rule.taints == Honor::Ignore || ask.bears_taints_of(node))
}
