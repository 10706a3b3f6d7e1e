//! A node must have room for what a Pod requests; how much stays free says how good it is.

use super::resource_score::shares;
use super::{Ask, FitArgs, Plugin, Refusal, ShapePoint, Strategy, Why, float, whole};
use crate::cluster::{Cluster, NodeInfo};
use crate::event::Event;
use crate::pod::resources::Resources;
use crate::pod::{PodInfo, Template};

/// The resources of [`Why::Lacks`] before the extended ones.
const FIRST: [&str; 4] = ["pods", "cpu", "memory", "ephemeral-storage"];

pub(super) fn fits(ask: &Ask<'_>, node: &NodeInfo) -> Result<(), Refusal> {
    let (wanted, used, all) = (&ask.template.requests, &node.requested, &node.allocatable);
    let mut shortage = Shortage::default();
    shortage.check(0, 1, used.pods, all.pods);
    // What is too much even for the empty node is so for good; the number of Pods never is.
    shortage.is_final = false;
    shortage.check(1, wanted.cpu, used.cpu, all.cpu);
    shortage.check(2, wanted.memory, used.memory, all.memory);
    shortage.check(3, wanted.ephemeral_storage, used.ephemeral_storage, all.ephemeral_storage);
    for (place, (name, wanted)) in wanted.extended.iter().enumerate() {
        if !is_ignored(name, &ask.args.fit) {
            shortage.check(FIRST.len() + place, *wanted, used.extended(name), all.extended(name));
        }
    }
    if shortage.lacking == 0 {
        return Ok(());
    }
    let why = Why::Lacks(shortage.lacking);
    Err(Refusal { plugin: Plugin::NodeResourcesFit, why, is_final: shortage.is_final })
}

#[derive(Default)]
struct Shortage {
    lacking: u64,
    is_final: bool,
}

impl Shortage {
    fn check(&mut self, place: usize, wanted: i64, used: i64, all: i64) {
        if wanted > 0 && wanted > all.saturating_sub(used) {
            self.lacking |= 1 << place.min(63);
            self.is_final |= wanted > all;
        }
    }
}

fn is_ignored(name: &str, args: &FitArgs) -> bool {
    let group = name.split_once('/').map(|(group, _)| group);
    args.ignored.iter().any(|ignored| ignored == name)
        || group.is_some_and(|group| args.ignored_groups.iter().any(|ignored| ignored == group))
}

/// What a node lacks, as the user reads it.
pub(crate) fn texts(lacking: u64, template: &Template) -> impl Iterator<Item = String> {
    let names = FIRST.into_iter().chain(template.requests.extended.keys().map(String::as_str));
    let lacking = names.enumerate().filter(move |(place, _)| lacking & (1 << (*place).min(63)) != 0);
    lacking.map(
        |(place, name)| if place == 0 { "Too many pods".to_owned() } else { format!("Insufficient {name}") },
    )
}

pub(super) fn rate(ask: &Ask<'_>, node: &NodeInfo) -> i64 {
    let FitArgs { strategy, resources, .. } = &ask.args.fit;
    let shares = shares(resources, &ask.template.scored, &node.scored, node);
    match strategy {
        Strategy::LeastAllocated => mean(shares.map(|(used, all, weight)| (free(used, all), weight))),
        Strategy::MostAllocated => mean(shares.map(|(used, all, weight)| (taken(used, all), weight))),
        Strategy::RequestedToCapacityRatio(shape) => {
            let scores = shares.map(|(used, all, weight)| (on_line(shape, taken(used, all)), weight));
            let (sum, weights) = sums(scores.filter(|(score, _)| *score > 0));
            if weights == 0 { 0 } else { whole((float(sum) / float(weights)).round()) }
        }
    }
}

fn sums(scores: impl Iterator<Item = (i64, i64)>) -> (i64, i64) {
    scores.fold((0, 0), |(sum, weights), (score, weight)| (sum + score * weight, weights + weight))
}

fn mean(scores: impl Iterator<Item = (i64, i64)>) -> i64 {
    let (sum, weights) = sums(scores);
    sum.checked_div(weights).unwrap_or(0)
}

/// The part that stays free, from 0 to 100.
fn free(used: i64, all: i64) -> i64 {
    percent(all.saturating_sub(used).max(0), all)
}

/// The part that is given away, from 0 to 100.
fn taken(used: i64, all: i64) -> i64 {
    percent(used.min(all), all)
}

fn percent(part: i64, all: i64) -> i64 {
    i64::try_from(i128::from(part) * 100 / i128::from(all)).unwrap_or(0)
}

/// The score, from 0 to 100, on the broken line through the points.
fn on_line(shape: &[ShapePoint], utilization: i64) -> i64 {
    let score = |point: &ShapePoint| point.score * 10;
    let Some(at) = shape.iter().position(|point| utilization <= point.utilization) else {
        return shape.last().map_or(0, score);
    };
    let Some(before) = at.checked_sub(1).map(|at| shape[at]) else { return score(&shape[at]) };
    let after = shape[at];
    let (rise, run) = (score(&after) - score(&before), after.utilization - before.utilization);
    score(&before) + rise * (utilization - before.utilization) / run
}

pub(super) fn helps(pod: &PodInfo, cluster: &Cluster, event: &Event) -> bool {
    let wanted = &pod.template.requests;
    match event {
        Event::NodeAdded(node) => would_fit_empty(wanted, cluster.node(*node)),
        Event::NodeChanged(node, changes) => {
            changes.allocatable && would_fit_empty(wanted, cluster.node(*node))
        }
        Event::PodGone { .. } => true,
        Event::PodChanged { before, now, .. } => frees(&before.requests, &now.requests, wanted),
        _ => false,
    }
}

fn would_fit_empty(wanted: &Resources, node: &NodeInfo) -> bool {
    let all = &node.allocatable;
    wanted.cpu <= all.cpu && wanted.memory <= all.memory && all.pods > 0
}

/// Whether a Pod gave back something that is wanted.
fn frees(before: &Resources, now: &Resources, wanted: &Resources) -> bool {
    let names = FIRST.into_iter().chain(wanted.extended.keys().map(String::as_str));
    names.into_iter().any(|name| wanted.amount(name) > 0 && now.amount(name) < before.amount(name))
}
