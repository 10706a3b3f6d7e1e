//! Aggregation: versions of groups that another server serves, a real HTTPS server on loopback that wants to see the
//! certificate of its front proxy.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::body::Body;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use wherry_apiserver::{NodeClientTls, Rotating, UserInfo};

use crate::aggregation_documents::{index, swagger};
use crate::harness::{Api, SERVICES};
use crate::logs::{Authority, chain, provider};
use crate::proxy_tunnel::{send, serve, shout, upgrade};

pub(crate) const API_SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
pub(crate) const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
pub(crate) const FLUNDERS: &str = "/apis/wardle.example.com/v1alpha1/namespaces/default/flunders";
const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// What the sample server answers: its resources, events of a watch, another protocol, or what it was asked.
async fn sample(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    if request.uri().path().ends_with("/tunnel") {
        return shout(request).await;
    }
    let answer = match request.uri().path() {
        "/apis/wardle.example.com/v1alpha1" => json!({
            "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "wardle.example.com/v1alpha1",
            "resources": [
                {"name": "flunders", "singularName": "flunder", "namespaced": true, "kind": "Flunder",
                 "verbs": ["create", "get", "list", "watch"]},
                {"name": "flunders/status", "singularName": "", "namespaced": true, "kind": "Flunder",
                 "verbs": ["get"]},
            ],
        }),
        "/openapi/v3" => index(),
        "/openapi/v2" => return Ok(swagger(&request)),
        _ if request.uri().query() == Some("watch=1") => {
            let events = "{\"type\":\"ADDED\",\"object\":{}}\n{\"type\":\"DELETED\",\"object\":{}}\n";
            return Ok(Response::new(Body::from(events)));
        }
        _ => seen(&request),
    };
    Ok(Response::builder()
        .header("content-type", "application/json")
        .body(Body::from(answer.to_string()))
        .unwrap())
}

/// What the server saw of a request.
fn seen(request: &Request<Incoming>) -> Value {
    let named = |name: &str| -> Vec<String> {
        let values = request.headers().get_all(name).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    };
    json!({
        "uri": request.uri().to_string(), "user": named("x-remote-user"), "groups": named("x-remote-group"),
        "authorization": named("authorization"), "impersonate": named("impersonate-user"), "host": named("host"),
    })
}

/// The sample server, which talks to its front proxy only.
pub(crate) async fn start(ca: &Authority, tasks: &mut JoinSet<()>) -> SocketAddr {
    let (cert, key) = chain(&ca.sign_for("sample.default.svc", "sample", None));
    let roots = Arc::new(ca.roots());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(roots, provider());
    let config = rustls::ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(cert, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.244.0.12:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tasks.spawn_local(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let http = hyper::server::conn::http1::Builder::new();
            let connection = http.serve_connection(TokioIo::new(stream), service_fn(sample));
            tokio::task::spawn_local(connection.with_upgrades());
        }
    });
    address
}

/// A Service in front of the sample server.
pub(crate) async fn publish(api: &Api, address: SocketAddr) {
    let service = json!({"metadata": {"name": "sample"}, "spec": {"ports": [{"port": 443, "targetPort": address.port()}]}});
    api.post(SERVICES, &service).await.expect(201);
    let slice = json!({
        "metadata": {"name": "sample", "labels": {"kubernetes.io/service-name": "sample"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "", "port": address.port()}],
    });
    api.post(SLICES, &slice).await.expect(201);
}

pub(crate) fn api_service(bundle: &str) -> Value {
    json!({
        "metadata": {"name": "v1alpha1.wardle.example.com"},
        "spec": {
            "group": "wardle.example.com", "version": "v1alpha1", "groupPriorityMinimum": 2000, "versionPriority": 200,
            "service": {"namespace": "default", "name": "sample"}, "caBundle": STANDARD.encode(bundle),
        },
    })
}

