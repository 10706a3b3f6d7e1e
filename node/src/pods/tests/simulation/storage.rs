//! Pods that take too much of the disk.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_pod_that_fills_a_volume_beyond_its_size_is_evicted() {
    let node = Node::started(false).await;
    let mut spec = one("app:v1");
    spec["volumes"] = json!([{ "name": "v", "emptyDir": { "sizeLimit": "64Ki" } }]);
    spec["containers"][0]["volumeMounts"] = json!([{ "name": "v", "mountPath": "/data" }]);
    node.create(spec);
    node.wait_ready().await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(node.api.get(POD).unwrap()["status"]["phase"], "Running");
    let file = node.wasmtime.created()[0].mounts[0].host_path.join("file");
    std::fs::write(file, vec![1; 128 << 10]).unwrap();
    let pod = node.api.wait_for(POD, |pod| pod["status"]["phase"] == "Failed").await;
    let message = "Usage of EmptyDir volume \"v\" exceeds the limit \"64Ki\". ";
    assert_eq!((&pod["status"]["reason"], &pod["status"]["message"]), (&json!("Evicted"), &json!(message)));
    let conditions = pod["status"]["conditions"].as_array().unwrap();
    let target = conditions.iter().find(|condition| condition["type"] == "DisruptionTarget").unwrap();
    assert_eq!((&target["status"], &target["reason"]), (&json!("True"), &json!("TerminationByKubelet")));
    assert_eq!(node.api.wait_event("Evicted").await, message);
    assert_eq!(node.wasmtime.grace(), Some(Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn a_container_that_writes_beyond_its_limit_ends_its_pod() {
    let node = Node::started(false).await;
    let mut spec = one("app:v1");
    spec["containers"][0]["resources"] = json!({ "limits": { "ephemeral-storage": "1Mi" } });
    node.create(spec);
    node.wait_ready().await;
    node.wasmtime.take_disk(2 << 20);
    let pod = node.api.wait_for(POD, |pod| pod["status"]["phase"] == "Failed").await;
    let message = "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. ";
    assert_eq!(pod["status"]["message"], message);
}
