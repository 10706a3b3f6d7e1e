//! What every long-running command does: say what it was built from, announce itself, wait to be stopped.

use std::io::Write as _;
use std::path::Path;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{Signal, SignalKind, signal};
use wherry_orchestrator::Build;

/// What this program was built from.
pub(crate) const BUILD: Build = Build { commit: env!("WHERRY_GIT_COMMIT"), date: env!("WHERRY_BUILD_DATE") };

/// Lets the process open as many files as it may ever: each Pod that listens takes one, and few systems give a process more than
/// 1024 to begin with. Containers are given limits of their own.
pub(crate) fn open_all_files_allowed() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the number of open files stays limited as it was: many Pods may need more");
    }
}

/// Waits for SIGTERM or SIGINT.
pub(crate) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Takes the signals over: from here on they end the process only by way of [`Stop::asked`].
    pub(crate) fn new() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Returns when the process is asked to stop.
    pub(crate) async fn asked(mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// One line, on standard output, for people and scripts that wait for it.
pub(crate) fn announce(started: tokio::time::Instant, kubeconfig: &Path) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "ready in {} ms: export KUBECONFIG={}",
        started.elapsed().as_millis(),
        kubeconfig.display()
    )?;
    out.flush()?;
    Ok(())
}

/// A random (version 4) UUID.
#[expect(clippy::disallowed_methods, reason = "the one place where the process's own source of ids is made")]
pub(crate) fn new_uid() -> String {
    uuid::Uuid::new_v4().to_string()
}
