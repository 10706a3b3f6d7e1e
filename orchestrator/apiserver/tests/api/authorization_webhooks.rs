//! Programs that decide what may be done: what they are asked, what follows from their answers and from their silence.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use http::Request;
use serde_json::{Value, json};
use wherry_apiserver::{Authorization, AuthorizationConfiguration, UserInfo};

use crate::harness::{Answer, Api, CONFIG_MAPS, send};
use crate::hooks::Hooks;

/// A webhook as configurations name it, with more or other fields.
fn authorizer(name: &str, kubeconfig: &Path, more: &Value) -> Value {
    let mut webhook = json!({
        "timeout": "5s", "subjectAccessReviewVersion": "v1", "failurePolicy": "Deny",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": kubeconfig},
    });
    for (key, value) in more.as_object().unwrap() {
        webhook[key] = value.clone();
    }
    json!({"type": "Webhook", "name": name, "webhook": webhook})
}

fn roles() -> Value {
    json!({"type": "RBAC", "name": "rbac"})
}

fn configuration(authorizers: &[Value]) -> String {
    json!({
        "apiVersion": "apiserver.config.k8s.io/v1", "kind": "AuthorizationConfiguration", "authorizers": authorizers,
    })
    .to_string()
}

/// A kubeconfig that leads to a webhook at a path.
fn kubeconfig(directory: &Path, hooks: &Hooks, path: &str) -> PathBuf {
    let cluster = json!({"server": hooks.at_path(path)["url"], "certificate-authority-data": hooks.bundle});
    let file = directory.join(format!("config{}", path.replace('/', "-")));
    std::fs::write(&file, json!({"clusters": [{"name": "c", "cluster": cluster}]}).to_string()).unwrap();
    file
}

/// A server that asks these, and the directory of their files.
async fn start(authorizers: &[Value]) -> Api {
    let configured = AuthorizationConfiguration::parse(configuration(authorizers).as_bytes()).unwrap();
    Api::with(|config| config.authorization = Authorization::Configured(configured)).await
}

fn ann() -> UserInfo {
    UserInfo::new("ann", &["dev"])
}

async fn get(api: &Api, user: UserInfo, path: &str) -> Answer {
    send(&api.server.router_as(user), Request::get(path).body(Body::empty()).unwrap()).await
}

/// What ann is told who may not read a ConfigMap.
fn refusal(reason: &str) -> String {
    format!(
        "configmaps \"a\" is forbidden: User \"ann\" cannot get resource \"configmaps\" in API group \"\" in the namespace \
         \"default\"{reason}"
    )
}

const MAP: &str = "/api/v1/namespaces/default/configmaps/a";

#[tokio::test]
async fn a_webhook_decides_what_nobody_before_it_did() {
    let directory = tempfile::tempdir().unwrap();
    let hooks = Hooks::start(|_, spec| {
        let reads = spec["resourceAttributes"]["verb"] == "get";
        json!({"allowed": reads, "denied": false, "reason": "only reading"})
    })
    .await;
    let file = kubeconfig(directory.path(), &hooks, "/authorize");
    let api = start(&[roles(), authorizer("w", &file, &json!({}))]).await;
    api.config_map("a", &json!({})).await;
    get(&api, ann(), MAP).await.expect(200);
    let (path, spec) = hooks.seen.lock()[0].clone();
    let attributes = json!({"namespace": "default", "verb": "get", "version": "v1", "resource": "configmaps", "name": "a"});
    assert_eq!(path, "/authorize");
    assert_eq!(
        spec,
        json!({"user": "ann", "groups": ["dev", "system:authenticated"], "resourceAttributes": attributes})
    );
    let list = format!("{CONFIG_MAPS}?labelSelector=a%3Db&fieldSelector=metadata.name%3Dc");
    get(&api, ann(), &list).await.expect(403);
    let asked = hooks.seen.lock()[1].1["resourceAttributes"].clone();
    assert_eq!(
        asked["labelSelector"]["requirements"],
        json!([{"key": "a", "operator": "In", "values": ["b"]}])
    );
    assert_eq!(
        asked["fieldSelector"]["requirements"],
        json!([{"key": "metadata.name", "operator": "In", "values": ["c"]}])
    );
    let denied = "configmaps is forbidden: User \"ann\" cannot list resource \"configmaps\" in API group \"\" in the \
                  namespace \"default\": only reading";
    get(&api, ann(), CONFIG_MAPS).await.refused(403, "Forbidden", denied);
    get(&api, ann(), "/healthz").await.expect(403);
    let path = hooks.seen.lock().last().unwrap().1.clone();
    assert_eq!(path["nonResourceAttributes"], json!({"path": "/healthz", "verb": "get"}));
    get(&api, UserInfo::master("root"), CONFIG_MAPS).await.expect(200);
    assert_eq!(hooks.seen.lock().len(), 4, "nobody is asked about those who may do everything");
}