/// A server that may be a front proxy, which keeps the conditions of APIServices.
pub(crate) async fn front(ca: &Authority) -> Api {
    let identity = ca.sign("front-proxy-client", None);
    let tls =
        NodeClientTls { ca: ca.pem.clone().into(), cert: identity.cert.into(), key: identity.key.into() };
    Api::with(|config| {
        config.front_proxy = Some(Rotating::fixed(tls));
        config.service_cidr = "127.96.0.0/16".parse().unwrap();
    })
    .await
}

/// Makes the APIService and waits until its condition says that its server works, or why it does not.
pub(crate) async fn register(api: &Api, service: &Value) -> (String, String) {
    let mut events = api.watch(&format!("{API_SERVICES}?watch=1")).await;
    api.post(API_SERVICES, service).await.expect(201);
    loop {
        let event = events.next().await.unwrap();
        if let Some(condition) = event["object"]["status"]["conditions"].get(0) {
            let text = |field: &str| condition[field].as_str().unwrap().to_owned();
            if event["object"]["spec"]["group"] == "wardle.example.com" {
                return (text("status"), text("reason"));
            }
        }
    }
}

#[tokio::test]
async fn requests_reach_another_server_in_the_name_of_the_caller() {
    let local = tokio::task::LocalSet::new();
    let test = local.run_until(async {
        let (ca, mut tasks) = (Authority::new(), JoinSet::new());
        let api = front(&ca).await;
        let address = start(&ca, &mut tasks).await;
        publish(&api, address).await;
        api.get(FLUNDERS).await.expect(404);
        let told = register(&api, &api_service(&ca.pem)).await;
        assert_eq!(told, ("True".to_owned(), "Passed".to_owned()));

        let request = Request::get(format!("{FLUNDERS}/a?x=%20y"))
            .header("authorization", "Bearer secret")
            .header("x-remote-user", "root")
            .header("x-remote-group", "system:masters")
            .header("impersonate-user", "alice")
            .header("impersonate-group", "dev")
            .header("impersonate-group", "system:masters");
        let seen = api.send(request.body(Body::empty()).unwrap()).await.expect(200);
        assert_eq!(seen["uri"], format!("{FLUNDERS}/a?x=%20y"));
        assert_eq!(seen["host"], json!(["sample.default.svc:443"]));
        assert_eq!(seen["user"], json!(["alice"]));
        assert_eq!(seen["groups"], json!(["dev", "system:masters", "system:authenticated"]));
        assert_eq!((&seen["authorization"], &seen["impersonate"]), (&json!([]), &json!([])));

        let mut events = api.watch(&format!("{FLUNDERS}?watch=1")).await;
        assert_eq!(events.next().await.unwrap()["type"], "ADDED");
        assert_eq!(events.next().await.unwrap()["type"], "DELETED");
        assert!(events.next().await.is_none());

        // What may be asked is decided here.
        let nobody =
            api.server.allows(&UserInfo::new("nobody", &[]), &http::Method::GET, &FLUNDERS.parse().unwrap());
        assert!(!nobody);
    });
    test.await;
}

#[tokio::test]
async fn a_connection_to_another_server_may_leave_http() {
    let local = tokio::task::LocalSet::new();
    let test = local.run_until(async {
        let (ca, mut tasks) = (Authority::new(), JoinSet::new());
        let api = front(&ca).await;
        let backend = start(&ca, &mut tasks).await;
        publish(&api, backend).await;
        register(&api, &api_service(&ca.pem)).await;
        let (address, shutdown) = serve(&api, &ca, &mut tasks).await;
        let admin = ca.sign("admin", Some("system:masters"));
        let path = format!("{FLUNDERS}/a/tunnel");
        let answer = send((address, &ca, &admin), &mut tasks, upgrade(&path, "echo")).await;
        assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
        let mut stream = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
        stream.write_all(b"hello").await.unwrap();
        stream.flush().await.unwrap();
        let mut heard = [0; 5];
        stream.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"HELLO");
        shutdown.cancel();
    });
    test.await;
}

