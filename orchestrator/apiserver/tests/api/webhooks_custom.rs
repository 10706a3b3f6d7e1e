//! The conformance descriptions of admission webhooks that need custom resources.
//!
//! Each test is named after the description that it does.

use serde_json::{Value, json};

use crate::harness::Api;
use crate::hooks::{Hooks, MUTATING, VALIDATING, allow, configure, deny, patch};

const TOYS: &str = "/apis/example.com/v1/namespaces/default/toys";

/// Defines toys, whose `data` has these properties.
async fn define(api: &Api, data: &Value) {
    let schema = json!({"type": "object", "properties": {"data": data}});
    let definition = json!({
        "metadata": {"name": "toys.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "toys", "kind": "Toy"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
        },
    });
    api.define(&definition).await;
}

fn about_toys() -> Value {
    let operations = ["CREATE", "UPDATE", "DELETE"];
    json!({"rules": [{"operations": operations, "apiGroups": ["example.com"], "apiVersions": ["*"], "resources": ["toys"]}]})
}

fn anything() -> Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}})
}

#[tokio::test]
async fn admission_webhook_deny_custom_resource_create_and_delete() {
    let api = Api::start().await;
    define(&api, &anything()).await;
    let hooks = Hooks::start(|_, request| {
        let is = |object: &str| request[object]["data"]["webhook-e2e-test"] == "webhook-disallow";
        match request["operation"].as_str() {
            Some("DELETE") if is("oldObject") => deny("the custom resource cannot be deleted"),
            _ if is("object") => deny("the custom resource contains unwanted data"),
            _ => allow(),
        }
    })
    .await;
    let unwanted = json!({"metadata": {"name": "old"}, "data": {"webhook-e2e-test": "webhook-disallow"}});
    api.post(TOYS, &unwanted).await.expect(201);
    configure(&api, VALIDATING, "w", &[hooks.hook("a.example.com", "/w", &about_toys())]).await;
    let denied = |why: &str| format!("admission webhook \"a.example.com\" denied the request: {why}");
    let data = denied("the custom resource contains unwanted data");
    let mut new = unwanted.clone();
    new["metadata"]["name"] = json!("new");
    api.post(TOYS, &new).await.refused(400, "", &data);
    new["data"] = json!({});
    api.post(TOYS, &new).await.expect(201);
    let change = json!({"data": {"webhook-e2e-test": "webhook-disallow"}});
    api.patch(&format!("{TOYS}/new"), "merge-patch", &change).await.refused(400, "", &data);
    let kept = denied("the custom resource cannot be deleted");
    api.delete(&format!("{TOYS}/old")).await.refused(400, "", &kept);
    let allowed = json!({"data": {"webhook-e2e-test": "webhook-allow"}});
    api.patch(&format!("{TOYS}/old"), "merge-patch", &allowed).await.expect(200);
    api.delete(&format!("{TOYS}/old")).await.expect(200);
}

/// Two stages, the second of which needs what the first adds.
fn stages(path: &str, request: &Value) -> Value {
    let (needs, adds) = match path {
        "/1" => ("mutation-start", "mutation-stage-1"),
        _ => ("mutation-stage-1", "mutation-stage-2"),
    };
    match request["object"]["data"][needs].as_str() {
        Some("yes") => patch(&json!([{"op": "add", "path": format!("/data/{adds}"), "value": "yes"}])),
        _ => allow(),
    }
}

/// Makes a toy that passes both stages.
async fn staged(api: &Api) -> Value {
    let hooks = Hooks::start(stages).await;
    let hook = |name: &str, path: &str| hooks.hook(name, path, &about_toys());
    configure(api, MUTATING, "one", &[hook("one.example.com", "/1")]).await;
    configure(api, MUTATING, "two", &[hook("two.example.com", "/2")]).await;
    api.post(TOYS, &json!({"metadata": {"name": "a"}, "data": {"mutation-start": "yes"}})).await.expect(201)
}

#[tokio::test]
async fn admission_webhook_mutate_custom_resource() {
    let api = Api::start().await;
    define(&api, &anything()).await;
    let made = staged(&api).await;
    assert_eq!(
        made["data"],
        json!({"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"})
    );
}

#[tokio::test]
async fn admission_webhook_mutate_custom_resource_with_pruning() {
    let api = Api::start().await;
    let text = json!({"type": "string"});
    let known = json!({"type": "object", "properties": {"mutation-start": text, "mutation-stage-1": text}});
    define(&api, &known).await;
    let made = staged(&api).await;
    assert_eq!(made["data"], json!({"mutation-start": "yes", "mutation-stage-1": "yes"}));
}

#[tokio::test]
async fn admission_webhook_mutate_custom_resource_with_different_stored_version() {
    let api = Api::start().await;
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let versions = |stored: &str| {
        let version = |name: &str| json!({"name": name, "served": true, "storage": name == stored, "schema": {"openAPIV3Schema": schema}});
        json!([version("v1"), version("v2")])
    };
    let definition = json!({
        "metadata": {"name": "toys.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": {"plural": "toys", "kind": "Toy"},
            "versions": versions("v1"),
        },
    });
    api.define(&definition).await;
    let hooks = Hooks::start(stages).await;
    configure(&api, MUTATING, "one", &[hooks.hook("one.example.com", "/1", &about_toys())]).await;
    api.post(TOYS, &json!({"metadata": {"name": "a"}, "data": {"mutation-start": "yes"}})).await.expect(201);
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/toys.example.com";
    api.patch(path, "merge-patch", &json!({"spec": {"versions": versions("v2")}})).await.expect(200);
    let patched = api.patch(&format!("{TOYS}/a"), "merge-patch", &json!({"dummy": "test"})).await.expect(200);
    assert_eq!(patched["apiVersion"], "example.com/v1");
    assert_eq!((&patched["dummy"], &patched["data"]["mutation-stage-1"]), (&json!("test"), &json!("yes")));
}