#[tokio::test]
async fn a_no_of_a_webhook_is_final_and_no_opinion_is_not() {
    let directory = tempfile::tempdir().unwrap();
    let hooks = Hooks::start(|path, spec| match path {
        "/first" => json!({"allowed": false, "denied": spec["user"] == "ann", "reason": "ann is away"}),
        _ => json!({"allowed": true}),
    })
    .await;
    let first = authorizer("first", &kubeconfig(directory.path(), &hooks, "/first"), &json!({}));
    let second = authorizer("second", &kubeconfig(directory.path(), &hooks, "/second"), &json!({}));
    let api = start(&[first, second]).await;
    api.config_map("a", &json!({})).await;
    get(&api, ann(), MAP).await.refused(403, "Forbidden", &refusal(": ann is away"));
    get(&api, UserInfo::new("bob", &[]), MAP).await.expect(200);
    assert_eq!(hooks.paths(), ["/first", "/first", "/second"]);
    let review = |user: &str| json!({"spec": {"user": user, "resourceAttributes": {"verb": "get", "resource": "configmaps"}}});
    let path = "/apis/authorization.k8s.io/v1/subjectaccessreviews";
    let answer = api.post(path, &review("ann")).await.expect(201);
    assert_eq!(answer["status"], json!({"allowed": false, "denied": true, "reason": "ann is away"}));
    assert_eq!(hooks.seen.lock().last().unwrap().1["resourceAttributes"]["version"], "*");
    let rules = json!({"spec": {"namespace": "default"}});
    let path = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews";
    let rules = api.post(path, &rules).await.expect(201);
    assert_eq!(rules["status"]["incomplete"], true);
    assert_eq!(
        rules["status"]["evaluationError"],
        "webhook authorizer does not support user rule resolution"
    );
}

#[tokio::test]
async fn without_an_answer_the_failure_policy_decides() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("config");
    // Nobody listens at this port, which needs privileges.
    let nowhere = json!({"clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:1/x"}}]});
    std::fs::write(&file, nowhere.to_string()).unwrap();
    let error =
        "Post \"https://127.0.0.1:1/x?timeout=5s\": dial tcp 127.0.0.1:1: connect: connection refused";
    let told = format!("Internal Server Error: {MAP:?}: {error}\n");
    let deny = start(&[authorizer("w", &file, &json!({})), roles()]).await;
    deny.default_policy().await;
    let answer = get(&deny, ann(), MAP).await;
    assert_eq!((answer.code.as_u16(), answer.text.as_str()), (500, told.as_str()));
    assert_eq!(get(&deny, ann(), "/version").await.code, 500, "the role that allows this is not asked");
    let pass = start(&[authorizer("w", &file, &json!({"failurePolicy": "NoOpinion"})), roles()]).await;
    pass.default_policy().await;
    get(&pass, ann(), "/version").await.expect(200);
    let answer = get(&pass, ann(), MAP).await;
    assert_eq!((answer.code.as_u16(), answer.text.as_str()), (500, told.as_str()));
    let metrics = pass.get("/metrics").await.text;
    let line = "apiserver_authorization_webhook_evaluations_fail_open_total{name=\"w\",result=\"error\"} 2";
    assert!(metrics.contains(line), "{metrics}");
}

