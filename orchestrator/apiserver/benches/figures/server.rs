//! The server under load: this program once more, serving until its standard input ends.

use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use wherry_api::clock::{Clock, SystemClock};
use wherry_apiserver::{ApiServer, Config, Rotating, TlsConfig, extractor};
use wherry_store::{Options, Store};

use crate::identity::Identities;

/// The word that makes this program the server.
pub(crate) const ROLE: &str = "serve";

static NEXT: AtomicU64 = AtomicU64::new(1);

/// A server in a process of its own.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) identities: Identities,
    child: Child,
    input: Option<ChildStdin>,
}

impl Server {
    /// Starts a server on an empty store.
    pub(crate) fn start() -> Self {
        let identities = Identities::new();
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .arg(ROLE)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts");
        let mut input = child.stdin.take().expect("piped");
        serde_json::to_writer(&mut input, &identities).expect("the server reads");
        input.write_all(b"\n").expect("the server reads");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("the server answers");
        Self { address: line.trim().parse().expect("an address"), identities, child, input: Some(input) }
    }

    /// The server's resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the server runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a resident size");
        let kib: f64 = line.split_whitespace().nth(1).expect("a number").parse().expect("a number");
        kib / 1024.0
    }

    /// The processor time the server has used, in seconds.
    pub(crate) fn busy(&self) -> f64 {
        let path = format!("/proc/{}/schedstat", self.child.id());
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        let files = tasks.into_iter().flatten().flatten().map(|task| task.path().join("schedstat"));
        let nanoseconds = |file: &std::path::Path| -> f64 {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            text.split_whitespace().next().and_then(|n| n.parse().ok()).unwrap_or(0.0)
        };
        let sum: f64 = files.map(|file| nanoseconds(&file)).sum();
        (if sum > 0.0 { sum } else { nanoseconds(path.as_ref()) }) / 1e9
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.input.take());
        self.child.wait().ok();
    }
}

fn now_ms() -> u64 {
    u64::try_from(SystemClock.now().as_millisecond()).unwrap_or_default()
}

/// Serves until standard input ends.
pub(crate) async fn serve() {
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).expect("the certificates");
    let identities: Identities = serde_json::from_str(&line).expect("certificates");
    let directory = tempfile::tempdir().expect("a directory");
    let store = Store::open(&directory.path().join("store"), Options::new(extractor(), Arc::new(now_ms)));
    let ids = Arc::new(|| format!("00000000-0000-4000-8000-{:012}", NEXT.fetch_add(1, Ordering::Relaxed)));
    let cidr = "10.96.0.0/16".parse().expect("a range");
    let server = ApiServer::new(Config::new(store.expect("a store"), Arc::new(SystemClock), ids, cidr));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    writeln!(std::io::stdout(), "{address}").expect("standard output");
    let tls = TlsConfig {
        cert: identities.server.cert.into_bytes(),
        key: identities.server.key.into_bytes(),
        client_ca: identities.ca.into_bytes(),
    };
    let shutdown = CancellationToken::new();
    let ended = shutdown.clone();
    let wait = tokio::task::spawn_blocking(move || {
        std::io::stdin().read_line(&mut String::new()).ok();
        ended.cancel();
    });
    server.serve(listener, Rotating::fixed(tls), shutdown).await.expect("it serves");
    wait.await.ok();
}
