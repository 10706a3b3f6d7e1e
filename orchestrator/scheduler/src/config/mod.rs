//! What the scheduler is told by whoever starts it.

mod args;
mod document;
mod extenders;
mod plugins;
mod reader;

use std::sync::Arc;

use wherry_api::clock::Clock;

use crate::metrics::Metrics;
pub(crate) use document::ProfileSettings;
pub use document::{Configuration, ConfigurationError};

/// Settings of [`crate::run`].
#[derive(Clone)]
pub struct Config {
    /// The time, as conditions and events see it.
    pub clock: Arc<dyn Clock>,
    /// Which schedulers this is, and how they decide.
    pub configuration: Configuration,
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
            configuration: Configuration::default(),
            host: "localhost".to_owned(),
            seed: 0,
            metrics: Arc::default(),
        }
    }
}
