//! Durable writes of the store alone, beside etcd on the same disk in the same run.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use wherry_store::{Attributes, Durability, Op, Options, Store, Txn};

use crate::report::{figure, float};

const ETCD: &str = "/usr/bin/etcd";
const ROUND: Duration = Duration::from_secs(2);
const VALUE: [u8; 512] = [b'x'; 512];

/// Measures both with few and many writers.
pub(crate) async fn run() {
    for writers in [1, 32] {
        let etcd = etcd_puts(writers).await;
        let baseline = etcd.map_or_else(
            || format!("none: skipped, there is no {ETCD}"),
            |rate| format!("etcd over gRPC {rate:.0} /s"),
        );
        figure(&format!("store_commits_{writers}_writers"), store_puts(writers).await, "/s", &baseline);
    }
}

async fn store_puts(writers: usize) -> f64 {
    let dir = tempfile::tempdir().expect("a directory");
    let start = Instant::now();
    let clock = move || u64::try_from(start.elapsed().as_millis()).unwrap_or_default();
    let extractor = |_: &str, _: &[u8]| Attributes::default();
    let options = Options::new(Arc::new(extractor), Arc::new(clock));
    let store = Store::open(&dir.path().join("store"), options).expect("a store");
    let rate = rate(writers, |writer| {
        let store = store.clone();
        move |turn| {
            let (store, key) = (store.clone(), key(writer, turn));
            let put = Op::Put { key, value: Bytes::from_static(&VALUE), revision_at: None };
            async move {
                let txn = Txn { ops: vec![put], durability: Durability::Durable, ..Txn::default() };
                store.txn(txn).await.expect("written");
            }
        }
    })
    .await;
    store.close().await;
    rate
}

fn key(writer: usize, turn: usize) -> String {
    format!("/registry/configmaps/default/{writer}-{turn}")
}

/// How often all writers together are done in a second.
async fn rate<F, A>(writers: usize, writer: impl Fn(usize) -> A) -> f64
where
    F: Future<Output = ()> + Send,
    A: Fn(usize) -> F + Send + Sync + 'static,
{
    let begin = Instant::now();
    let mut working = JoinSet::new();
    for act in (0..writers).map(writer) {
        working.spawn(async move {
            let mut turn = 0;
            while begin.elapsed() < ROUND {
                act(turn).await;
                turn += 1;
            }
            turn
        });
    }
    let turns: usize = working.join_all().await.into_iter().sum();
    float(turns) / begin.elapsed().as_secs_f64()
}

/// An etcd of one run.
struct Etcd {
    child: Child,
    address: SocketAddr,
}

impl Etcd {
    async fn start(directory: &Path) -> Option<Self> {
        if !Path::new(ETCD).exists() {
            return None;
        }
        let (address, peer) = (free_port().await, free_port().await);
        let child = Command::new(ETCD)
            .args(["--listen-client-urls", &format!("http://{address}")])
            .args(["--advertise-client-urls", &format!("http://{address}")])
            .args(["--listen-peer-urls", &format!("http://{peer}")])
            .args(["--initial-advertise-peer-urls", &format!("http://{peer}")])
            .args(["--initial-cluster", &format!("default=http://{peer}"), "--log-level", "error"])
            .arg("--data-dir")
            .arg(directory)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        Some(Self { child, address })
    }

    /// A connection, once it listens.
    async fn connect(&self, tasks: &TaskTracker) -> SendRequest<Full<Bytes>> {
        let patience = Instant::now() + Duration::from_secs(20);
        let stream = loop {
            match TcpStream::connect(self.address).await {
                Ok(stream) => break stream,
                Err(error) => assert!(Instant::now() < patience, "etcd does not listen: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        stream.set_nodelay(true).expect("a socket");
        let handshake = Builder::new(TokioExecutor::new()).handshake(TokioIo::new(stream)).await;
        let (sender, connection) = handshake.expect("a connection");
        tasks.spawn(connection);
        sender
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

async fn free_port() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    listener.local_addr().expect("an address")
}

async fn etcd_puts(writers: usize) -> Option<f64> {
    let dir = tempfile::tempdir().expect("a directory");
    let etcd = Etcd::start(dir.path()).await?;
    let tasks = TaskTracker::new();
    let mut connections = Vec::new();
    for _ in 0..writers {
        connections.push(etcd.connect(&tasks).await);
    }
    // It listens before it has elected itself; the first write waits for that.
    put(connections[0].clone(), etcd.address, "first".to_owned()).await;
    let address = etcd.address;
    let rate = rate(writers, |writer| {
        let connection = connections[writer].clone();
        move |turn| put(connection.clone(), address, key(writer, turn))
    })
    .await;
    Some(rate)
}

/// `etcdserverpb.KV/Put`, by hand: a message of the key (field 1) and the value (field 2).
async fn put(mut connection: SendRequest<Full<Bytes>>, address: SocketAddr, key: String) {
    let mut message = BytesMut::new();
    for (tag, field) in [(0x0a, key.as_bytes()), (0x12, &VALUE[..])] {
        message.put_u8(tag);
        let length = u16::try_from(field.len()).expect("a short field");
        if length >= 128 {
            let [low, _] = (length & 127 | 128).to_le_bytes();
            let [high, _] = (length >> 7).to_le_bytes();
            message.put_slice(&[low, high]);
        } else {
            message.put_u8(length.to_le_bytes()[0]);
        }
        message.put_slice(field);
    }
    let mut body = BytesMut::with_capacity(message.len() + 5);
    body.put_u8(0);
    body.put_u32(u32::try_from(message.len()).expect("a short message"));
    body.put_slice(&message);
    let request = Request::post(format!("http://{address}/etcdserverpb.KV/Put"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Full::new(body.freeze()))
        .expect("a request");
    connection.ready().await.expect("a connection");
    let answer = connection.send_request(request).await.expect("an answer");
    let collected = answer.into_body().collect().await.expect("a body");
    let status = collected.trailers().and_then(|trailers| trailers.get("grpc-status")).cloned();
    assert_eq!(status.as_ref().map(http::HeaderValue::as_bytes), Some(&b"0"[..]), "etcd wrote it");
}