#[tokio::test]
async fn conditions_keep_questions_from_a_webhook() {
    let directory = tempfile::tempdir().unwrap();
    let hooks = Hooks::start(|_, _| json!({"allowed": true})).await;
    let file = kubeconfig(directory.path(), &hooks, "/");
    let conditions = json!({
        "matchConditionSubjectAccessReviewVersion": "v1",
        "matchConditions": [
            {"expression": "has(request.resourceAttributes)"},
            {"expression": "request.resourceAttributes.namespace == 'default' && request.user == 'ann'"},
        ],
    });
    let api = start(&[authorizer("w", &file, &conditions)]).await;
    api.config_map("a", &json!({})).await;
    get(&api, ann(), "/version").await.expect(403);
    get(&api, UserInfo::new("bob", &[]), MAP).await.expect(403);
    assert!(hooks.paths().is_empty());
    get(&api, ann(), MAP).await.expect(200);
    assert_eq!(hooks.paths(), ["/"]);
    let metrics = api.get("/metrics").await.text;
    for line in [
        "apiserver_authorization_match_condition_exclusions_total{name=\"w\",type=\"Webhook\"} 2",
        "apiserver_authorization_match_condition_evaluation_seconds_count{name=\"w\",type=\"Webhook\"} 3",
        "apiserver_authorization_decisions_total{decision=\"allowed\",name=\"w\",type=\"Webhook\"} 1",
        "apiserver_authorization_webhook_evaluations_total{name=\"w\",result=\"success\"} 1",
        "apiserver_authorization_webhook_duration_seconds_bucket{name=\"w\",result=\"success\",le=\"0.005\"} 1",
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
}

#[tokio::test]
async fn a_condition_that_cannot_be_evaluated_is_an_error_unless_another_does_not_hold() {
    let directory = tempfile::tempdir().unwrap();
    let hooks = Hooks::start(|_, _| json!({"allowed": true})).await;
    let file = kubeconfig(directory.path(), &hooks, "/");
    let broken = json!({
        "matchConditionSubjectAccessReviewVersion": "v1",
        "matchConditions": [{"expression": "request.nonResourceAttributes.path == '/version'"},
                            {"expression": "request.user != 'bob'"}],
    });
    let api = start(&[authorizer("w", &file, &broken)]).await;
    let answer = get(&api, ann(), MAP).await;
    assert_eq!(answer.code, 500);
    assert!(answer.text.contains("no such key: nonResourceAttributes"), "{}", answer.text);
    get(&api, UserInfo::new("bob", &[]), MAP).await.expect(403);
    get(&api, ann(), "/version").await.expect(200);
}

#[tokio::test]
async fn an_answer_counts_for_a_while() {
    let directory = tempfile::tempdir().unwrap();
    let hooks = Hooks::start(|_, spec| json!({"allowed": spec["user"] == "ann"})).await;
    let file = kubeconfig(directory.path(), &hooks, "/");
    let short = json!({"authorizedTTL": "60s", "unauthorizedTTL": "10s"});
    let api = start(&[authorizer("w", &file, &short)]).await;
    let ask = async |user: &str, code: u16| {
        get(&api, UserInfo::new(user, &[]), "/version").await.expect(code);
        hooks.seen.lock().len()
    };
    assert_eq!([ask("ann", 200).await, ask("ann", 200).await], [1, 1]);
    assert_eq!([ask("bob", 403).await, ask("bob", 403).await], [2, 2]);
    api.clock.advance(11);
    assert_eq!([ask("ann", 200).await, ask("bob", 403).await], [2, 3]);
    api.clock.advance(60);
    assert_eq!(ask("ann", 200).await, 4);
    let never = json!({"cacheAuthorizedRequests": false, "cacheUnauthorizedRequests": false});
    let api = start(&[authorizer("w", &file, &never)]).await;
    for _ in 0..2 {
        get(&api, ann(), "/version").await.expect(200);
    }
    assert_eq!(hooks.seen.lock().len(), 6);
    assert_eq!(*hooks.connections.lock(), 2, "each server asks over one connection");
}

#[tokio::test]
async fn a_webhook_that_is_broken_for_a_moment_is_asked_again() {
    let directory = tempfile::tempdir().unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let hooks = Hooks::start(move |_, _| match asked.fetch_add(1, Ordering::Relaxed) {
        0 => json!(500),
        _ => json!({"allowed": true}),
    })
    .await;
    let file = kubeconfig(directory.path(), &hooks, "/");
    let api = start(&[authorizer("w", &file, &json!({}))]).await;
    get(&api, ann(), "/version").await.expect(200);
    assert_eq!(hooks.seen.lock().len(), 2);
}

#[tokio::test]
async fn who_may_take_the_place_of_others_is_asked_too() {
    let directory = tempfile::tempdir().unwrap();
    let hooks = Hooks::start(|_, spec| json!({"allowed": spec["user"] == "ann"})).await;
    let file = kubeconfig(directory.path(), &hooks, "/");
    let api = start(&[authorizer("w", &file, &json!({}))]).await;
    let request = Request::get("/version").header("impersonate-user", "bob").body(Body::empty()).unwrap();
    send(&api.server.router_as(ann()), request).await.expect(403);
    let seen = hooks.seen.lock().clone();
    let attributes = &seen[0].1["resourceAttributes"];
    assert_eq!((&attributes["verb"], &attributes["name"]), (&json!("impersonate"), &json!("bob")));
    assert_eq!((seen.len(), &seen[1].1["user"]), (2, &json!("bob")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expressions_of_policies_ask_it_too() {
    let directory = tempfile::tempdir().unwrap();
    let hooks = Hooks::start(|_, spec| {
        let attributes = &spec["resourceAttributes"];
        json!({"allowed": attributes["verb"] != "boast" || attributes["name"] == "b"})
    })
    .await;
    let file = kubeconfig(directory.path(), &hooks, "/");
    let api = start(&[roles(), authorizer("w", &file, &json!({}))]).await;
    let group = "/apis/admissionregistration.k8s.io/v1";
    let policy = json!({"metadata": {"name": "p"}, "spec": {
        "matchConstraints": {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                                                "resources": ["configmaps"]}]},
        "validations": [{"expression": "authorizer.group('').resource('x').name(object.metadata.name).check('boast').allowed()",
                         "message": "nobody boasts"}],
    }});
    api.post(&format!("{group}/validatingadmissionpolicies"), &policy).await.expect(201);
    let binding =
        json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    api.post(&format!("{group}/validatingadmissionpolicybindings"), &binding).await.expect(201);
    let router = api.server.router_as(ann());
    let make = async |name: &str| {
        let body = Body::from(json!({"metadata": {"name": name}}).to_string());
        let request = Request::post(CONFIG_MAPS).header("content-type", "application/json").body(body);
        send(&router, request.unwrap()).await
    };
    let refused = make("a").await;
    assert!(refused.text.contains("nobody boasts"), "{}", refused.text);
    make("b").await.expect(201);
}

#[tokio::test]
async fn a_file_that_changes_counts_without_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let hooks = Hooks::start(|_, _| json!({"allowed": true})).await;
    let kubeconfig = kubeconfig(directory.path(), &hooks, "/");
    let file = directory.path().join("authorization.yaml");
    // A file is replaced at once, as tools do.
    let write = |authorizers: &[Value]| {
        std::fs::write(directory.path().join("new"), configuration(authorizers)).unwrap();
        std::fs::rename(directory.path().join("new"), &file).unwrap();
    };
    write(&[roles()]);
    let configured = AuthorizationConfiguration::load(&file).unwrap();
    let api = Api::with(|config| config.authorization = Authorization::Configured(configured)).await;
    get(&api, ann(), MAP).await.expect(403);
    let counted = async |status: &str, count: usize| {
        let name = "apiserver_authorization_config_controller_automatic_reloads_total";
        let line = format!("{name}{{status=\"{status}\"}} {count}\n");
        while !api.get("/metrics").await.text.contains(&line) {
            tokio::task::yield_now().await;
        }
    };
    write(&[roles(), authorizer("w", &kubeconfig, &json!({}))]);
    counted("success", 1).await;
    get(&api, ann(), "/version").await.expect(200);
    write(&[authorizer("w", &kubeconfig, &json!({}))]);
    counted("failure", 1).await;
    std::fs::write(directory.path().join("broken"), "{").unwrap();
    std::fs::rename(directory.path().join("broken"), &file).unwrap();
    counted("failure", 2).await;
    get(&api, ann(), "/version").await.expect(200);
    write(&[roles()]);
    counted("success", 2).await;
    get(&api, ann(), "/version").await.expect(403);
}
