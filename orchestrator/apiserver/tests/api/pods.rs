//! Pods: what admission fills in, what may change, binding.

use serde_json::json;

use crate::harness::{Api, PODS};

#[tokio::test]
async fn admission_completes_a_pod() {
    let api = Api::start().await;
    let pod = api.pod("p", None).await;
    assert_eq!(pod["spec"]["serviceAccountName"], "default");
    assert_eq!(pod["spec"]["priority"], 0);
    assert_eq!(pod["spec"]["preemptionPolicy"], "PreemptLowerPriority");
    let tolerations = pod["spec"]["tolerations"].as_array().unwrap();
    assert_eq!(tolerations.len(), 2);
    assert!(tolerations.iter().all(|t| t["tolerationSeconds"] == 300));
    assert_eq!(pod["status"], json!({"phase": "Pending", "qosClass": "BestEffort"}));
}

#[tokio::test]
async fn a_priority_class_gives_its_number() {
    let api = Api::start().await;
    let classes = "/apis/scheduling.k8s.io/v1/priorityclasses";
    api.post(classes, &json!({"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"}))
        .await
        .expect(201);
    let pod = |class: &str| {
        json!({
            "metadata": {"name": class},
            "spec": {"priorityClassName": class, "containers": [{"name": "c", "image": "i"}]},
        })
    };
    let made = api.post(PODS, &pod("high")).await.expect(201);
    assert_eq!(
        (&made["spec"]["priority"], &made["spec"]["preemptionPolicy"]),
        (&json!(1000), &json!("Never"))
    );
    let made = api.post(PODS, &pod("system-node-critical")).await.expect(201);
    assert_eq!(made["spec"]["priority"], 2_000_001_000);
    api.post(PODS, &pod("absent")).await.refused(
        403,
        "Forbidden",
        "pods \"absent\" is forbidden: no PriorityClass with name absent was found",
    );
}

#[tokio::test]
async fn a_runtime_class_must_exist_and_brings_its_overhead() {
    let api = Api::start().await;
    let pod = json!({
        "metadata": {"name": "p"},
        "spec": {"runtimeClassName": "wasmtime", "containers": [{"name": "c", "image": "i"}]},
    });
    api.post(PODS, &pod).await.refused(
        403,
        "Forbidden",
        "pods \"p\" is forbidden: pod rejected: RuntimeClass \"wasmtime\" not found",
    );
    let class = json!({
        "metadata": {"name": "wasmtime"}, "handler": "wasmtime", "overhead": {"podFixed": {"memory": "1Mi"}},
    });
    api.post("/apis/node.k8s.io/v1/runtimeclasses", &class).await.expect(201);
    let made = api.post(PODS, &pod).await.expect(201);
    assert_eq!(made["spec"]["overhead"], json!({"memory": "1Mi"}));
}

#[tokio::test]
async fn a_pod_is_bound_once() {
    let api = Api::start().await;
    api.pod("p", None).await;
    let binding = |node: &str| json!({"metadata": {"name": "p"}, "target": {"kind": "Node", "name": node}});
    let status = api.post(&format!("{PODS}/p/binding"), &binding("n1")).await.expect(201);
    assert_eq!((&status["status"], &status["code"]), (&json!("Success"), &json!(201)));
    let pod = api.get(&format!("{PODS}/p")).await.expect(200);
    assert_eq!(pod["spec"]["nodeName"], "n1");
    assert_eq!(pod["metadata"]["generation"], 1);
    assert_eq!(pod["status"]["conditions"][0]["type"], "PodScheduled");
    api.post(&format!("{PODS}/p/binding"), &binding("n2")).await.refused(
        409,
        "Conflict",
        "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n1\"",
    );
    api.pod("q", None).await;
    let older = json!({"metadata": {"name": "q"}, "target": {"name": "n1"}});
    api.post("/api/v1/namespaces/default/bindings", &older).await.expect(201);
    assert_eq!(api.get(&format!("{PODS}/q")).await.expect(200)["spec"]["nodeName"], "n1");
}

#[tokio::test]
async fn only_images_and_a_few_fields_of_a_pod_may_change() {
    let api = Api::start().await;
    let mut pod = api.pod("p", None).await;
    let path = format!("{PODS}/p");
    pod["spec"]["containers"][0]["image"] = json!("other");
    let mut pod = api.put(&path, &pod).await.expect(200);
    assert_eq!(pod["metadata"]["generation"], 2);
    pod["spec"]["nodeSelector"] = json!({"a": "b"});
    let refused = api.put(&path, &pod).await.expect(422);
    assert_eq!(refused["details"]["causes"][0]["field"], "spec");
    let text = refused["message"].as_str().unwrap();
    assert!(
        text.contains("pod updates may not change fields other than `spec.containers[*].image`"),
        "{text}"
    );
    assert!(api.get(&path).await.expect(200)["spec"]["nodeSelector"].is_null());
}
