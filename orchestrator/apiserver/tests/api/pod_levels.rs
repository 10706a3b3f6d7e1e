//! What a Pod's node is told of the namespace's level of Pod security.

use serde_json::{Value, json};

use crate::harness::{Api, PODS};

const LEVEL: &str = "run.wherry.dev/level";

async fn label(api: &Api, level: &Value) {
    let labels = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": level}}});
    api.patch("/api/v1/namespaces/default", "merge-patch", &labels).await.expect(200);
}

fn pod(name: &str, annotations: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "annotations": annotations},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    })
}

/// Its creator could say that it is held to less, or take the word away later.
#[tokio::test]
async fn the_server_alone_tells_a_node_what_a_pod_is_held_to() {
    let api = Api::start().await;
    let claims = json!({ LEVEL: "privileged" });
    let free = api.post(PODS, &pod("free", &claims)).await.expect(201);
    assert_eq!(free["metadata"]["annotations"], Value::Null);
    label(&api, &json!("baseline")).await;
    let held = api.post(PODS, &pod("held", &claims)).await.expect(201);
    assert_eq!(held["metadata"]["annotations"][LEVEL], "baseline");
    label(&api, &Value::Null).await;
    for (patch, left) in [
        (json!({"metadata": {"annotations": {LEVEL: null}}}), json!({LEVEL: "baseline"})),
        (
            json!({"metadata": {"annotations": {LEVEL: "privileged", "a": "b"}}}),
            json!({LEVEL: "baseline", "a": "b"}),
        ),
    ] {
        let patched = api.patch(&format!("{PODS}/held"), "merge-patch", &patch).await.expect(200);
        assert_eq!(patched["metadata"]["annotations"], left);
    }
    let patch = json!({"metadata": {"annotations": claims}});
    let patched = api.patch(&format!("{PODS}/free"), "merge-patch", &patch).await.expect(200);
    assert_eq!(patched["metadata"]["annotations"], Value::Null);
}
