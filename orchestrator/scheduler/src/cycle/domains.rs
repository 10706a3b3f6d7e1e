//! The filters and scores that depend on what the domains of a node hold.

use crate::cluster::{Cluster, Domain};
use crate::plugins::{Plugin, Profile, Refusal, affinity, float, spread, whole};

use super::column::{Column, Kind};
use super::plan::{Constraint, Plan};

/// One thing a node's domain must be right for.
struct Check<'c> {
    column: &'c Column,
    domains: &'c [Domain],
    rule: Rule,
}

/// What the sum of the domain must be.
#[derive(Clone, Copy)]
enum Rule {
    /// At most this; the node must be in a domain.
    Spread {
        most: i64,
    },
    /// Above zero, unless the Pod is the first of its kind; the node must be in a domain.
    Near {
        is_first: bool,
    },
    Apart,
    KeepsAway,
}

/// All of them, for one decision, in the order they are asked.
pub(super) struct Checks<'c>(Vec<Check<'c>>);

impl<'c> Checks<'c> {
    pub(super) fn new(plan: &'c Plan, cluster: &'c Cluster) -> Self {
        let near = plan.columns.iter().filter(|column| column.kind == Kind::Near);
        let is_first = plan.likes_itself && near.clone().all(Column::is_empty);
        let rule = |column: &Column| match column.kind {
            Kind::Hard(at) => Some((0, Rule::Spread { most: most(column, &plan.hard[at]) })),
            Kind::Near => Some((1, Rule::Near { is_first })),
            Kind::Apart if !column.is_empty() => Some((2, Rule::Apart)),
            Kind::KeepsAway if !column.is_empty() => Some((3, Rule::KeepsAway)),
            Kind::Apart | Kind::KeepsAway | Kind::Wishes | Kind::Soft(_) => None,
        };
        let checks = plan.columns.iter().filter_map(|column| {
            let (order, rule) = rule(column)?;
            Some((order, Check { column, domains: cluster.topologies.of_nodes(column.key), rule }))
        });
        let mut checks: Vec<_> = checks.collect();
        checks.sort_by_key(|(order, _)| *order);
        Self(checks.into_iter().map(|(_, check)| check).collect())
    }

    /// Whether a node's domains are right.
    #[inline]
    pub(super) fn pass(&self, node: usize) -> Result<(), Refusal> {
        self.0.iter().try_for_each(|check| {
            let domain = check.domains.get(node).copied().unwrap_or(Domain::NONE);
            let sum = check.column.sum(domain);
            match check.rule {
                Rule::Spread { .. } if domain == Domain::NONE => Err(spread::NO_LABEL),
                Rule::Spread { most } if sum > most => Err(spread::UNEVEN),
                Rule::Near { .. } if domain == Domain::NONE => Err(affinity::NOT_NEAR),
                Rule::Near { is_first } if sum <= 0 && !is_first => Err(affinity::NOT_NEAR),
                Rule::Apart if sum > 0 => Err(affinity::NOT_APART),
                Rule::KeepsAway if sum > 0 => Err(affinity::KEPT_AWAY),
                Rule::Spread { .. } | Rule::Near { .. } | Rule::Apart | Rule::KeepsAway => Ok(()),
            }
        })
    }
}

/// How many Pods a domain may have for one more to keep within the skew.
fn most(column: &Column, constraint: &Constraint) -> i64 {
    let least = column.least().unwrap_or_else(|| i64::from(i32::MAX));
    let wanted = usize::try_from(constraint.rule.min_domains).unwrap_or(0);
    let least = if column.inhabited() < wanted { 0 } else { least };
    i64::from(constraint.rule.max_skew) + least - i64::from(constraint.counts_itself)
}

