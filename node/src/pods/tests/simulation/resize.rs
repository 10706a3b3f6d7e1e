//! Resources that change while containers run: in place, by a restart, later, or never.

use super::*;

fn sized(cpu: &str, memory: &str) -> Value {
    let mut spec = one("app:v1");
    spec["containers"][0]["resources"] = json!({ "requests": { "cpu": cpu, "memory": memory } });
    spec
}

impl Node {
    /// Has the pod `web` ask for this.
    fn resize(&self, cpu: &str, memory: &str) {
        let mut pod = self.api.get(POD).unwrap();
        let generation = pod["metadata"]["generation"].as_i64().unwrap() + 1;
        pod["metadata"]["generation"] = json!(generation);
        pod["spec"]["containers"][0]["resources"] = sized(cpu, memory)["containers"][0]["resources"].clone();
        self.api.put(POD, pod);
    }

    /// Waits until the pod has this much of the processors.
    async fn wait_cpu(&self, cpu: &str) -> Value {
        let has = |pod: &Value| {
            let main = &pod["status"]["containerStatuses"][0];
            main["resources"]["requests"]["cpu"] == cpu
                && main["allocatedResources"]["cpu"] == cpu
                && condition(pod, "PodResizeInProgress").is_null()
        };
        self.api.wait_for(POD, has).await
    }

    async fn wait_condition(&self, name: &'static str, reason: &'static str) -> Value {
        let pod = self.api.wait_for(POD, |pod| condition(pod, name)["reason"] == reason).await;
        condition(&pod, name)
    }
}

fn condition(pod: &Value, name: &str) -> Value {
    let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == name).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_container_is_given_more_while_it_runs() {
    let node = Node::started(false).await;
    node.create(sized("100m", "1Mi"));
    node.wait_ready().await;
    node.resize("0.2", "1Mi");
    let pod = node.wait_cpu("0.2").await;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    let limits = Resources { cpu_request_millis: Some(200), ..Resources::default() };
    assert_eq!(node.wasmtime.updates(), [(id("main", 0), limits)]);
    let summary = "{\"containers\":[{\"name\":\"main\",\"resources\":{\"requests\":{\"cpu\":\"0.2\",\"memory\":\"1Mi\"}}}],\"generation\":2}";
    assert_eq!(node.api.wait_event("ResizeStarted").await, format!("Pod resize started: {summary}"));
    assert_eq!(node.api.wait_event("ResizeCompleted").await, format!("Pod resize completed: {summary}"));
    node.resize("200m", "1Mi");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(node.wasmtime.updates().len(), 1, "the same amount in other words is no change");
}

/// A pod that limits itself and says nothing of its container.
fn limited(cpu: &str, memory: &str) -> Value {
    let mut spec = one("app:v1");
    let own = json!({ "cpu": cpu, "memory": memory });
    spec["resources"] = json!({ "requests": own, "limits": own });
    spec
}

impl Node {
    /// Has the pod `web` ask for this as a whole.
    fn resize_pod(&self, cpu: &str, memory: &str) {
        let mut pod = self.api.get(POD).unwrap();
        let generation = pod["metadata"]["generation"].as_i64().unwrap() + 1;
        pod["metadata"]["generation"] = json!(generation);
        pod["spec"]["resources"] = limited(cpu, memory)["resources"].clone();
        self.api.put(POD, pod);
    }

    /// Waits until the pod has this as a whole; answers the limits of its group.
    async fn wait_whole(&self, cpu: &str, memory: &str) -> Resources {
        let own = json!({ "cpu": cpu, "memory": memory });
        let has = |pod: &Value| {
            pod["status"]["resources"] == json!({ "requests": own, "limits": own })
                && pod["status"]["allocatedResources"] == own
                && condition(pod, "PodResizeInProgress").is_null()
        };
        let pod = self.api.wait_for(POD, has).await;
        assert_eq!(pod["status"]["containerStatuses"][0]["resources"], json!({}), "it said nothing");
        self.wasmtime.group("/kubepods/podu-1").unwrap()
    }
}

