//! Commands run to their end inside a container: those of probes and hooks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt};
use wherry_runtime_api::{ContainerId, ExecSpec, Runtime, RuntimeError};

use crate::containers::Running;
use crate::runtimes::Runtimes;

/// How much of what a command writes is kept.
const MAX_OUTPUT: usize = 10 * 1024;
/// How long a command that has ended is still listened to: what it left running may hold its output open.
const DRAIN: Duration = Duration::from_secs(1);

/// Where commands of one container run.
#[derive(Clone)]
pub(crate) struct Commands {
    runtime: Arc<dyn Runtime>,
    id: ContainerId,
}

impl fmt::Debug for Commands {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Commands").field("id", &self.id).finish_non_exhaustive()
    }
}

/// How a command went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    /// Its exit code.
    pub(crate) code: i32,
    /// The beginning of what it wrote, to whichever stream.
    pub(crate) output: String,
}

impl Commands {
    /// Commands in the container `id` of `runtime`.
    pub(crate) fn new(runtime: Arc<dyn Runtime>, id: ContainerId) -> Self {
        Self { runtime, id }
    }

    /// Commands in a container that runs.
    pub(crate) fn of(runtimes: &Runtimes, running: &Running) -> Self {
        Self::new(runtimes.get(running.handler).clone(), running.status.id.clone())
    }

    /// The container.
    pub(crate) fn container(&self) -> &ContainerId {
        &self.id
    }

    /// Runs a command to its end; one whose future is dropped is killed.
    pub(crate) async fn run(&self, command: &[String]) -> Result<Outcome, RuntimeError> {
        let spec = ExecSpec { command: command.to_vec(), ..ExecSpec::default() };
        let running = self.runtime.exec(&self.id, &spec).await?;
        let output = Mutex::new(Vec::new());
        let (stdout, stderr) = (running.stdout, running.stderr);
        let errors = async {
            if let Some(stderr) = stderr {
                collect(stderr, &output).await;
            }
        };
        let mut reading = std::pin::pin!(async { tokio::join!(collect(stdout, &output), errors) }.fuse());
        let mut ended = running.ended;
        let code = tokio::select! {
            code = &mut ended => code?,
            _ = &mut reading => ended.await?,
        };
        if !futures::future::FusedFuture::is_terminated(&*reading) {
            // Without an end of the output what has come until now is all.
            tokio::time::timeout(DRAIN, reading).await.ok();
        }
        let output = String::from_utf8_lossy(&output.lock()).into_owned();
        Ok(Outcome { code, output })
    }
}

/// Reads to the end and keeps as much as there is room for.
async fn collect(mut from: impl AsyncRead + Unpin, to: &Mutex<Vec<u8>>) {
    // On the heap: every probe that runs has one of these.
    let mut buffer = vec![0; 4096];
    // A stream that breaks has ended.
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let mut to = to.lock();
        let room = MAX_OUTPUT - to.len();
        to.extend_from_slice(&buffer[..count.min(room)]);
    }
}
