//! A server of another API, which tells what it was sent; and how it is reached through the API server.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use wherry_tests::{ApiServer, wait};

use crate::client::Client;

const GROUP: &str = "/apis/wardle.example.com/v1alpha1";
/// What the other server serves.
pub(crate) const FLUNDERS: &str = "/apis/wardle.example.com/v1alpha1/namespaces/default/flunders";
const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
/// What the server says it is called.
const HOST: &str = "sample.default.svc";

/// The other server: the heads of all requests it was sent.
pub(crate) struct Backend {
    heads: Arc<Mutex<Vec<String>>>,
}

impl Backend {
    /// Starts the server behind an API server, which may reach it when this returns.
    pub(crate) fn start(server: &ApiServer, admin: &Client) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = CertificateParams::new([HOST.to_owned()]).unwrap().self_signed(&key).unwrap().pem();
        let config = Arc::new(config(server, &certificate, &key.serialize_pem()));
        let listener = TcpListener::bind("127.244.0.12:0").unwrap();
        let address = listener.local_addr().unwrap();
        let backend = Self { heads: Arc::default() };
        let heads = Arc::clone(&backend.heads);
        // Ends with the test.
        drop(std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                answer(StreamOwned::new(connection, stream), &heads);
            }
        }));
        publish(admin, address);
        register(admin, &certificate);
        backend
    }

    /// The heads of the requests for flunders since it was last asked.
    pub(crate) fn take(&self) -> Vec<String> {
        let heads = std::mem::take(&mut *self.heads.lock().unwrap());
        heads.into_iter().filter(|head| head.contains("flunders")).collect()
    }
}

/// Talks to who has a certificate of the cluster only.
fn config(server: &ApiServer, certificate: &str, key: &str) -> ServerConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&server.file("pki/ca.crt")).unwrap()).unwrap();
    let provider = Arc::new(default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(chain, PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap())
        .unwrap()
}

/// Reads the head of one request, and whatever else came with it.
fn answer(mut stream: StreamOwned<ServerConnection, TcpStream>, heads: &Mutex<Vec<String>>) {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer) {
            Ok(read @ 1..) => bytes.extend_from_slice(&buffer[..read]),
            _ => return,
        }
    }
    let head = String::from_utf8_lossy(&bytes).into_owned();
    let body = if head.starts_with(&format!("GET {GROUP} ")) {
        let flunders = json!({"name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder",
                              "verbs": ["create", "get", "list"]});
        json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "wardle.example.com/v1alpha1",
               "resources": [flunders]})
    } else {
        json!({"kind": "FlunderList", "apiVersion": "wardle.example.com/v1alpha1", "items": []})
    };
    heads.lock().unwrap().push(head);
    let body = body.to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length";
    // Who asked may be gone.
    drop(write!(stream, "{head}: {}\r\n\r\n{body}", body.len()));
    stream.conn.send_close_notify();
    drop(stream.flush());
}

/// A Service in front of the server.
fn publish(admin: &Client, address: SocketAddr) {
    let ports = json!([{"port": 443, "targetPort": address.port()}]);
    let service = json!({"metadata": {"name": "sample"}, "spec": {"ports": ports}});
    admin.post("/api/v1/namespaces/default/services", &service).expect(201);
    let slice = json!({
        "metadata": {"name": "sample", "labels": {"kubernetes.io/service-name": "sample"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "", "port": address.port()}],
    });
    admin.post("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices", &slice).expect(201);
}

/// Has the API server pass requests on.
fn register(admin: &Client, certificate: &str) {
    let spec = json!({
        "group": "wardle.example.com", "version": "v1alpha1", "groupPriorityMinimum": 2000, "versionPriority": 200,
        "service": {"namespace": "default", "name": "sample"}, "caBundle": STANDARD.encode(certificate),
    });
    let name = "v1alpha1.wardle.example.com";
    admin.post(API_SERVICES, &json!({"metadata": {"name": name}, "spec": spec})).expect(201);
    wait::until("the other server to be available", || {
        let status = admin.get(&format!("{API_SERVICES}/{name}")).body()["status"].take();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let available = |one: &Value| one["type"] == "Available" && one["status"] == "True";
        if conditions.iter().any(available) { Ok(()) } else { Err(status.to_string()) }
    });
}

/// Lines of a head that say who asks, or that let somebody in, however a lenient server reads their names.
pub(crate) fn identity(head: &str) -> Vec<String> {
    let lines = head.lines().filter_map(|line| line.split_once(':'));
    let lines = lines
        .map(|(name, value)| (name.trim().to_lowercase().replace(['_', '.'], "-"), value.trim().to_owned()));
    let telling = |name: &str| {
        ["x-remote-", "impersonate-", "authorization", "proxy-authorization"]
            .iter()
            .any(|one| name.starts_with(one))
    };
    let mut found: Vec<String> =
        lines.filter(|(name, _)| telling(name)).map(|(name, value)| format!("{name}: {value}")).collect();
    found.sort();
    found
}
