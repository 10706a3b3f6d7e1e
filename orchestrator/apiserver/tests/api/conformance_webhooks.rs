//! The conformance descriptions of admission webhooks.
//!
//! Each test is named after the description that it does; the webhooks in them are HTTPS servers on loopback.

use serde_json::{Value, json};

use crate::harness::{Api, CONFIG_MAPS, PODS, names};
use crate::hooks::{Hooks, MUTATING, VALIDATING, WAIT, allow, configure, deny, make, patch};

/// Answers with a changed ConfigMap.
fn mutate(_: &str, _: &Value) -> Value {
    patch(&json!([{"op": "add", "path": "/data/mutation-stage-1", "value": "yes"}]))
}

fn refuse(_: &str, _: &Value) -> Value {
    deny("the configmap contains unwanted key and value")
}

fn is_mutated(made: &Value) -> bool {
    made["data"]["mutation-stage-1"] == "yes"
}

/// Makes ten configurations, finds them all, and removes them with one request.
async fn ten(api: &Api, hooks: &Hooks, resource: &str) {
    for number in 0..10 {
        let name = format!("w{number}");
        configure(api, resource, &name, &[hooks.hook("a.example.com", "/w", &json!({}))]).await;
    }
    let path = format!("{resource}?labelSelector=of%3Dtest");
    assert_eq!(names(&api.get(&path).await.expect(200)).len(), 10);
}

#[tokio::test]
async fn admission_webhook_list_mutating_webhooks() {
    let api = Api::start().await;
    let hooks = Hooks::start(mutate).await;
    ten(&api, &hooks, MUTATING).await;
    assert!(is_mutated(&make(&api, "a", &json!({"k": "v"})).await.expect(201)));
    api.delete(&format!("{MUTATING}?labelSelector=of%3Dtest")).await.expect(200);
    assert!(!is_mutated(&make(&api, "b", &json!({"k": "v"})).await.expect(201)));
}

#[tokio::test]
async fn admission_webhook_list_validating_webhooks() {
    let api = Api::start().await;
    let hooks = Hooks::start(refuse).await;
    ten(&api, &hooks, VALIDATING).await;
    let message = "admission webhook \"a.example.com\" denied the request: the configmap contains unwanted key and value";
    make(&api, "a", &json!({})).await.refused(400, "", message);
    api.delete(&format!("{VALIDATING}?labelSelector=of%3Dtest")).await.expect(200);
    make(&api, "a", &json!({})).await.expect(201);
}

