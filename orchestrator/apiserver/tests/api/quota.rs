//! ResourceQuotas: what is charged, what is refused, and that nobody gets more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Api, names};

const CORE: &str = "/api/v1/namespaces/default";
const QUOTAS: &str = "/api/v1/namespaces/default/resourcequotas";

/// Makes a quota whose status says that nothing is used.
async fn quota(api: &Api, name: &str, spec: Value) {
    let none: serde_json::Map<String, Value> =
        spec["hard"].as_object().unwrap().keys().map(|name| (name.clone(), json!("0"))).collect();
    let status = json!({"status": {"hard": spec["hard"], "used": none}});
    api.post(QUOTAS, &json!({"metadata": {"name": name}, "spec": spec})).await.expect(201);
    let path = format!("{QUOTAS}/{name}/status");
    api.patch(&path, "merge-patch", &status).await.expect(200);
}

async fn used(api: &Api, name: &str) -> Value {
    api.get(&format!("{QUOTAS}/{name}")).await.expect(200)["status"]["used"].clone()
}

fn pod(name: &str, resources: &Value) -> Value {
    let container = json!({"name": "c", "image": "i", "resources": resources});
    json!({"metadata": {"name": name}, "spec": {"containers": [container]}})
}

#[tokio::test]
async fn pods_are_charged_and_refused() {
    let api = Api::start().await;
    quota(&api, "q", json!({"hard": {"requests.cpu": "1", "limits.memory": "1Gi", "pods": "9"}})).await;
    let pods = format!("{CORE}/pods");
    api.post(&pods, &pod("a", &json!({}))).await.refused(
        403,
        "Forbidden",
        "pods \"a\" is forbidden: failed quota: q: must specify limits.memory for: c; requests.cpu for: c",
    );
    let fits = json!({"requests": {"cpu": "100m"}, "limits": {"memory": "2Mi"}});
    api.post(&format!("{pods}?dryRun=All"), &pod("b", &fits)).await.expect(201);
    assert_eq!(used(&api, "q").await["pods"], "0");
    api.post(&pods, &pod("b", &fits)).await.expect(201);
    let expected = json!({"limits.memory": "2Mi", "requests.cpu": "100m", "pods": "1"});
    assert_eq!(used(&api, "q").await, expected);
    let big = json!({"requests": {"cpu": "2"}, "limits": {"memory": "2Gi"}});
    let why = "pods \"big\" is forbidden: exceeded quota: q, requested: limits.memory=2Gi,requests.cpu=2, used: \
               limits.memory=2Mi,requests.cpu=100m, limited: limits.memory=1Gi,requests.cpu=1";
    api.post(&format!("{pods}?dryRun=All"), &pod("big", &big)).await.refused(403, "Forbidden", why);
    api.post(&pods, &pod("big", &big)).await.refused(403, "Forbidden", why);
    // What was refused took nothing, and what is there twice is charged once.
    api.post(&pods, &pod("b", &fits)).await.expect(409);
    assert_eq!(used(&api, "q").await, expected);
}

