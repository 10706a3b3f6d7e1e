//! Sends a log while it is being written.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;
use wherry_runtime_api::ContainerId;

use super::options::LogOptions;
use super::stream::LogReader;
use crate::containers::{Containers, Running};
use crate::file_watch::FileWatch;

/// One log being sent.
#[derive(Clone)]
pub(crate) struct Following {
    /// What the runtimes run.
    pub(crate) containers: Arc<Containers>,
    /// Whose log it is.
    pub(crate) id: ContainerId,
    /// What is asked for.
    pub(crate) options: LogOptions,
}

impl Following {
    /// Sends until the log ends, nobody listens any more, or the limit is reached. A log ends when its container
    /// does not run any more and everything it wrote was sent.
    pub(crate) async fn run(self, path: &Path, out: mpsc::Sender<io::Result<Bytes>>) {
        if let Err(error) = self.send_all(path, &out).await {
            // A listener that left does not care.
            let _gone = out.send(Err(error)).await;
        }
    }

    async fn send_all(&self, path: &Path, out: &mpsc::Sender<io::Result<Bytes>>) -> io::Result<()> {
        // Watched before it is read, so that no write goes unnoticed.
        let watch = FileWatch::new()?;
        watch.add(path)?;
        let mut changes = self.containers.changes();
        let mut reader = LogReader::new(File::open(path)?, self.options.clone())?;
        loop {
            // Asked before reading: what a container wrote before it ended is then surely read.
            changes.mark_unchanged();
            let ends = !self.options.follow || !self.is_running();
            while let Some(bytes) = reader.next()? {
                if out.send(Ok(bytes.into())).await.is_err() {
                    return Ok(());
                }
            }
            if ends || reader.is_exhausted() {
                return Ok(());
            }
            tokio::select! {
                changed = watch.changed() => changed?,
                _ = changes.changed() => {}
                () = out.closed() => return Ok(()),
            }
        }
    }

    fn is_running(&self) -> bool {
        self.containers
            .of_pod(&self.id.sandbox.0)
            .iter()
            .any(|c| c.status.id == self.id && Running::is_running(c))
    }
}
