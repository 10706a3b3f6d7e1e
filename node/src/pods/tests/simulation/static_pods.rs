//! Pods of manifests, and what the API shows of them.

use super::*;
use crate::static_pods::Directory;

const MIRROR: &str = "/api/v1/namespaces/default/pods/web-node-1";
const NODE: &str = "/api/v1/nodes/node-1";

fn manifest(image: &str) -> String {
    let spec = one(image);
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "web" }, "spec": spec }).to_string()
}

impl Node {
    /// Has these manifests in its directory.
    fn manifests(&self, texts: &[String]) {
        let dir = tempfile::tempdir().unwrap();
        for (number, text) in texts.iter().enumerate() {
            std::fs::write(dir.path().join(format!("{number}.json")), text).unwrap();
        }
        // The directory has another name each time, which is part of what a Pod is told apart by.
        let (_, pods) = Directory::open(dir.path(), "node-1", self.clock.clone()).unwrap();
        self.manifests.send_replace(pods.borrow().clone());
    }

    /// The uids of the pods that have containers.
    fn running(&self) -> Vec<String> {
        self.wasmtime.existing().into_iter().map(|container| container.id.sandbox.0).collect()
    }

    async fn until_running(&self, pods: usize) {
        while self.running().len() != pods {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_static_pod_runs_and_its_mirror_shows_it() {
    let mut node = Node::new(false);
    node.manifests(&[manifest("app:v1")]);
    node.start().await;
    node.until_running(1).await;
    assert!(node.api.get(MIRROR).is_none(), "it has to belong to its node, which is not there yet");
    node.api.put(NODE, json!({ "metadata": { "name": "node-1", "uid": "n-1" } }));
    let mirror = node.api.wait_for(MIRROR, is_ready).await;
    let (meta, uid) = (&mirror["metadata"], node.running()[0].clone());
    let owner =
        json!([{ "apiVersion": "v1", "kind": "Node", "name": "node-1", "uid": "n-1", "controller": true }]);
    assert_eq!(meta["ownerReferences"], owner);
    for name in ["mirror", "hash"] {
        assert_eq!(meta["annotations"][format!("kubernetes.io/config.{name}")], uid);
    }
    assert_ne!(meta["uid"], uid);

    // Whoever deletes the mirror gets another; the Pod does not notice.
    let mut deleted = mirror.clone();
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
    node.api.put(MIRROR, deleted);
    let again = node.api.wait_for(MIRROR, |pod| pod["metadata"]["uid"] != mirror["metadata"]["uid"]).await;
    assert_eq!(again["metadata"]["annotations"]["kubernetes.io/config.mirror"], uid);
    node.api.wait_for(MIRROR, is_ready).await;
    assert_eq!((node.running(), node.wasmtime.created().len()), (vec![uid], 1));
}

#[tokio::test(start_paused = true)]
async fn another_manifest_replaces_the_pod_after_it_has_ended_and_none_removes_it() {
    let mut node = Node::new(false);
    node.api.put(NODE, json!({ "metadata": { "name": "node-1", "uid": "n-1" } }));
    node.manifests(&[manifest("app:v1")]);
    node.start().await;
    let first = node.api.wait_for(MIRROR, is_ready).await;
    let mut other: Value = serde_json::from_str(&manifest("app:v1")).unwrap();
    other["spec"]["containers"][0]["args"] = json!(["more"]);
    node.manifests(&[other.to_string()]);
    let second = node
        .api
        .wait_for(MIRROR, |pod| {
            pod["metadata"]["annotations"] != first["metadata"]["annotations"] && is_ready(pod)
        })
        .await;
    assert_eq!(second["spec"]["containers"][0]["args"], json!(["more"]));
    assert_eq!((node.running().len(), node.wasmtime.created().len()), (1, 2));

    node.manifests(&[]);
    node.api.wait_gone(MIRROR).await;
    node.until_running(0).await;
    assert!(node.network.known().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_changed_while_the_agent_was_away_is_put_right_without_the_api() {
    let mut node = Node::new(false);
    node.manifests(&[manifest("app:v1")]);
    node.start().await;
    node.until_running(1).await;
    let old = node.running();
    node.stop().await;
    node.manifests(&[manifest("app:v1").replace("\"web\"", "\"other\"")]);
    node.start().await;
    while node.running() == old || node.running().is_empty() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(node.running().len() == 1 && node.running() != old);
}

#[tokio::test(start_paused = true)]
async fn nobody_makes_a_pod_static_by_saying_so() {
    let node = Node::started(false).await;
    let annotations = json!({ "kubernetes.io/config.source": "file" });
    node.create(one("app:v1"));
    let mut pod = node.api.get(POD).unwrap();
    pod["metadata"]["annotations"] = annotations;
    node.api.put(POD, pod);
    node.wait_ready().await;
    node.delete(1);
    node.api.wait_gone(POD).await;
    node.until_running(0).await;
    // And one that says it is a mirror, of which there is no Pod, is none that is run.
    let mirror = json!({ "name": "mirror", "namespace": "shop", "uid": "u-2",
        "annotations": { "kubernetes.io/config.mirror": "h" } });
    let mut spec = one("app:v1");
    spec["nodeName"] = json!("node-1");
    let path = "/api/v1/namespaces/shop/pods/mirror";
    node.api.put(path, json!({ "apiVersion": "v1", "kind": "Pod", "metadata": mirror, "spec": spec }));
    node.api.wait_gone(path).await;
    assert_eq!(node.wasmtime.created().len(), 1);
}