/// Takes the operation CREATE out of a configuration by an update and puts it back by a patch; `check` is told whether
/// the webhook applies.
async fn change_and_restore(api: &Api, resource: &str, check: impl AsyncFn(&str, bool)) {
    let path = format!("{resource}/w");
    check("before", true).await;
    let mut configuration = api.get(&path).await.expect(200);
    configuration["webhooks"][0]["rules"][0]["operations"] = json!(["UPDATE"]);
    api.put(&path, &configuration).await.expect(200);
    check("meanwhile", false).await;
    let back = json!([{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]);
    api.patch(&path, "json-patch", &back).await.expect(200);
    check("after", true).await;
}

#[tokio::test]
async fn admission_webhook_update_mutating_webhook() {
    let api = Api::start().await;
    let hooks = Hooks::start(mutate).await;
    configure(&api, MUTATING, "w", &[hooks.hook("a.example.com", "/w", &json!({}))]).await;
    change_and_restore(&api, MUTATING, async |name, applies| {
        let made = make(&api, name, &json!({"k": "v"})).await.expect(201);
        assert_eq!(is_mutated(&made), applies, "{name}");
    })
    .await;
}

#[tokio::test]
async fn admission_webhook_update_validating_webhook() {
    let api = Api::start().await;
    let hooks = Hooks::start(refuse).await;
    configure(&api, VALIDATING, "w", &[hooks.hook("a.example.com", "/w", &json!({}))]).await;
    change_and_restore(&api, VALIDATING, async |name, applies| {
        make(&api, name, &json!({})).await.expect(if applies { 400 } else { 201 });
    })
    .await;
}

/// Match conditions are kept as they are written, and as they are changed.
async fn conditions_are_kept(resource: &str) {
    let api = Api::start().await;
    let hooks = Hooks::start(|_, _| allow()).await;
    let conditions = json!([{"name": "c", "expression": "object.metadata.name != 'x'"}]);
    let hook = hooks.hook("a.example.com", "/w", &json!({"matchConditions": conditions}));
    configure(&api, resource, "w", &[hook]).await;
    let mut read = api.get(&format!("{resource}/w")).await.expect(200);
    assert_eq!(read["webhooks"][0]["matchConditions"], conditions);
    let changed = json!([{"name": "d", "expression": "request.operation == 'CREATE'"}]);
    read["webhooks"][0]["matchConditions"] = changed.clone();
    api.put(&format!("{resource}/w"), &read).await.expect(200);
    let read = api.get(&format!("{resource}/w")).await.expect(200);
    assert_eq!(read["webhooks"][0]["matchConditions"], changed);
}

#[tokio::test]
async fn mutating_admission_webhook_create_and_update_mutating_webhook_configuration_with_matchconditions() {
    conditions_are_kept(MUTATING).await;
}

#[tokio::test]
async fn validating_admission_webhook_create_and_update_validating_webhook_configuration_with_matchconditions()
 {
    conditions_are_kept(VALIDATING).await;
}

/// A condition that does not compile is refused.
async fn bad_conditions_are_refused(resource: &str) {
    let api = Api::start().await;
    let hooks = Hooks::start(|_, _| allow()).await;
    let conditions = json!([{"name": "c", "expression": "... [] bad expression"}]);
    let hook = hooks.hook("a.example.com", "/w", &json!({"matchConditions": conditions}));
    let body = json!({"metadata": {"name": "w"}, "webhooks": [hook]});
    let refused = api.post(resource, &body).await.expect(422);
    assert!(refused["message"].as_str().unwrap().contains("compilation failed"), "{refused}");
}

#[tokio::test]
async fn mutating_admission_webhook_reject_mutating_webhook_configurations_with_invalid_matchconditions() {
    bad_conditions_are_refused(MUTATING).await;
}

#[tokio::test]
async fn validing_admission_webhook_reject_validating_webhook_configurations_with_invalid_matchconditions() {
    bad_conditions_are_refused(VALIDATING).await;
}

#[tokio::test]
async fn mutating_admission_webhook_mutating_webhook_excluding_object_with_specific_name() {
    let api = Api::start().await;
    let hooks = Hooks::start(mutate).await;
    let conditions = json!([{"name": "skip-me", "expression": "object.metadata.name != 'skip-me'"}]);
    let hook = hooks.hook("a.example.com", "/w", &json!({"matchConditions": conditions}));
    configure(&api, MUTATING, "w", &[hook]).await;
    assert!(!is_mutated(&make(&api, "skip-me", &json!({"k": "v"})).await.expect(201)));
    assert!(is_mutated(&make(&api, "not-me", &json!({"k": "v"})).await.expect(201)));
}

#[tokio::test]
async fn admission_webhook_deny_attach() {
    let api = Api::start().await;
    let hooks = Hooks::start(|_, request| {
        assert_eq!(request["object"]["kind"], "PodAttachOptions");
        deny("attaching to pod 'to-be-attached-pod' is not allowed")
    })
    .await;
    let rules = json!([{"operations": ["CONNECT"], "apiGroups": [""], "apiVersions": ["v1"],
                        "resources": ["pods/attach"]}]);
    configure(&api, VALIDATING, "w", &[hooks.hook("a.example.com", "/w", &json!({"rules": rules}))]).await;
    api.pod("to-be-attached-pod", None).await;
    let message = "admission webhook \"a.example.com\" denied the request: attaching to pod 'to-be-attached-pod' is not \
                   allowed";
    let path = format!("{PODS}/to-be-attached-pod/attach?container=c&stdin=true");
    api.post(&path, &Value::Null).await.refused(400, "", message);
}

/// Refuses what is marked as unwanted, and never answers about what is to hang.
fn guard(_: &str, request: &Value) -> Value {
    let object = &request["object"];
    match (object["metadata"]["name"].as_str(), object["data"]["webhook-e2e-test"].as_str()) {
        (Some("hang"), _) => Value::Null,
        (Some("disallowed"), _) => deny("the pod contains unwanted container name"),
        (_, Some("webhook-disallow")) => deny("the configmap contains unwanted key and value"),
        _ => allow(),
    }
}

#[tokio::test]
async fn admission_webhook_deny_create() {
    let api = Api::start().await;
    let hooks = Hooks::start(guard).await;
    let more = json!({
        "rules": [{"operations": ["CREATE", "UPDATE"], "apiGroups": [""], "apiVersions": ["v1"],
                   "resources": ["configmaps", "pods"]}],
        "timeoutSeconds": 1,
        "namespaceSelector": {"matchExpressions": [{"key": "skip-webhook", "operator": "NotIn", "values": ["yes"]}]},
    });
    configure(&api, VALIDATING, "w", &[hooks.hook("a.example.com", "/w", &more)]).await;
    let pod = |name: &str| json!({"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let unwanted = json!({"webhook-e2e-test": "webhook-disallow"});
    let denied = "admission webhook \"a.example.com\" denied the request: the configmap contains unwanted key and value";
    api.post(PODS, &pod("disallowed")).await.expect(400);
    let timeout = format!(
        "Internal error occurred: failed calling webhook \"a.example.com\": failed to call webhook: Post \
         \"https://127.0.0.1:{}/w?timeout=1s\": context deadline exceeded",
        hooks.port
    );
    api.post(PODS, &pod("hang")).await.refused(500, "InternalError", &timeout);
    make(&api, "a", &unwanted).await.refused(400, "", denied);
    let mut made = make(&api, "b", &json!({})).await.expect(201);
    let change = json!({"data": unwanted});
    api.patch(&format!("{CONFIG_MAPS}/b"), "merge-patch", &change).await.refused(400, "", denied);
    made["data"] = unwanted.clone();
    api.put(&format!("{CONFIG_MAPS}/b"), &made).await.refused(400, "", denied);
    let namespace = json!({"metadata": {"name": "exempt", "labels": {"skip-webhook": "yes"}}});
    api.post("/api/v1/namespaces", &namespace).await.expect(201);
    let body = json!({"metadata": {"name": "c"}, "data": unwanted});
    api.post("/api/v1/namespaces/exempt/configmaps", &body).await.expect(201);
}

#[tokio::test]
async fn a_webhook_that_does_not_answer_in_time_counts_as_its_failure_policy_says() {
    let api = Api::start().await;
    let hooks = Hooks::start(guard).await;
    let fail = json!({"timeoutSeconds": 1, "failurePolicy": "Fail"});
    configure(&api, VALIDATING, "w", &[hooks.hook("a.example.com", "/w", &fail)]).await;
    make(&api, "hang", &json!({})).await.expect(500);
    api.delete(&format!("{VALIDATING}/w")).await.expect(200);
    let ignore = json!({"timeoutSeconds": 1, "failurePolicy": "Ignore"});
    configure(&api, VALIDATING, "w", &[hooks.hook("a.example.com", "/w", &ignore)]).await;
    make(&api, "hang", &json!({})).await.expect(201);
}

#[tokio::test]
async fn admission_webhook_deny_custom_resource_definition() {
    let api = Api::start().await;
    let hooks = Hooks::start(|_, _| deny("the crd contains unwanted label")).await;
    let rules = json!([{"operations": ["CREATE"], "apiGroups": ["apiextensions.k8s.io"], "apiVersions": ["*"],
                        "resources": ["customresourcedefinitions"]}]);
    configure(&api, VALIDATING, "w", &[hooks.hook("a.example.com", "/w", &json!({"rules": rules}))]).await;
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "toys.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "toys", "singular": "toy", "kind": "Toy", "listKind": "ToyList"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                          "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    let message = "admission webhook \"a.example.com\" denied the request: the crd contains unwanted label";
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    api.post(path, &definition).await.refused(400, "", message);
}

#[tokio::test]
async fn admission_webhook_discovery_document() {
    let api = Api::start().await;
    let groups = api.get("/apis").await.expect(200);
    let group =
        groups["groups"].as_array().unwrap().iter().find(|g| g["name"] == "admissionregistration.k8s.io");
    let version = json!({"groupVersion": "admissionregistration.k8s.io/v1", "version": "v1"});
    assert!(group.unwrap()["versions"].as_array().unwrap().contains(&version));
    let resources = api.get("/apis/admissionregistration.k8s.io/v1").await.expect(200);
    let all: Vec<&str> =
        resources["resources"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert!(
        all.contains(&"mutatingwebhookconfigurations") && all.contains(&"validatingwebhookconfigurations")
    );
}

#[tokio::test]
async fn admission_webhook_ordered_mutation() {
    let api = Api::start().await;
    let hooks = Hooks::start(|path, request| {
        let (needs, adds) = match path {
            "/1" => ("mutation-start", "mutation-stage-1"),
            _ => ("mutation-stage-1", "mutation-stage-2"),
        };
        match request["object"]["data"][needs].as_str() {
            Some("yes") => patch(&json!([{"op": "add", "path": format!("/data/{adds}"), "value": "yes"}])),
            _ => allow(),
        }
    })
    .await;
    let both =
        [hooks.hook("one.example.com", "/1", &json!({})), hooks.hook("two.example.com", "/2", &json!({}))];
    configure(&api, MUTATING, "w", &both).await;
    let made = make(&api, "a", &json!({"mutation-start": "yes"})).await.expect(201);
    let expected = json!({"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"});
    assert_eq!(made["data"], expected);
}

#[tokio::test]
async fn admission_webhook_mutation_with_defaulting() {
    let api = Api::start().await;
    let added = json!({"name": "webhook-added-init-container", "image": "i"});
    let steps = json!([{"op": "add", "path": "/spec/initContainers", "value": [added]}]);
    let hooks = Hooks::start(move |_, _| patch(&steps)).await;
    let rules =
        json!([{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]);
    configure(&api, MUTATING, "w", &[hooks.hook("a.example.com", "/w", &json!({"rules": rules}))]).await;
    let pod = api.pod("p", None).await;
    let added = &pod["spec"]["initContainers"][0];
    assert_eq!(added["name"], "webhook-added-init-container");
    assert_eq!(added["terminationMessagePolicy"], "File");
    assert!(added["volumeMounts"].is_array(), "the server looks at it again: {added}");
}

#[tokio::test]
async fn admission_webhook_admission_control_not_allowed_on_webhook_configuration_objects() {
    let api = Api::start().await;
    let hooks = Hooks::start(|path, _| match path {
        "/mutate" => patch(&json!([{"op": "add", "path": "/metadata/labels", "value": {"mutated": "yes"}}])),
        _ => deny("no"),
    })
    .await;
    let rules = json!({"rules": [{"operations": ["*"], "apiGroups": ["admissionregistration.k8s.io"],
                                  "apiVersions": ["*"], "resources": ["*"]}]});
    configure(&api, MUTATING, "m", &[hooks.hook("a.example.com", "/mutate", &rules)]).await;
    configure(&api, VALIDATING, "v", &[hooks.hook("a.example.com", "/deny", &rules)]).await;
    for resource in [MUTATING, VALIDATING] {
        let body = json!({"metadata": {"name": "dummy"}, "webhooks": []});
        let made = api.post(resource, &body).await.expect(201);
        assert!(made["metadata"].get("labels").is_none(), "{made}");
        api.delete(&format!("{resource}/dummy")).await.expect(200);
    }
    assert!(hooks.paths().is_empty());
}

#[tokio::test]
async fn admission_webhook_fail_closed() {
    let api = Api::start().await;
    let hooks = Hooks::start(|_, _| allow()).await;
    let mut hook = hooks.hook("fail-closed.example.com", "/w", &json!({"failurePolicy": "Fail"}));
    hook["clientConfig"].as_object_mut().unwrap().remove("caBundle");
    configure(&api, VALIDATING, "w", &[hook]).await;
    let refused = make(&api, "a", &json!({})).await.expect(500);
    assert!(refused["message"].as_str().unwrap().contains("failed calling webhook"), "{refused}");
    api.get(&format!("{CONFIG_MAPS}/a")).await.expect(404);
}

#[tokio::test]
async fn admission_webhook_honor_timeout() {
    let api = Api::start().await;
    let hooks = Hooks::start(|_, _| json!(WAIT)).await;
    let slow = |more: Value| hooks.hook("slow.example.com", "/slow", &more);
    let attempts = [json!({"timeoutSeconds": 1}), json!({"timeoutSeconds": 1, "failurePolicy": "Ignore"})];
    for (code, more) in [500, 201].into_iter().zip(attempts) {
        configure(&api, VALIDATING, "w", &[slow(more)]).await;
        let answer = make(&api, "a", &json!({})).await.expect(code);
        if code == 500 {
            let told = answer["message"].as_str().unwrap();
            assert!(told.contains("failed calling webhook \"slow.example.com\""), "{told}");
            assert!(told.ends_with("context deadline exceeded"), "{told}");
        }
        api.delete(&format!("{VALIDATING}/w")).await.expect(200);
    }
    for (name, more) in [("b", json!({"timeoutSeconds": 10})), ("c", json!({}))] {
        configure(&api, VALIDATING, "w", &[slow(more)]).await;
        let before = hooks.paths().len();
        let open = async {
            while hooks.paths().len() == before {
                tokio::task::yield_now().await;
            }
            hooks.gate.cancel();
        };
        let nothing = json!({});
        let (answer, ()) = tokio::join!(make(&api, name, &nothing), open);
        answer.expect(201);
        api.delete(&format!("{VALIDATING}/w")).await.expect(200);
    }
}
