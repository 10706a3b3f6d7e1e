//! What is recorded, and where it goes.

use std::path::PathBuf;
use std::time::Duration;

use super::{Policy, Receiver};

/// What is recorded, and where it goes.
#[derive(Debug, Clone)]
pub struct AuditConfig {
    /// How much of which requests is recorded.
    pub policy: Policy,
    /// The log, if there is one.
    pub log: Option<LogConfig>,
    /// The program that collects events, if there is one.
    pub webhook: Option<WebhookConfig>,
}

/// How events reach who writes them.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// Who waits for whom.
    pub mode: Mode,
    /// How many events wait to be written.
    pub buffer: usize,
    /// How many events are written at once at most, in batch mode.
    pub max_batch: usize,
    /// How long the first event of a batch waits for others, in batch mode.
    pub max_wait: Duration,
    /// How many batches are sent a second, in batch mode; none is as many as there are.
    pub throttle: Option<Throttle>,
}

/// How many batches are sent a second.
#[derive(Debug, Clone, Copy)]
pub struct Throttle {
    /// On average.
    pub qps: f64,
    /// At one moment, after silence.
    pub burst: u32,
}

/// Who waits for whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Nobody waits: events are dropped when there is no room for them.
    Batch,
    /// Answers wait until their events are written, or cannot be.
    Blocking,
    /// The same, and a request whose first event cannot be written is refused.
    BlockingStrict,
}

/// Where the log is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogTarget {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

/// A log of one event a line.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Where it is.
    pub target: LogTarget,
    /// How many MiB a file holds before it is set aside.
    pub max_size: u64,
    /// How many files set aside are kept; zero is all of them.
    pub max_backups: usize,
    /// How many days files set aside are kept; zero is for ever.
    pub max_age: u32,
    /// How events get there.
    pub delivery: Delivery,
}

impl LogConfig {
    /// A log in customary form: in blocking mode, 100 MiB a file, all files kept.
    pub fn new(target: LogTarget) -> Self {
        let delivery = Delivery {
            mode: Mode::Blocking,
            buffer: 10_000,
            max_batch: 1,
            max_wait: Duration::ZERO,
            throttle: None,
        };
        Self { target, max_size: 100, max_backups: 0, max_age: 0, delivery }
    }
}

/// A program that collects events.
#[derive(Debug, Clone)]
pub struct WebhookConfig {
    /// Where it is, and who this server is to it.
    pub receiver: Receiver,
    /// How long the second attempt waits after the first.
    pub initial_backoff: Duration,
    /// How events get there.
    pub delivery: Delivery,
}

impl WebhookConfig {
    /// A collector in customary form: batches of up to 400 events, at least every 30 seconds, ten a second.
    pub fn new(receiver: Receiver) -> Self {
        let delivery = Delivery {
            mode: Mode::Batch,
            buffer: 10_000,
            max_batch: 400,
            max_wait: Duration::from_secs(30),
            throttle: Some(Throttle { qps: 10.0, burst: 15 }),
        };
        Self { receiver, initial_backoff: Duration::from_secs(10), delivery }
    }
}
