//! What 20 validating policies add to the creation of a Deployment: `cargo bench -p wherry-apiserver --bench policies`.
//!
//! Each policy has a condition, a variable and two validations, and a binding that selects the namespace by its labels.
//! Creations are dry runs, so that nothing waits for the disk, on two servers in turn: one with the policies, one
//! without. Prints `figure: name = value unit, baseline ...`.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::Router;
use axum::body::Body;
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::time::Instant;
use tower::ServiceExt;
use wherry_api::clock::SystemClock;
use wherry_apiserver::{ApiServer, Config, UserInfo, extractor};
use wherry_store::{Options, Store};

const GROUP: &str = "/apis/admissionregistration.k8s.io/v1";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const POLICIES: usize = 20;
const TURNS: usize = 2_000;

/// A server and who asks it.
struct Api {
    router: Router,
    _directory: tempfile::TempDir,
}

impl Api {
    async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        let options = Options::new(extractor(), Arc::new(|| 1_700_000_000_000));
        let store = Store::open(&directory.path().join("store"), options).expect("the store opens");
        let counter = AtomicU64::new(1);
        let ids = move || format!("00000000-0000-4000-8000-{:012}", counter.fetch_add(1, Ordering::Relaxed));
        let cidr = "10.96.0.0/16".parse().expect("it is a range");
        let server = ApiServer::new(Config::new(store, Arc::new(SystemClock), Arc::new(ids), cidr));
        let api = Self { router: server.router_as(UserInfo::master("bench")), _directory: directory };
        let namespace = json!({"metadata": {"name": "default", "labels": {"checked": "yes"}}});
        assert_eq!(api.create("/api/v1/namespaces", &namespace).await, 201);
        api
    }

    async fn create(&self, path: &str, object: &Value) -> u16 {
        let request = Request::post(path).header("content-type", "application/json");
        let request = request.body(Body::from(object.to_string())).expect("it is a request");
        let response = self.router.clone().oneshot(request).await.expect("the router answers");
        let code = response.status().as_u16();
        response.into_body().collect().await.expect("the answer can be read");
        code
    }

    async fn add_policies(&self) {
        for number in 0..POLICIES {
            let name = format!("policy-{number}");
            let path = format!("{GROUP}/validatingadmissionpolicies");
            assert_eq!(self.create(&path, &policy(&name, number)).await, 201);
            let path = format!("{GROUP}/validatingadmissionpolicybindings");
            assert_eq!(self.create(&path, &binding(&name)).await, 201);
        }
    }

    /// How long a creation takes in microseconds.
    async fn time(&self) -> f64 {
        let start = Instant::now();
        assert_eq!(self.create(&format!("{DEPLOYMENTS}?dryRun=All"), &deployment()).await, 201);
        start.elapsed().as_secs_f64() * 1e6
    }
}

fn policy(name: &str, number: usize) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "matchConstraints": {"resourceRules": [{
            "apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"],
            "resources": ["deployments"],
        }]},
        "matchConditions": [{"name": "people", "expression": "!request.userInfo.username.startsWith('system:')"}],
        "variables": [{"name": "containers", "expression": "object.spec.template.spec.containers"}],
        "validations": [
            {"expression": format!("object.spec.replicas <= {}", 100 + number)},
            {"expression": "variables.containers.all(c, c.image.startsWith('registry.example.com/') && \
                            has(c.resources.limits) && 'memory' in c.resources.limits)"},
        ],
    }})
}

fn binding(name: &str) -> Value {
    json!({"metadata": {"name": name}, "spec": {
        "policyName": name, "validationActions": ["Deny"],
        "matchResources": {"namespaceSelector": {"matchLabels": {"checked": "yes"}}},
    }})
}

fn deployment() -> Value {
    let container = |name: &str| json!({"name": name, "image": format!("registry.example.com/{name}:1"), "resources": {"limits": {"memory": "64Mi"}}});
    json!({"metadata": {"name": "d"}, "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "a"}},
        "template": {
            "metadata": {"labels": {"app": "a"}},
            "spec": {"containers": [container("web"), container("side")]},
        },
    }})
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

fn figure(name: &str, value: f64, baseline: &str) {
    writeln!(std::io::stdout(), "figure: {name} = {value:.1} us, baseline {baseline}")
        .expect("standard output");
}

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(measure());
}

async fn measure() {
    let (bare, checked) = (Api::start().await, Api::start().await);
    checked.add_policies().await;
    let (mut without, mut with) = (Vec::with_capacity(TURNS), Vec::with_capacity(TURNS));
    for _ in 0..TURNS {
        without.push(bare.time().await);
        with.push(checked.time().await);
    }
    let (without, with) = (median(without), median(with));
    figure("create_without_policies", without, "none");
    figure("create_20_policies_more", with - without, "at most 150 us");
}