#[tokio::test]
async fn a_pod_that_grows_is_charged_for_its_growth() {
    let api = Api::start().await;
    quota(&api, "q", json!({"hard": {"requests.cpu": "1"}})).await;
    let pods = format!("{CORE}/pods");
    api.post(&pods, &pod("a", &json!({"requests": {"cpu": "400m"}}))).await.expect(201);
    let resize =
        |cpu: &str| json!({"spec": {"containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]}});
    let path = format!("{pods}/a/resize");
    let strategic = "strategic-merge-patch";
    api.patch(&path, strategic, &resize("1")).await.expect(200);
    assert_eq!(used(&api, "q").await, json!({"requests.cpu": "1"}));
    api.patch(&path, strategic, &resize("1100m")).await.refused(
        403,
        "Forbidden",
        "pods \"a\" is forbidden: exceeded quota: q, requested: requests.cpu=100m, used: requests.cpu=1, limited: \
         requests.cpu=1",
    );
    // What is given back is counted by the controller, not by the write.
    api.patch(&path, strategic, &resize("200m")).await.expect(200);
    assert_eq!(used(&api, "q").await, json!({"requests.cpu": "1"}));
}

#[tokio::test]
async fn scopes_choose_what_is_charged() {
    let api = Api::start().await;
    quota(&api, "best", json!({"hard": {"pods": "1"}, "scopes": ["BestEffort"]})).await;
    quota(&api, "other", json!({"hard": {"pods": "5"}, "scopes": ["NotBestEffort", "NotTerminating"]})).await;
    let pods = format!("{CORE}/pods");
    api.post(&pods, &pod("a", &json!({}))).await.expect(201);
    api.post(&pods, &pod("b", &json!({"requests": {"cpu": "1"}}))).await.expect(201);
    let mut ending = pod("c", &json!({"requests": {"cpu": "1"}}));
    ending["spec"]["activeDeadlineSeconds"] = json!(5);
    api.post(&pods, &ending).await.expect(201);
    assert_eq!(
        (used(&api, "best").await, used(&api, "other").await),
        (json!({"pods": "1"}), json!({"pods": "1"}))
    );
    api.post(&pods, &pod("d", &json!({}))).await.expect(403);
}

#[tokio::test]
async fn objects_of_any_kind_are_counted() {
    let api = Api::start().await;
    let hard = json!({"configmaps": "1", "count/configmaps": "5", "count/leases.coordination.k8s.io": "0"});
    quota(&api, "q", json!({"hard": hard})).await;
    api.config_map("a", &json!({})).await;
    api.post(&format!("{CORE}/configmaps"), &json!({"metadata": {"name": "b"}})).await.refused(
        403,
        "Forbidden",
        "configmaps \"b\" is forbidden: exceeded quota: q, requested: configmaps=1, used: configmaps=1, limited: \
         configmaps=1",
    );
    let leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases";
    api.post(leases, &json!({"metadata": {"name": "l"}})).await.expect(403);
    let event = json!({"metadata": {"name": "e"}, "involvedObject": {"namespace": "default"}});
    api.post(&format!("{CORE}/events"), &event).await.expect(201);
}

#[tokio::test]
async fn services_are_charged_for_what_they_become() {
    let api = Api::start().await;
    quota(
        &api,
        "q",
        json!({"hard": {"services": "2", "services.nodeports": "1", "services.loadbalancers": "0"}}),
    )
    .await;
    let service = |kind: &str, ports: usize| {
        let ports: Vec<Value> =
            (0..ports).map(|n| json!({"name": format!("p{n}"), "port": 80 + n})).collect();
        json!({"metadata": {"name": "s"}, "spec": {"type": kind, "ports": ports}})
    };
    let services = format!("{CORE}/services");
    api.post(&services, &service("ClusterIP", 2)).await.expect(201);
    let path = format!("{services}/s");
    let merge = "merge-patch";
    api.patch(&path, merge, &json!({"spec": {"type": "NodePort"}})).await.refused(
        403,
        "Forbidden",
        "services \"s\" is forbidden: exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=0, \
         limited: services.nodeports=1",
    );
    api.patch(&path, merge, &service("NodePort", 1)).await.expect(200);
    let expected = json!({"services": "1", "services.nodeports": "1", "services.loadbalancers": "0"});
    assert_eq!(used(&api, "q").await, expected);
}

#[tokio::test]
async fn a_quota_whose_use_is_unknown_lets_nothing_in() {
    let api = Api::start().await;
    let spec = json!({"hard": {"pods": "5", "secrets": "1"}});
    api.post(QUOTAS, &json!({"metadata": {"name": "q"}, "spec": spec})).await.expect(201);
    // Nothing is limited until the status says so.
    api.post(&format!("{CORE}/pods"), &pod("a", &json!({}))).await.expect(201);
    let status = json!({"status": spec});
    let path = format!("{QUOTAS}/q/status");
    api.patch(&path, "merge-patch", &status).await.expect(200);
    let why = "pods \"b\" is forbidden: status unknown for quota: q, resources: pods";
    api.post(&format!("{CORE}/pods"), &pod("b", &json!({}))).await.refused(403, "Forbidden", why);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_four_creators_never_exceed_a_quota() {
    const CREATORS: usize = 64;
    const ATTEMPTS: usize = 10_000;
    const LIMIT: usize = 300;
    let api = Arc::new(Api::start().await);
    quota(&api, "q", json!({"hard": {"count/configmaps": LIMIT.to_string()}})).await;
    quota(&api, "wide", json!({"hard": {"configmaps": ATTEMPTS.to_string()}})).await;
    let (next, created) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut creators = JoinSet::new();
    for _ in 0..CREATORS {
        let (api, next, created) = (api.clone(), next.clone(), created.clone());
        creators.spawn(async move {
            loop {
                let attempt = next.fetch_add(1, Ordering::SeqCst);
                if attempt >= ATTEMPTS {
                    break;
                }
                // Every fourth name is taken: its creation fails behind others that build on it.
                let name = if attempt % 4 == 3 { attempt - 1 } else { attempt };
                let body = json!({"metadata": {"name": format!("c{name}")}});
                let answer = api.post(&format!("{CORE}/configmaps"), &body).await;
                match answer.code.as_u16() {
                    201 => created.fetch_add(1, Ordering::SeqCst),
                    403 | 409 => 0,
                    code => panic!("{code}: {:?}", answer.body),
                };
            }
        });
    }
    while let Some(ended) = creators.join_next().await {
        ended.unwrap();
    }
    let list = api.get(&format!("{CORE}/configmaps")).await.expect(200);
    assert_eq!((names(&list).len(), created.load(Ordering::SeqCst)), (LIMIT, LIMIT));
    assert_eq!(used(&api, "q").await, json!({"count/configmaps": LIMIT.to_string()}));
    assert_eq!(used(&api, "wide").await, json!({"configmaps": LIMIT.to_string()}));
}
