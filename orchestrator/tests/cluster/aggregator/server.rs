//! A server behind the API: HTTPS that wants to see the certificate of its front proxy.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use k8s_openapi::api::core::v1::{ConfigMap, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::kube_aggregator::pkg::apis::apiregistration::v1::APIService;
use kube::Api;
use kube::api::PostParams;
use kube::runtime::wait::await_condition;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::support::{Cluster, NAMESPACE, wait};

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// A running server, which the Service `sample` leads to. It stops when it is dropped.
pub(crate) struct Server {
    /// The certificate that vouches for it.
    bundle: String,
    _tasks: JoinSet<()>,
}

impl Server {
    /// Starts a server that answers so whoever comes with a user from the front proxy of this cluster.
    pub(crate) async fn start<F>(
        cluster: &Cluster,
        answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    ) -> Self
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let system: Api<ConfigMap> = Api::namespaced(cluster.client.clone(), "kube-system");
        let told = system.get("extension-apiserver-authentication").await.unwrap();
        let (config, bundle) = tls(&told.data.unwrap()["requestheader-client-ca-file"]);
        let listener = TcpListener::bind("127.244.0.13:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(serve(listener, TlsAcceptor::from(Arc::new(config)), answer));
        expose(cluster, address).await;
        Self { bundle, _tasks: tasks }
    }

    /// Lets it serve a version of a group, and waits until it is available.
    pub(crate) async fn register(&self, cluster: &Cluster, group: &str, version: &str) {
        let name = format!("{version}.{group}");
        let service = json!({
            "metadata": {"name": name},
            "spec": {
                "group": group, "version": version, "groupPriorityMinimum": 2000, "versionPriority": 200,
                "service": {"namespace": NAMESPACE, "name": "sample"}, "caBundle": STANDARD.encode(&self.bundle),
            },
        });
        let services = Api::<APIService>::all(cluster.client.clone());
        services.create(&PostParams::default(), &serde_json::from_value(service).unwrap()).await.unwrap();
        let is_available = |service: Option<&APIService>| {
            let conditions =
                service.and_then(|service| service.status.as_ref()?.conditions.clone()).unwrap_or_default();
            conditions.iter().any(|condition| condition.type_ == "Available" && condition.status == "True")
        };
        wait(await_condition(services, &name, is_available)).await;
    }
}

fn tls(front_proxy_ca: &str) -> (rustls::ServerConfig, String) {
    let own = rcgen::generate_simple_self_signed([format!("sample.{NAMESPACE}.svc")]).unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(front_proxy_ca.as_bytes()).unwrap()).unwrap();
    let verifier = rustls::server::WebPkiClientVerifier::builder(Arc::new(roots)).build().unwrap();
    let key = PrivateKeyDer::from_pem_slice(own.signing_key.serialize_pem().as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    (config, own.cert.pem())
}

/// Makes the Service that leads to the server.
async fn expose(cluster: &Cluster, address: SocketAddr) {
    let (ip, port) = (address.ip(), address.port());
    let service =
        json!({"metadata": {"name": "sample"}, "spec": {"ports": [{"port": 443, "targetPort": port}]}});
    cluster.create::<Service>(service).await.unwrap();
    let labels = json!({"kubernetes.io/service-name": "sample"});
    let slice = json!({
        "metadata": {"name": "sample", "labels": labels}, "addressType": "IPv4", "ports": [{"name": "", "port": port}],
        "endpoints": [{"addresses": [ip], "conditions": {"ready": true}}],
    });
    cluster.create::<EndpointSlice>(slice).await.unwrap();
}

async fn serve<F>(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = Answer> + Send + 'static,
{
    let mut served = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, answer) = (acceptor.clone(), answer.clone());
        served.spawn(async move {
            let Ok(stream) = acceptor.accept(stream).await else { return };
            let service = service_fn(|request: Request<Incoming>| {
                let is_known = request.headers().contains_key("x-remote-user");
                let answered = is_known.then(|| answer(request));
                async move {
                    Ok::<_, Infallible>(match answered {
                        Some(answered) => answered.await,
                        None => json_answer(StatusCode::UNAUTHORIZED, &json!({})),
                    })
                }
            });
            let http = hyper::server::conn::http1::Builder::new();
            // A client that goes away is no failure of the test.
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

pub(crate) fn json_answer(status: StatusCode, body: &Value) -> Answer {
    let body = UnsyncBoxBody::new(Full::new(Bytes::from(body.to_string())));
    Response::builder().status(status).header("content-type", "application/json").body(body).unwrap()
}
