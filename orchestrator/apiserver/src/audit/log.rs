//! The log: one event a line, to standard output or to a file that is rotated.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use super::config::{LogConfig, LogTarget};
use super::event::LINE;
use super::file::{self, Limits, Rotating};
use super::queue::{Item, Queue, acknowledge};
use super::{Audit, Plugin};

const MIB: u64 = 1024 * 1024;

impl LogTarget {
    /// A target as the command line names it: a path, or `-` for standard output. A file must be one that can be
    /// written.
    pub fn parse(path: &Path) -> io::Result<Self> {
        if path == Path::new("-") {
            return Ok(Self::Stdout);
        }
        file::open(path)?;
        Ok(Self::File(path.to_owned()))
    }
}

/// What lines are written to.
enum Output {
    Stdout,
    File(Rotating),
}

impl Output {
    fn new(config: &LogConfig, audit: &Audit) -> Self {
        match &config.target {
            LogTarget::Stdout => Self::Stdout,
            LogTarget::File(path) => {
                let bytes = config.max_size.saturating_mul(MIB);
                let limits = Limits { bytes, backups: config.max_backups, days: config.max_age };
                Self::File(Rotating::new(path.clone(), limits, Arc::clone(&audit.clock)))
            }
        }
    }

    fn write(&mut self, lines: &[Vec<u8>]) -> io::Result<()> {
        match self {
            Self::Stdout => {
                let mut out = io::stdout().lock();
                lines.iter().try_for_each(|line| out.write_all(line))?;
                out.flush()
            }
            Self::File(file) => file.write(lines),
        }
    }
}

/// An event as a line.
fn line(item: &Item) -> Vec<u8> {
    let mut line = Vec::with_capacity(LINE.len() + item.event.len());
    line.extend_from_slice(LINE);
    line.extend_from_slice(item.event.get(1..).unwrap_or_default());
    line.push(b'\n');
    line
}

/// Writes events until there are no more.
pub(super) async fn run(audit: &Audit, config: &LogConfig, queue: &Queue) {
    let Some(mut outlet) = queue.outlet() else { return };
    let mut output = Output::new(config, audit);
    while let Some(batch) = outlet.next(&audit.closing).await {
        let lines: Vec<Vec<u8>> = batch.iter().map(line).collect();
        let writing = tokio::task::spawn_blocking(move || {
            let result = output.write(&lines);
            (output, result)
        });
        let (returned, result) = writing.await.expect("writing does not panic");
        output = returned;
        if let Err(error) = &result {
            tracing::error!(%error, events = batch.len(), "audit events cannot be written");
            audit.counts.lost(Plugin::Log, batch.len());
        }
        acknowledge(batch, result.is_ok());
    }
}