fn limits(millis: u64, bytes: u64) -> Resources {
    Resources {
        cpu_request_millis: Some(millis),
        cpu_limit_millis: Some(millis),
        memory_limit_bytes: Some(bytes),
        pids_limit: None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_given_more_as_a_whole_and_so_are_its_containers_without_limits() {
    let mut node = Node::started(false).await;
    node.create(limited("1", "8Mi"));
    node.wait_ready().await;
    assert_eq!(node.wasmtime.created()[0].resources, limits(1000, 8 << 20));
    assert_eq!(node.wait_whole("1", "8Mi").await, limits(1000, 8 << 20));
    node.resize_pod("2", "8Mi");
    assert_eq!(node.wait_whole("2", "8Mi").await, limits(2000, 8 << 20));
    assert_eq!(node.wasmtime.updates(), [(id("main", 0), limits(2000, 8 << 20))]);
    assert!(
        node.api.wait_event("ResizeCompleted").await.contains("\"resources\":{\"limits\":{\"cpu\":\"2\"")
    );
    node.stop().await;
    node.start().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(node.wasmtime.updates().len(), 1, "an agent that starts again finds it as it is to be");
    node.resize_pod("500m", "4Mi");
    assert_eq!(node.wait_whole("500m", "4Mi").await, limits(500, 4 << 20));
    assert_eq!(node.wasmtime.updates().last(), Some(&(id("main", 0), limits(500, 4 << 20))));
    node.resize_pod("5", "4Mi");
    let told = node.wait_condition("PodResizePending", "Infeasible").await;
    assert_eq!(told["message"], "Node didn't have enough capacity: cpu, requested: 5000, capacity: 4000");
}

#[tokio::test(start_paused = true)]
async fn a_container_with_limits_of_its_own_keeps_them_when_its_pod_gets_others() {
    let node = Node::started(false).await;
    let mut spec = limited("1", "8Mi");
    spec["containers"][0]["resources"] = json!({ "limits": { "cpu": "100m", "memory": "4Mi" } });
    node.create(spec);
    node.wait_ready().await;
    node.resize_pod("2", "16Mi");
    let group = || node.wasmtime.group("/kubepods/podu-1");
    node.api.wait_event("ResizeCompleted").await;
    assert_eq!(group(), Some(limits(2000, 16 << 20)));
    assert_eq!(node.wasmtime.updates(), []);
}

#[tokio::test(start_paused = true)]
async fn a_container_that_has_its_limit_of_its_pod_is_started_again_if_it_wants_that() {
    let node = Node::started(false).await;
    let mut spec = limited("1", "8Mi");
    spec["containers"][0]["resizePolicy"] =
        json!([{ "resourceName": "memory", "restartPolicy": "RestartContainer" }]);
    node.create(spec);
    node.wait_ready().await;
    node.resize_pod("1", "16Mi");
    node.wait_restarts(1).await;
    assert_eq!(node.wait_whole("1", "16Mi").await, limits(1000, 16 << 20));
    assert_eq!(node.wasmtime.created().last().unwrap().resources, limits(1000, 16 << 20));
}

#[tokio::test(start_paused = true)]
async fn what_the_runtime_refuses_is_told_and_tried_again() {
    let node = Node::started(false).await;
    node.create(sized("100m", "1Mi"));
    node.wait_ready().await;
    node.wasmtime.fail_starts("main", Some("too little memory"));
    node.resize("200m", "1Mi");
    let told = node.wait_condition("PodResizeInProgress", "Error").await;
    let message = "resizing container \"main\": update failed: too little memory";
    assert_eq!((&told["message"], &told["observedGeneration"]), (&json!(message), &json!(2)));
    assert!(node.api.wait_event("ResizeError").await.starts_with("Pod resize error: "));
    node.wasmtime.fail_starts("main", None);
    node.wait_cpu("200m").await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_what_others_have_and_not_for_what_nobody_has() {
    let mut node = Node::started(false).await;
    node.create(sized("100m", "1Mi"));
    node.wait_ready().await;
    let mut other = node.api.get(POD).unwrap();
    other["metadata"] = json!({ "name": "other", "namespace": "shop", "uid": "u-2", "generation": 1 });
    other["spec"]["containers"][0]["resources"]["requests"]["cpu"] = json!("3");
    other["status"] = json!({ "phase": "Pending" });
    let place = "/api/v1/namespaces/shop/pods/other";
    node.api.put(place, other);
    node.api.wait_for(place, is_ready).await;
    node.resize("5", "1Mi");
    let told = node.wait_condition("PodResizePending", "Infeasible").await;
    assert_eq!(told["message"], "Node didn't have enough capacity: cpu, requested: 5000, capacity: 4000");
    node.resize("2", "1Mi");
    let told = node.wait_condition("PodResizePending", "Deferred").await;
    let message = "Node didn't have enough resource: cpu, requested: 2000, used: 3000, capacity: 4000";
    assert_eq!((&told["message"], &told["observedGeneration"]), (&json!(message), &json!(3)));
    assert!(node.api.wait_event("ResizeDeferred").await.contains("\"error\":\"Node didn't have enough"));
    node.stop().await;
    node.start().await;
    node.wait_condition("PodResizePending", "Deferred").await;
    let mut gone = node.api.get(place).unwrap();
    gone["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
    gone["metadata"]["deletionGracePeriodSeconds"] = json!(1);
    node.api.put(place, gone);
    let pod = node.wait_cpu("2").await;
    assert!(condition(&pod, "PodResizePending").is_null(), "{pod:#}");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_wants_it_is_started_again_with_what_it_was_given() {
    let node = Node::started(false).await;
    let mut spec = sized("100m", "1Mi");
    spec["containers"][0]["resizePolicy"] =
        json!([{ "resourceName": "memory", "restartPolicy": "RestartContainer" }]);
    node.create(spec);
    node.wait_ready().await;
    node.resize("200m", "1Mi");
    node.wait_cpu("200m").await;
    node.resize("200m", "2Mi");
    node.wait_restarts(1).await;
    assert_eq!(node.api.wait_event("Killing").await, "Container main resize requires restart");
    assert_eq!(node.wasmtime.updates().len(), 1, "only the processors changed in place");
    let pod = node.api.wait_for(POD, is_ready).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["resources"]["requests"]["memory"], "2Mi");
}
