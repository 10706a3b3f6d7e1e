//! What a decision costs with 1,000 bindings: of as many users, or all of one. Reading the path is part of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use divan::Bencher;
use http::{Method, Request, Uri};
use serde_json::{Value, json};
use tower::ServiceExt;
use wherry_api::clock::SystemClock;
use wherry_apiserver::{ApiServer, Config, UserInfo, bootstrap, extractor};
use wherry_store::{Options, Store};

const GROUP: &str = "/apis/rbac.authorization.k8s.io/v1";
const BINDINGS: usize = 1_000;

fn main() {
    divan::main();
}

/// A server with Kubernetes' own roles and 1,000 more, each bound to the user that `user` names.
struct Cluster {
    server: ApiServer,
    _directory: tempfile::TempDir,
}

impl Cluster {
    fn new(user: impl Fn(usize) -> String) -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let options = Options::new(extractor(), Arc::new(|| 1_700_000_000_000));
        let store = Store::open(&directory.path().join("store"), options).expect("the store opens");
        let counter = AtomicU64::new(1);
        let ids = move || format!("00000000-0000-4000-8000-{:012}", counter.fetch_add(1, Ordering::Relaxed));
        let cidr = "10.96.0.0/16".parse().expect("it is a range");
        let server = ApiServer::new(Config::new(store, Arc::new(SystemClock), Arc::new(ids), cidr));
        let mut objects: Vec<(&str, Value)> = Vec::new();
        objects.extend(bootstrap::cluster_roles().into_iter().map(|role| ("clusterroles", role)));
        let bindings = bootstrap::cluster_role_bindings().into_iter();
        objects.extend(bindings.map(|binding| ("clusterrolebindings", binding)));
        for at in 0..BINDINGS {
            objects.push(("clusterroles", role(at)));
            objects.push(("clusterrolebindings", binding(at, &user(at))));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let writes = objects.iter().map(|(plural, object)| create(&server, plural, object));
        runtime.expect("a runtime starts").block_on(futures::future::join_all(writes));
        Self { server, _directory: directory }
    }
}

fn role(at: usize) -> Value {
    let rule = json!({"verbs": ["get", "list"], "apiGroups": [format!("g{at}.example.com")], "resources": ["things"]});
    let more = json!({"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps", format!("r{at}")]});
    json!({"metadata": {"name": format!("role-{at}")}, "rules": [rule, more]})
}

fn binding(at: usize, user: &str) -> Value {
    let name = format!("role-{at}");
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name});
    let subject = json!({"kind": "User", "name": user, "apiGroup": "rbac.authorization.k8s.io"});
    json!({"metadata": {"name": name}, "roleRef": role, "subjects": [subject]})
}

async fn create(server: &ApiServer, plural: &str, object: &Value) {
    let request = Request::post(format!("{GROUP}/{plural}")).header("content-type", "application/json");
    let request = request.body(Body::from(object.to_string())).expect("it is a request");
    let response = server.router_as(UserInfo::master("bench")).oneshot(request).await;
    assert_eq!(response.expect("the router answers").status(), 201);
}

fn decide(bencher: Bencher<'_, '_>, cluster: &Cluster, user: &str, path: &'static str, allowed: bool) {
    let user = UserInfo::new(user, &["dev", "system:authenticated"]);
    let uri = Uri::from_static(path);
    bencher.bench(|| assert_eq!(cluster.server.allows(&user, &Method::GET, &uri), allowed));
}

#[divan::bench]
fn one_binding_of_1000_allows(bencher: Bencher<'_, '_>) {
    let cluster = Cluster::new(|at| format!("user-{at}"));
    decide(bencher, &cluster, "user-500", "/api/v1/namespaces/default/configmaps/a", true);
}

#[divan::bench]
fn none_of_1000_allows(bencher: Bencher<'_, '_>) {
    let cluster = Cluster::new(|at| format!("user-{at}"));
    decide(bencher, &cluster, "user-500", "/api/v1/namespaces/default/secrets/a", false);
}

#[divan::bench]
fn the_last_of_1000_of_one_user_allows(bencher: Bencher<'_, '_>) {
    let cluster = Cluster::new(|_| "user".to_owned());
    decide(bencher, &cluster, "user", "/apis/g999.example.com/v1/things", true);
}

#[divan::bench]
fn none_of_1000_of_one_user_allows(bencher: Bencher<'_, '_>) {
    let cluster = Cluster::new(|_| "user".to_owned());
    decide(bencher, &cluster, "user", "/api/v1/namespaces/default/secrets/a", false);
}