/// Adds the scores by wishes among Pods to the totals of the nodes that fit.
pub(super) fn add_wishes(
    nodes: &[u32],
    totals: &mut [i64],
    plan: &Plan,
    cluster: &Cluster,
    profile: &Profile,
) {
    let columns = plan.columns.iter().filter(|column| column.kind == Kind::Wishes && !column.is_empty());
    let columns: Vec<_> = columns.map(|column| (column, cluster.topologies.of_nodes(column.key))).collect();
    if columns.is_empty() {
        return;
    }
    let raw = |node: u32| -> i64 {
        columns.iter().map(|(column, domains)| column.sum(domain_of(domains, node))).sum()
    };
    let (least, most) = nodes.iter().fold((i64::MAX, i64::MIN), |(least, most), node| {
        let raw = raw(*node);
        (least.min(raw), most.max(raw))
    });
    let (weight, span) = (profile.weight(Plugin::InterPodAffinity), most.saturating_sub(least));
    if span > 0 {
        for (total, node) in totals.iter_mut().zip(nodes) {
            *total += weight * whole(100.0 * (float(raw(*node) - least) / float(span)));
        }
    }
}

#[inline]
fn domain_of(domains: &[Domain], node: u32) -> Domain {
    domains.get(node as usize).copied().unwrap_or(Domain::NONE)
}

/// A constraint that should hold, ready to be scored.
struct Soft<'c> {
    constraint: &'c Constraint,
    column: &'c Column,
    domains: &'c [Domain],
    /// Smaller topologies count less for each Pod.
    weight: f64,
}

/// Adds the scores by how evenly Pods are spread to the totals of the nodes that fit.
pub(super) fn add_spread(
    nodes: &[u32],
    totals: &mut [i64],
    plan: &Plan,
    cluster: &Cluster,
    profile: &Profile,
) {
    if plan.soft.is_empty() {
        return;
    }
    let mut rules = Vec::with_capacity(plan.soft.len());
    for column in &plan.columns {
        if let Kind::Soft(at) = column.kind {
            let domains = cluster.topologies.of_nodes(column.key);
            rules.push(Soft { constraint: &plan.soft[at], column, domains, weight: 0.0 });
        }
    }
    let is_left_out = |rules: &[Soft<'_>], node: u32| {
        plan.needs_all_keys && rules.iter().any(|rule| domain_of(rule.domains, node) == Domain::NONE)
    };
    let scored = nodes.iter().filter(|node| !is_left_out(&rules, **node)).count();
    let sizes: Vec<_> =
        rules.iter().map(|rule| size(rule, nodes, scored, |node| is_left_out(&rules, node))).collect();
    for (rule, size) in rules.iter_mut().zip(sizes) {
        rule.weight = float(i64::try_from(size).unwrap_or(i64::MAX) + 2).ln();
    }
    let raw = |node: u32| (!is_left_out(&rules, node)).then(|| rate(&rules, node));
    let rated = nodes.iter().filter_map(|node| raw(*node));
    let (least, most) = rated.fold((i64::MAX, 0), |(least, most), raw| (least.min(raw), most.max(raw)));
    let weight = profile.weight(Plugin::PodTopologySpread);
    for (total, node) in totals.iter_mut().zip(nodes) {
        *total += weight
            * match raw(*node) {
                None => 0,
                Some(_) if most == 0 => 100,
                Some(raw) => 100 * (most + least - raw) / most,
            };
    }
}

/// How many domains the nodes that fit are in.
fn size(rule: &Soft<'_>, nodes: &[u32], scored: usize, is_left_out: impl Fn(u32) -> bool) -> usize {
    if rule.constraint.by_node {
        return scored;
    }
    let (mut seen, mut outside, mut count) = (Vec::new(), false, 0);
    for node in nodes.iter().filter(|node| !is_left_out(**node)) {
        let Some(place) = domain_of(rule.domains, *node).get() else {
            outside = true;
            continue;
        };
        if seen.len() <= place {
            seen.resize(place + 1, false);
        }
        count += usize::from(!std::mem::replace(&mut seen[place], true));
    }
    // Nodes without the label are one domain more.
    count + usize::from(outside)
}

fn rate(rules: &[Soft<'_>], node: u32) -> i64 {
    let mut score = 0.0;
    for rule in rules {
        let domain = domain_of(rule.domains, node);
        if domain != Domain::NONE {
            let count = if rule.constraint.by_node {
                rule.column.amount(node as usize)
            } else {
                rule.column.sum(domain)
            };
            score += float(count) * rule.weight + float(i64::from(rule.constraint.rule.max_skew) - 1);
        }
    }
    whole(score.round())
}
