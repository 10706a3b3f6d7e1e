//! What every long-running command does: bind, announce itself, wait to be stopped.

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;

use anyhow::Context as _;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

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

/// Makes the data directory where it is missing.
pub(crate) fn create_data_dir(path: &Path) -> anyhow::Result<()> {
    std::fs::create_dir_all(path)
        .with_context(|| format!("cannot create {}; choose another place with --data-dir", path.display()))
}

/// Binds the API server's socket.
pub(crate) async fn listen(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another address with --listen"))
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

/// The address clients on this machine use.
pub(crate) fn reachable(listen: SocketAddr) -> SocketAddr {
    match listen.ip() {
        ip if ip.is_unspecified() => SocketAddr::from((Ipv4Addr::LOCALHOST, listen.port())),
        _ => listen,
    }
}

/// A random (version 4) UUID.
#[expect(clippy::disallowed_methods, reason = "the one place where the process's own source of ids is made")]
pub(crate) fn new_uid() -> String {
    uuid::Uuid::new_v4().to_string()
}
