//! Webhooks for tests: real HTTPS servers on loopback that answer reviews.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use parking_lot::Mutex;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::harness::{Answer, Api};
use crate::logs::{Authority, provider};

pub(crate) const MUTATING: &str = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations";
pub(crate) const VALIDATING: &str = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations";

/// What is answered, in place of an answer, by a hook that is to allow once its gate opens.
pub(crate) const WAIT: &str = "wait";

/// What a hook answers to the request of a review; null is no answer at all, and a number the status of one that is none.
type Respond = dyn Fn(&str, &Value) -> Value + Send + Sync;

/// A server that answers reviews, by the path it is asked at.
pub(crate) struct Hooks {
    /// Its `caBundle`.
    pub(crate) bundle: String,
    pub(crate) port: u16,
    /// The requests it got, with their paths.
    pub(crate) seen: Arc<Mutex<Vec<(String, Value)>>>,
    /// Until this is cancelled, it does not answer where it is to `WAIT`.
    pub(crate) gate: CancellationToken,
    /// How many connections were made to it.
    pub(crate) connections: Arc<Mutex<usize>>,
    _tasks: JoinSet<()>,
}

pub(crate) fn acceptor(authority: &Authority) -> TlsAcceptor {
    let identity = authority.sign("webhook", None);
    let cert = CertificateDer::from_pem_slice(identity.cert.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert], key)
        .unwrap();
    TlsAcceptor::from(Arc::new(config))
}

impl Hooks {
    /// A server at 127.0.0.1.
    pub(crate) async fn start(respond: impl Fn(&str, &Value) -> Value + Send + Sync + 'static) -> Self {
        Self::at("127.0.0.1", respond).await
    }

    pub(crate) async fn at(
        ip: &str,
        respond: impl Fn(&str, &Value) -> Value + Send + Sync + 'static,
    ) -> Self {
        let respond: Arc<Respond> = Arc::new(respond);
        let authority = Authority::new();
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (acceptor, seen) = (acceptor(&authority), Arc::new(Mutex::new(Vec::new())));
        let (seen_too, connections) = (Arc::clone(&seen), Arc::new(Mutex::new(0)));
        let counted = Arc::clone(&connections);
        let gate = CancellationToken::new();
        let closed = gate.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                *counted.lock() += 1;
                let (acceptor, respond, seen) =
                    (acceptor.clone(), Arc::clone(&respond), Arc::clone(&seen_too));
                let gate = closed.clone();
                served.spawn(async move {
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(|request| answer(request, &*respond, (&seen, &gate)));
                    let http = hyper::server::conn::http1::Builder::new();
                    let _ = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { bundle: STANDARD.encode(&authority.pem), port, seen, gate, connections, _tasks: tasks }
    }

    /// The `clientConfig` of a hook at a path.
    pub(crate) fn at_path(&self, path: &str) -> Value {
        json!({"url": format!("https://127.0.0.1:{}{path}", self.port), "caBundle": self.bundle})
    }

    /// A hook about ConfigMaps at a path, with more or other fields.
    pub(crate) fn hook(&self, name: &str, path: &str, more: &Value) -> Value {
        let mut hook = json!({
            "name": name, "clientConfig": self.at_path(path), "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
            "rules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"],
                       "resources": ["configmaps"]}],
        });
        for (key, value) in more.as_object().unwrap() {
            hook[key] = value.clone();
        }
        hook
    }

    /// The paths it was asked at.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.seen.lock().iter().map(|(path, _)| path.clone()).collect()
    }
}

/// Configures hooks.
pub(crate) async fn configure(api: &Api, resource: &str, name: &str, hooks: &[Value]) {
    let body = json!({"metadata": {"name": name, "labels": {"of": "test"}}, "webhooks": hooks});
    api.post(resource, &body).await.expect(201);
}

/// Makes a ConfigMap with data.
pub(crate) async fn make(api: &Api, name: &str, data: &Value) -> Answer {
    let body = json!({"metadata": {"name": name}, "data": data});
    api.post(crate::harness::CONFIG_MAPS, &body).await
}

async fn answer(
    request: Request<Incoming>,
    respond: &Respond,
    (seen, gate): (&Mutex<Vec<(String, Value)>>, &CancellationToken),
) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut review: Value = serde_json::from_slice(&body).unwrap();
    // What is no review is seen as a whole.
    let (asked, said) = match &review {
        review if review["kind"] == "SubjectAccessReview" || review["kind"] == "TokenReview" => {
            (review["spec"].clone(), "status")
        }
        review if review["request"].is_null() => (review.clone(), "response"),
        review => (review["request"].clone(), "response"),
    };
    let mut response = respond(&path, &asked);
    seen.lock().push((path, asked));
    if response.is_null() {
        std::future::pending::<()>().await;
    }
    if response == WAIT {
        gate.cancelled().await;
        response = allow();
    }
    if let Some(code) = response.as_u64() {
        let code = u16::try_from(code).unwrap();
        return Ok(Response::builder().status(code).body(Body::from("broken")).unwrap());
    }
    if response["uid"].is_null() && said == "response" {
        response["uid"] = review["request"]["uid"].clone();
    }
    review[said] = response;
    Ok(Response::new(Body::from(review.to_string())))
}

pub(crate) fn allow() -> Value {
    json!({"allowed": true})
}

pub(crate) fn deny(message: &str) -> Value {
    json!({"allowed": false, "status": {"message": message}})
}

/// An answer that changes the object.
pub(crate) fn patch(steps: &Value) -> Value {
    json!({"allowed": true, "patchType": "JSONPatch", "patch": STANDARD.encode(steps.to_string())})
}
