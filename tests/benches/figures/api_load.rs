//! Load on the API server over TLS: one connection per client, requests one after the other.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

const CLIENTS: u64 = 32;
/// Connections over which objects are made at once.
const MAKERS: usize = 10;

/// One connection to the API server.
struct Connection {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    // Dropping the set ends the connection's task.
    _driver: JoinSet<()>,
}

impl Connection {
    async fn open(kubeconfig: &Path) -> Self {
        let (address, config) = read_kubeconfig(kubeconfig);
        let stream = TcpStream::connect(&address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async move {
            // A connection ends with its sender; requests report their own errors.
            let _ = connection.with_upgrades().await;
        });
        Self { sender, host: address, _driver: driver }
    }

    async fn send(&mut self, method: &str, path: &str, body: Bytes) -> Response<Incoming> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.host)
            .header("content-type", content_type(method))
            .header("accept", "application/json")
            .body(Full::new(body))
            .unwrap();
        self.sender.ready().await.unwrap();
        self.sender.send_request(request).await.unwrap()
    }

    async fn expect(&mut self, method: &str, path: &str, body: Bytes, status: u16) {
        let response = self.send(method, path, body).await;
        assert_eq!(response.status().as_u16(), status, "{method} {path}");
        let mut body = response.into_body();
        while let Some(frame) = body.frame().await {
            frame.unwrap();
        }
    }
}

/// A patch is merged into what is there.
fn content_type(method: &str) -> &'static str {
    if method == "PATCH" { "application/merge-patch+json" } else { "application/json" }
}

fn read_kubeconfig(path: &Path) -> (String, ClientConfig) {
    let config: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let decode = |text: &Value| decode_base64(text.as_str().unwrap());
    let server = config["clusters"][0]["cluster"]["server"]
        .as_str()
        .unwrap()
        .strip_prefix("https://")
        .unwrap()
        .to_owned();
    let ca = decode(&config["clusters"][0]["cluster"]["certificate-authority-data"]);
    let cert = decode(&config["users"][0]["user"]["client-certificate-data"]);
    let key = decode(&config["users"][0]["user"]["client-key-data"]);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&ca).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_client_auth_cert(
            vec![CertificateDer::from_pem_slice(&cert).unwrap()],
            PrivateKeyDer::from_pem_slice(&key).unwrap(),
        )
        .unwrap();
    (server, config)
}

fn decode_base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// Requests a second of `total` requests, the n-th of which `request` makes.
async fn rate(
    kubeconfig: &Path,
    total: u64,
    request: impl Fn(u64) -> (&'static str, String, Bytes, u16) + Clone + Send + 'static,
) -> f64 {
    let next = Arc::new(AtomicU64::new(0));
    let mut connections = Vec::new();
    for _ in 0..CLIENTS {
        connections.push(Connection::open(kubeconfig).await);
    }
    let start = super::clock();
    let mut clients = JoinSet::new();
    for mut connection in connections {
        let (next, request) = (next.clone(), request.clone());
        clients.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= total {
                    return;
                }
                let (method, path, body, status) = request(n);
                connection.expect(method, &path, body, status).await;
            }
        });
    }
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
    f64::from(u32::try_from(total).unwrap()) / start.elapsed().as_secs_f64()
}

const PATH: &str = "/api/v1/namespaces/default/configmaps";
const MANY: &str = "/api/v1/namespaces/kube-public/configmaps";

fn config_map(name: &str) -> Bytes {
    let value = "x".repeat(1000);
    let body = serde_json::json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"k": value}});
    body.to_string().into()
}

/// Creates this many ConfigMaps of 1 KB.
pub(crate) async fn create_config_maps(kubeconfig: &Path, total: u64) -> f64 {
    rate(kubeconfig, total, |n| {
        let name = format!("bench-{n}");
        ("POST", PATH.to_owned(), config_map(&name), 201)
    })
    .await
}

/// Reads ConfigMaps that [`create_config_maps`] made.
pub(crate) async fn get_config_map(kubeconfig: &Path, total: u64) -> f64 {
    rate(kubeconfig, total, |n| ("GET", format!("{PATH}/bench-{}", n % 1000), Bytes::new(), 200)).await
}

/// Lists 2,000 ConfigMaps a time.
pub(crate) async fn list_config_maps(kubeconfig: &Path, total: u64) -> f64 {
    rate(kubeconfig, 2_000, |n| ("POST", MANY.to_owned(), config_map(&format!("list-{n}")), 201)).await;
    rate(kubeconfig, total, |_| ("GET", MANY.to_owned(), Bytes::new(), 200)).await
}

/// Where Pods are.
pub(crate) const PODS: &str = "/api/v1/namespaces/default/pods";

/// What a watch tells.
pub(crate) struct Watched {
    body: Incoming,
    read: Vec<u8>,
    _connection: Connection,
}