#[tokio::test]
async fn discovery_tells_of_what_others_serve() {
    let local = tokio::task::LocalSet::new();
    let test = local.run_until(async {
        let (ca, mut tasks) = (Authority::new(), JoinSet::new());
        let api = front(&ca).await;
        let address = start(&ca, &mut tasks).await;
        publish(&api, address).await;
        register(&api, &api_service(&ca.pem)).await;

        let version = json!({"groupVersion": "wardle.example.com/v1alpha1", "version": "v1alpha1"});
        let groups = api.get("/apis").await.expect(200);
        let group =
            groups["groups"].as_array().unwrap().iter().find(|g| g["name"] == "wardle.example.com").unwrap();
        assert_eq!((&group["versions"][0], &group["preferredVersion"]), (&version, &version));
        assert!(groups["groups"].as_array().unwrap().iter().any(|g| g["name"] == "apps"));
        let alone = api.get("/apis/wardle.example.com").await.expect(200);
        assert_eq!((&alone["kind"], &alone["versions"][0]), (&json!("APIGroup"), &version));
        let resources = api.get("/apis/wardle.example.com/v1alpha1").await.expect(200);
        assert_eq!(resources["resources"][0]["name"], "flunders");

        let all = api.get_as("/apis", AGGREGATED).await;
        let tag = all.headers["etag"].clone();
        let all = all.expect(200);
        let item =
            all["items"].as_array().unwrap().iter().find(|i| i["metadata"]["name"] == "wardle.example.com");
        let expected = json!([{
            "version": "v1alpha1", "freshness": "Current",
            "resources": [{
                "resource": "flunders", "scope": "Namespaced", "singularResource": "flunder",
                "responseKind": {"group": "wardle.example.com", "version": "v1alpha1", "kind": "Flunder"},
                "verbs": ["create", "get", "list", "watch"],
                "subresources": [{
                    "subresource": "status", "verbs": ["get"],
                    "responseKind": {"group": "wardle.example.com", "version": "v1alpha1", "kind": "Flunder"},
                }],
            }],
        }]);
        assert_eq!(item.unwrap()["versions"], expected);
        let again = Request::get("/apis").header("accept", AGGREGATED).header("if-none-match", tag);
        assert_eq!(api.send(again.body(Body::empty()).unwrap()).await.code, StatusCode::NOT_MODIFIED);
    });
    test.await;
}

#[tokio::test]
async fn a_server_that_does_not_work_is_unavailable() {
    let local = tokio::task::LocalSet::new();
    let test = local.run_until(async {
        let (ca, mut tasks) = (Authority::new(), JoinSet::new());
        let api = front(&ca).await;
        let told = register(&api, &api_service(&ca.pem)).await;
        assert_eq!(told, ("False".to_owned(), "ServiceNotFound".to_owned()));
        let answer = api.get(FLUNDERS).await;
        assert_eq!((answer.code.as_u16(), &*answer.text), (503, "service unavailable\n"));

        // One whose certificate nobody vouches for is not talked to.
        api.delete(&format!("{API_SERVICES}/v1alpha1.wardle.example.com")).await.expect(200);
        let address = start(&ca, &mut tasks).await;
        publish(&api, address).await;
        let told = register(&api, &api_service(&Authority::new().pem)).await;
        assert_eq!(told, ("False".to_owned(), "FailedDiscoveryCheck".to_owned()));

        // What this server serves itself is never passed on.
        let mut local = api_service(&ca.pem);
        local["metadata"]["name"] = json!("v1.apps");
        local["spec"]["group"] = json!("apps");
        local["spec"]["version"] = json!("v1");
        api.post(API_SERVICES, &local).await.expect(201);
        api.get("/apis/apps/v1/namespaces/default/deployments").await.expect(200);
        let groups = api.get("/apis").await.expect(200);
        let apps = groups["groups"].as_array().unwrap().iter().find(|group| group["name"] == "apps").unwrap();
        assert_eq!(apps["versions"].as_array().unwrap().len(), 1);
    });
    test.await;
}
