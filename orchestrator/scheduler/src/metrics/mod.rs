//! What the scheduler counts, under the names that kube-scheduler uses.
//!
//! Counting takes relaxed additions. The gauges are of the task that owns all state; it publishes them when it rests, and
//! now and then while it does not.

mod histogram;
mod render;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::queue::{Incoming, Waiting};
use histogram::Histogram;

/// How an attempt to place a Pod ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    Scheduled,
    Unschedulable,
    Error,
}

impl Attempt {
    const ALL: [(Self, &'static str); 3] =
        [(Self::Scheduled, "scheduled"), (Self::Unschedulable, "unschedulable"), (Self::Error, "error")];
}

/// A step of an attempt that is measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Point {
    PostFilter,
    PreBind,
    Bind,
}

impl Point {
    /// With its name, and how a failure of it is called.
    const ALL: [(Self, &'static str, &'static str); 3] = [
        (Self::PostFilter, "PostFilter", "Unschedulable"),
        (Self::PreBind, "PreBind", "Error"),
        (Self::Bind, "Bind", "Error"),
    ];
}

/// What is counted of one profile.
#[derive(Debug)]
pub(crate) struct OfProfile {
    /// By how they ended.
    attempts: [Histogram; 3],
    /// By step, and whether it succeeded.
    points: [[Histogram; 2]; 3],
}

/// What the task that owns all state publishes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gauges {
    pub(crate) waiting: Waiting,
    /// Pods that found no node, by the plugin that said no.
    pub(crate) unschedulable: BTreeMap<&'static str, usize>,
    pub(crate) nodes: usize,
    pub(crate) pods: usize,
    pub(crate) assumed: usize,
}

/// What a scheduler counts; whoever serves metrics writes it down with [`Metrics::render`].
#[derive(Debug)]
pub struct Metrics {
    profiles: Mutex<BTreeMap<String, Arc<OfProfile>>>,
    algorithm: Histogram,
    /// From the first time that a Pod could be tried to its binding, by attempts: 1 to 15, and more.
    sli: [Histogram; 16],
    tries: Histogram,
    preemptions: AtomicU64,
    victims: Histogram,
    incoming: Mutex<BTreeMap<Incoming, u64>>,
    gauges: Mutex<Gauges>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            profiles: Mutex::default(),
            algorithm: Histogram::new(0.001, 15),
            sli: std::array::from_fn(|_| Histogram::new(0.01, 20)),
            tries: Histogram::new(1.0, 5),
            preemptions: AtomicU64::new(0),
            victims: Histogram::new(1.0, 7),
            incoming: Mutex::default(),
            gauges: Mutex::default(),
        }
    }
}

impl Metrics {
    /// What is counted of the profile of this name.
    pub(crate) fn profile(&self, name: &str) -> Arc<OfProfile> {
        let mut profiles = self.profiles.lock();
        let new = || {
            Arc::new(OfProfile {
                attempts: std::array::from_fn(|_| Histogram::new(0.001, 15)),
                points: std::array::from_fn(|_| std::array::from_fn(|_| Histogram::new(0.0001, 12))),
            })
        };
        profiles.entry(name.to_owned()).or_insert_with(new).clone()
    }

    /// A decision took so long.
    pub(crate) fn decided(&self, took: Duration) {
        self.algorithm.count(micros(took));
    }

    /// A Pod was bound at this attempt, so long after it could first be tried.
    pub(crate) fn bound(&self, attempt: u32, after: Duration) {
        let attempts = usize::try_from(attempt).unwrap_or(usize::MAX).clamp(1, self.sli.len());
        self.sli[attempts - 1].count(micros(after));
        self.tries.count(u64::from(attempt) * 1_000_000);
    }

    /// Preemption was looked into.
    pub(crate) fn preemption(&self) {
        self.preemptions.fetch_add(1, Ordering::Relaxed);
    }

    /// So many Pods have to end for another one.
    pub(crate) fn victims(&self, count: usize) {
        self.victims.count(count as u64 * 1_000_000);
    }

    /// Pods came into lines of the queue.
    pub(crate) fn incoming(&self, incoming: &BTreeMap<Incoming, usize>) {
        let mut counts = self.incoming.lock();
        for (incoming, count) in incoming {
            *counts.entry(*incoming).or_default() += *count as u64;
        }
    }

    /// Takes over what there is now.
    pub(crate) fn publish(&self, gauges: Gauges) {
        *self.gauges.lock() = gauges;
    }
}

impl OfProfile {
    /// An attempt ended so, and took so long with its binding.
    pub(crate) fn attempt(&self, ended: Attempt, took: Duration) {
        self.attempts[ended as usize].count(micros(took));
    }

    /// A step of an attempt took so long.
    pub(crate) fn point(&self, point: Point, succeeded: bool, took: Duration) {
        self.points[point as usize][usize::from(succeeded)].count(micros(took));
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
