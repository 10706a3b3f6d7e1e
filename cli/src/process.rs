//! What every long-running command does: say what it was built from, announce itself, wait to be stopped.

use std::io::Write as _;
use std::path::Path;

use tokio::signal::unix::{Signal, SignalKind, signal};
use wherry_orchestrator::Build;

/// What this program was built from.
pub(crate) const BUILD: Build = Build { commit: env!("WHERRY_GIT_COMMIT"), date: env!("WHERRY_BUILD_DATE") };

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
