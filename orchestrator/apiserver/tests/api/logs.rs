//! TLS: who a certificate says one is, logs from a node, draining.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, DnType, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::CancellationToken;
use wherry_apiserver::{NodeClientTls, Rotating, TlsConfig};

use crate::harness::{Api, CONFIG_MAPS, PODS};

/// A certificate authority of one test.
pub(crate) struct Authority {
    pub(crate) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key, as PEM.
pub(crate) struct Identity {
    pub(crate) cert: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn sign(&self, name: &str, group: Option<&str>) -> Identity {
        self.sign_for("127.0.0.1", name, group)
    }

    /// A certificate for a host.
    pub(crate) fn sign_for(&self, host: &str, name: &str, group: Option<&str>) -> Identity {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        let key = KeyPair::generate().unwrap();
        let cert = params.signed_by(&key, &self.issuer).unwrap().pem();
        Identity { cert, key: key.serialize_pem() }
    }

    pub(crate) fn roots(&self) -> rustls::RootCertStore {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(self.pem.as_bytes()).unwrap()).unwrap();
        roots
    }
}

pub(crate) fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

pub(crate) fn chain(identity: &Identity) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
    let cert = CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap();
    (vec![cert], PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap())
}

/// Sends a GET over TLS and answers the code and the body.
async fn get(address: SocketAddr, ca: &Authority, who: Option<&Identity>, path: &str) -> (u16, String) {
    let (response, _connection) = open(address, ca, who, path).await;
    let code = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (code, String::from_utf8_lossy(&body).into_owned())
}

/// Sends a GET over TLS; the connection lives as long as its tasks.
pub(crate) async fn open(
    address: SocketAddr,
    ca: &Authority,
    who: Option<&Identity>,
    path: &str,
) -> (Response<hyper::body::Incoming>, tokio::task::JoinSet<hyper::Result<()>>) {
    let config = rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap();
    let config = config.with_root_certificates(ca.roots());
    let config = match who {
        Some(identity) => {
            let (cert, key) = chain(identity);
            config.with_client_auth_cert(cert, key).unwrap()
        }
        None => config.with_no_client_auth(),
    };
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::IpAddress(address.ip().into());
    let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(connection);
    let request = Request::get(path).header("host", "api").body(Body::empty()).unwrap();
    (sender.send_request(request).await.unwrap(), tasks)
}

/// A node that answers what it was asked, to clients with a certificate only.
async fn node(ca: &Authority) -> (SocketAddr, tokio::task::JoinSet<()>) {
    let (cert, key) = chain(&ca.sign("node", None));
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(ca.roots()), provider());
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(cert, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let stream = acceptor.accept(stream).await.unwrap();
            let answer = service_fn(async |request: Request<hyper::body::Incoming>| {
                Ok::<_, Infallible>(Response::new(Body::from(format!("asked for {}\n", request.uri()))))
            });
            let connection = hyper::server::conn::http1::Builder::new();
            connection.serve_connection(TokioIo::new(stream), answer).await.unwrap();
        }
    });
    (address, tasks)
}

pub(crate) async fn with_node(ca: &Authority) -> (Api, tokio::task::JoinSet<()>) {
    let (address, tasks) = node(ca).await;
    let identity = ca.sign("apiserver", Some("system:masters"));
    let tls =
        NodeClientTls { ca: ca.pem.clone().into(), cert: identity.cert.into(), key: identity.key.into() };
    let api = Api::with(|config| {
        config.node_client = Some(Rotating::fixed(tls));
        config.node_address = Some(("here".to_owned(), address.ip()));
    })
    .await;
    for (name, ip) in [("n1", address.ip().to_string()), ("here", "192.0.2.1".to_owned())] {
        let node = json!({
            "metadata": {"name": name},
            "status": {
                "addresses": [{"type": "InternalIP", "address": ip}],
                "daemonEndpoints": {"kubeletEndpoint": {"Port": address.port()}},
            },
        });
        api.post("/api/v1/nodes", &node).await.expect(201);
    }
    (api, tasks)
}

