//! What the scheduler is told by whoever starts it.

use std::sync::Arc;

use wherry_api::clock::Clock;

use crate::metrics::Metrics;

/// Settings of [`crate::run`].
#[derive(Clone)]
pub struct Config {
    /// The time, as conditions and events see it.
    pub clock: Arc<dyn Clock>,
    /// The Pods with this `spec.schedulerName` are ours.
    pub scheduler_name: String,
    /// Where the scheduler runs, as events name it.
    pub host: String,
    /// Seed of the draws between equally good nodes and of the jitter of retries.
    pub seed: u64,
    /// Where it counts what it does.
    pub metrics: Arc<Metrics>,
}

impl Config {
    /// The default scheduler, with this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            scheduler_name: "default-scheduler".to_owned(),
            host: "localhost".to_owned(),
            seed: 0,
            metrics: Arc::default(),
        }
    }
}