impl Watched {
    /// The next object that is told of, as it is now.
    pub(crate) async fn next(&mut self) -> Value {
        loop {
            if let Some(end) = self.read.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line).unwrap();
                assert_ne!(event["type"], "ERROR", "{event}");
                return event;
            }
            let frame = self.body.frame().await.expect("the watch goes on").unwrap();
            self.read.extend_from_slice(frame.data_ref().map(|data| &data[..]).unwrap_or_default());
        }
    }

    /// Reads on until so many objects, by their names, have been seen to be such.
    pub(crate) async fn until(&mut self, count: usize, seen: impl Fn(&Value) -> bool) {
        let mut found = HashSet::new();
        while found.len() < count {
            let event = self.next().await;
            if seen(&event) {
                found.insert(event["object"]["metadata"]["name"].as_str().unwrap().to_owned());
            }
        }
    }
}

/// What is in collections, over connections that are open.
pub(crate) struct Client {
    kubeconfig: PathBuf,
    connections: Vec<Connection>,
}

impl Client {
    pub(crate) async fn connect(kubeconfig: &Path) -> Self {
        let mut connections = Vec::new();
        for _ in 0..MAKERS {
            connections.push(Connection::open(kubeconfig).await);
        }
        Self { kubeconfig: kubeconfig.to_owned(), connections }
    }

    /// A watch of what happens in a collection from now on.
    pub(crate) async fn watch(&mut self, collection: &str) -> Watched {
        let list = self.connections[0].send("GET", &format!("{collection}?limit=1"), Bytes::new()).await;
        let list = list.into_body().collect().await.unwrap().to_bytes();
        let list: Value = serde_json::from_slice(&list).unwrap();
        let since = list["metadata"]["resourceVersion"].as_str().unwrap();
        let mut connection = Connection::open(&self.kubeconfig).await;
        let path = format!("{collection}?watch=1&resourceVersion={since}");
        let body = connection.send("GET", &path, Bytes::new()).await.into_body();
        Watched { body, read: Vec::new(), _connection: connection }
    }

    /// Makes objects, several at once if there are several.
    pub(crate) async fn create(&mut self, collection: &str, objects: &[String]) {
        let shares = objects.chunks(objects.len().div_ceil(self.connections.len()));
        futures::future::join_all(self.connections.iter_mut().zip(shares).map(
            |(connection, share)| async move {
                for object in share {
                    connection.expect("POST", collection, object.clone().into(), 201).await;
                }
            },
        ))
        .await;
    }

    /// Changes an object.
    pub(crate) async fn patch(&mut self, object: &str, patch: &Value) {
        self.connections[0].expect("PATCH", object, patch.to_string().into(), 200).await;
    }

    /// Deletes all of a collection.
    pub(crate) async fn delete_all(&mut self, collection: &str) {
        self.connections[0].expect("DELETE", collection, Bytes::new(), 200).await;
    }
}

/// Runs `true` in a container over a connection of its own: from its first packet to the end of the streams.
pub(crate) async fn exec(kubeconfig: &Path, pod: &str) -> Duration {
    let start = super::clock();
    let mut connection = Connection::open(kubeconfig).await;
    let request = Request::builder()
        .uri(format!("{PODS}/{pod}/exec?command=true&stdout=1"))
        .header("host", &connection.host)
        .header("connection", "Upgrade")
        .header("upgrade", "websocket")
        .header("sec-websocket-version", "13")
        .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
        .header("sec-websocket-protocol", "v5.channel.k8s.io")
        .body(Full::new(Bytes::new()))
        .unwrap();
    connection.sender.ready().await.unwrap();
    let response = connection.sender.send_request(request).await.unwrap();
    assert_eq!(response.status(), 101);
    let mut stream = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    // What comes first is empty, as `true` says nothing; then a status, then the end.
    let mut told = Vec::new();
    while !String::from_utf8_lossy(&told).contains("\"status\":\"Success\"") {
        assert_ne!(stream.read_buf(&mut told).await.unwrap(), 0, "{}", String::from_utf8_lossy(&told));
    }
    start.elapsed()
}

/// Creates a Pod and reads a watch until it is Ready: the time from sending the POST to reading that event, over
/// connections that are open already.
pub(crate) async fn create_until_ready(kubeconfig: &Path, pod: &str) -> Duration {
    let mut client = Client::connect(kubeconfig).await;
    let mut watched = client.watch(PODS).await;
    let start = super::clock();
    client.create(PODS, &[pod.to_owned()]).await;
    watched.until(1, is_ready).await;
    start.elapsed()
}

pub(crate) fn is_ready(event: &Value) -> bool {
    let conditions = event["object"]["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}

pub(crate) fn is_deleted(event: &Value) -> bool {
    event["type"] == "DELETED"
}