#[tokio::test]
async fn a_log_is_fetched_from_the_pods_node() {
    let ca = Authority::new();
    let (api, _node) = with_node(&ca).await;
    api.pod("p", Some("n1")).await;
    let answer = api.get(&format!("{PODS}/p/log?tailLines=5&timestamps=true&pretty=x")).await;
    assert_eq!(answer.code, 200, "{}", answer.text);
    assert_eq!(answer.text, "asked for /containerLogs/default/p/c?tailLines=5&timestamps=true\n");
}

#[tokio::test]
async fn the_node_in_this_process_is_not_asked_at_its_address() {
    let ca = Authority::new();
    let (api, _node) = with_node(&ca).await;
    api.pod("p", Some("here")).await;
    let answer = api.get(&format!("{PODS}/p/log")).await;
    assert_eq!(answer.text, "asked for /containerLogs/default/p/c\n");
}

#[tokio::test]
async fn a_log_needs_a_container_that_exists_and_a_pod_that_is_bound() {
    let ca = Authority::new();
    let (api, _node) = with_node(&ca).await;
    api.pod("waiting", None).await;
    assert_eq!(api.get(&format!("{PODS}/waiting/log")).await.code, 204);
    api.get(&format!("{PODS}/waiting/log?container=x")).await.refused(
        400,
        "BadRequest",
        "container x is not valid for pod waiting",
    );
    let two = json!({
        "metadata": {"name": "two"},
        "spec": {"containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}]},
    });
    api.post(PODS, &two).await.expect(201);
    api.get(&format!("{PODS}/two/log")).await.refused(
        400,
        "BadRequest",
        "a container name must be specified for pod two, choose one of: [a b]",
    );
    api.get(&format!("{PODS}/absent/log")).await.refused(404, "NotFound", "pods \"absent\" not found");
}

#[tokio::test]
async fn a_log_of_a_pod_on_a_node_that_is_gone_says_so() {
    let ca = Authority::new();
    let (api, node) = with_node(&ca).await;
    api.pod("p", Some("n1")).await;
    drop(node);
    let status = api.get(&format!("{PODS}/p/log")).await.expect(500);
    let text = status["message"].as_str().unwrap();
    assert!(
        text.starts_with("Internal error occurred: cannot fetch the log from node \"n1\" (127.0.0.1:"),
        "{text}"
    );
}

#[tokio::test]
async fn a_client_is_who_its_certificate_says() {
    let ca = Authority::new();
    let api = Api::start().await;
    let server = ca.sign("server", None);
    let tls =
        TlsConfig { cert: server.cert.into(), key: server.key.into(), client_ca: ca.pem.clone().into() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    let (handle, token) = (api.server.clone(), shutdown.clone());
    tasks.spawn(async move { handle.serve(listener, Rotating::fixed(tls), token).await });

    let admin = ca.sign("admin", Some("system:masters"));
    assert_eq!(get(address, &ca, Some(&admin), CONFIG_MAPS).await.0, 200);
    let eve = ca.sign("eve", Some("dev"));
    let (code, body) = get(address, &ca, Some(&eve), CONFIG_MAPS).await;
    assert_eq!(code, 403);
    assert!(body.contains("User \\\"eve\\\" cannot list resource"), "{body}");
    assert_eq!(get(address, &ca, None, CONFIG_MAPS).await.0, 403);
    api.default_policy().await;
    assert_eq!(get(address, &ca, None, "/livez").await, (200, "ok".to_owned()));

    // A watch under way ends when the server drains, so serving ends too.
    let (watch, _connection) = open(address, &ca, Some(&admin), &format!("{CONFIG_MAPS}?watch=1")).await;
    shutdown.cancel();
    assert_eq!(watch.into_body().collect().await.unwrap().to_bytes(), "");
    tasks.join_next().await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn unusable_certificates_are_named() {
    let api = Api::start().await;
    let tls = TlsConfig { cert: Vec::new(), key: Vec::new(), client_ca: b"nonsense".to_vec() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let error = api.server.serve(listener, Rotating::fixed(tls), CancellationToken::new()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the server's client CA cannot be used: there is no certificate in the PEM text"
    );
}
