//! Whole workers against an API server in memory and fake runtimes, in simulated time.

mod admitting;
mod eviction;
mod hooks;
mod resize;
mod static_pods;
mod storage;

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::allocations::{Allocations, Amounts};
use crate::cgroups::CgroupRoot;
use crate::containers::Containers;
use crate::context::Context;
use crate::events::{Events, Source};
use crate::eviction::{Evictions, Manager, Supplies};
use crate::host_ports::HostPorts;
use crate::images::Images;
use crate::images::garbage::Garbage;
use crate::logs::LogDir;
use crate::network::PodNetwork;
use crate::objects::Objects;
use crate::pods::{PodIndex, Supervisor};
use crate::resource_managers::{ResourceManagers, ResourceSettings};
use crate::testing::{FakeApi, FakeNetwork, FakeRuntime, TestClock, runtimes};
use crate::tokens::Tokens;
use crate::user_ids::{IdRange, UserIds};
use crate::volumes::{LocalVolumes, VolumeRoot};
use crate::wakers::Wakers;

const POD: &str = "/api/v1/namespaces/shop/pods/web";

/// A node whose parts can be looked at.
struct Node {
    api: Arc<FakeApi>,
    wasmtime: Arc<FakeRuntime>,
    runc: Arc<FakeRuntime>,
    network: Arc<FakeNetwork>,
    dir: Arc<tempfile::TempDir>,
    has_namespaces: bool,
    /// What manifests name.
    manifests: tokio::sync::watch::Sender<crate::static_pods::StaticPods>,
    /// What the node has left.
    supplies: Arc<Mutex<Supplies>>,
    resources: ResourceSettings,
    clock: Arc<dyn wherry_api::clock::Clock>,
    agent: Option<(CancellationToken, TaskTracker)>,
}

/// What is told of Services where there are none.
fn no_services() -> crate::env::ServiceVariables {
    let services = crate::env::ServiceVariables::default();
    for event in [kube::runtime::watcher::Event::Init, kube::runtime::watcher::Event::InitDone] {
        services.record(&event);
    }
    services
}

impl Node {
    /// A node that does not run yet.
    fn new(has_namespaces: bool) -> Self {
        let (_, wasmtime, runc) = runtimes();
        let network = Arc::new(FakeNetwork::default());
        let dir = Arc::new(tempfile::tempdir().unwrap());
        Self {
            api: FakeApi::new(),
            wasmtime,
            runc,
            network,
            dir,
            has_namespaces,
            manifests: tokio::sync::watch::Sender::default(),
            supplies: Arc::default(),
            resources: ResourceSettings::default(),
            clock: Arc::new(TestClock::new()),
            agent: None,
        }
    }

    async fn started(has_namespaces: bool) -> Self {
        let mut node = Self::new(has_namespaces);
        node.start().await;
        node
    }

    fn certificates(
        &self,
        client: &kube::Client,
        events: &crate::events::Events,
        wakers: &crate::wakers::Wakers,
        tasks: &TaskTracker,
    ) -> crate::pod_certificates::PodCertificates {
        let parts = crate::pod_certificates::Parts {
            client,
            clock: &self.clock,
            node_name: "node-1",
            pods: self.dir.path().join("pods"),
            events,
            wakers,
        };
        crate::pod_certificates::PodCertificates::new(parts, tasks)
    }

    /// Starts the agent, or starts it again on what it left.
    async fn start(&mut self) {
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let clock = self.clock.clone();
        self.api.use_clock(clock.clone());
        let runtimes = crate::runtimes::Runtimes::new(self.wasmtime.clone(), self.runc.clone());
        for runtime in [&self.wasmtime, &self.runc] {
            runtime.use_clock(clock.clone());
        }
        let (client, wakers) = (self.api.client(), Wakers::default());
        let (events, write) =
            Events::new(client.clone(), Source::kubelet("node-1"), clock.clone(), stop.clone());
        tasks.spawn(write);
        let images = Images::open(&self.dir.path().join("content"), Arc::default(), Arc::default()).unwrap();
        images.insert("app:v1", true);
        images.insert("busybox:v1", false);
        let csi = crate::csi::Csi::new(client.clone(), clock.clone(), "node-1", self.dir.path());
        let devices = Arc::new(crate::devices::Devices::open(self.dir.path(), &[]).unwrap());
        let managers = ResourceManagers::open(self.dir.path(), devices.clone(), &self.resources).unwrap();
        let ctx = Arc::new(Context {
            clock,
            csi,
            devices,
            managers: Arc::new(managers),
            user_ids: UserIds::open(self.dir.path().join("users"), IdRange::of(65536, 9)).unwrap(),
            node_name: "node-1".to_owned(),
            host_ips: vec!["192.0.2.1".parse().unwrap()],
            allocatable: BTreeMap::new(),
            has_namespaces: self.has_namespaces,
            max_container_restart_period: crate::config::Config::MAX_CONTAINER_RESTART_PERIOD,
            admission: Arc::default(),
            evictions: Evictions::new(wakers.clone()),
            probe_tallies: crate::probes::Tallies::default(),
            service_syncs: crate::services::SyncTimes::default(),
            in_process: crate::in_process::InProcess::new(crate::policies::Gate::open().judged()),
            cgroup_root: CgroupRoot::default(),
            allocations: Allocations::new(wakers.clone()),
            allocatable_amounts: Amounts { cpu: 4000, memory: 4 << 30 },
            seccomp_profiles: self.dir.path().join("seccomp"),
            endpoint_drain: Duration::from_millis(300),
            containers: Containers::new(runtimes.clone(), wakers.clone()),
            runtimes,
            images,
            credential_providers: Arc::default(),
            garbage: Garbage::default(),
            objects: Objects::new(&client, &wakers, &tasks),
            tokens: Tokens::new(&client, &self.clock),
            trust_bundles: crate::trust_bundles::TrustBundles::new(&client, &wakers, &tasks),
            pod_certificates: self.certificates(&client, &events, &wakers, &tasks),
            dns: crate::dns::DnsSettings {
                domain: "cluster.local".to_owned(),
                servers: vec![[10, 96, 0, 10].into()],
            },
            services: no_services(),
            events,
            network: self.network.clone(),
            host_ports: Arc::new(HostPorts::listening([127, 0, 0, 1].into())),
            policies: crate::policies::Gate::open(),
            volumes: VolumeRoot::new(
                self.dir.path().join("pods"),
                LocalVolumes::new("node", &self.dir.path().join("volumes")),
            ),
            logs: LogDir::new(self.dir.path().join("logs")).0,
            wakers,
            client,
        });
        ctx.containers.refresh().await;
        for (_, runtime) in ctx.runtimes.all() {
            tasks.spawn(ctx.containers.clone().follow(runtime.clone(), stop.clone()));
        }
        let (index, supplies) = (PodIndex::default(), self.supplies.clone());
        let observe = Box::new(move || supplies.lock().clone());
        let (manager, _) = Manager::new(ctx.clone(), index.clone(), eviction::settings(), observe);
        tasks.spawn(manager.run(stop.clone()));
        let manifests = self.manifests.subscribe();
        tasks.spawn(Supervisor::new(ctx, index, manifests, tasks.clone(), stop.clone()).run());
        self.agent = Some((stop, tasks));
    }

    /// Stops the agent as a crash would: nothing is torn down.
    async fn stop(&mut self) {
        if let Some((stop, tasks)) = self.agent.take() {
            stop.cancel();
            tasks.close();
            tasks.wait().await;
        }
    }

    /// Creates the pod `web` with this spec.
    fn create(&self, spec: Value) {
        let mut spec = spec;
        spec["nodeName"] = json!("node-1");
        let metadata = json!({ "name": "web", "namespace": "shop", "uid": "u-1", "generation": 1 });
        self.api.put(POD, json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": { "phase": "Pending" } }));
    }

    /// Deletes the pod `web` with this grace period in seconds.
    fn delete(&self, grace: i64) {
        let mut pod = self.api.get(POD).unwrap();
        pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
        pod["metadata"]["deletionGracePeriodSeconds"] = json!(grace);
        self.api.put(POD, pod);
    }

    async fn wait_ready(&self) -> Value {
        self.api.wait_for(POD, is_ready).await
    }

    async fn wait_waiting(&self, reason: &str) -> Value {
        let waits =
            |pod: &Value| pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"] == reason;
        self.api.wait_for(POD, waits).await["status"]["containerStatuses"][0]["state"]["waiting"].clone()
    }

    async fn wait_restarts(&self, count: u32) {
        let running = |pod: &Value| {
            let main = &pod["status"]["containerStatuses"][0];
            main["restartCount"] == count && main["state"]["running"].is_object()
        };
        self.api.wait_for(POD, running).await;
    }

    fn reasons(&self) -> Vec<String> {
        self.api.events().into_iter().map(|(reason, _)| reason).collect()
    }
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod["status"]["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|c| c["type"] == "Ready" && c["status"] == "True"))
}

fn one(image: &str) -> Value {
    json!({ "containers": [{ "name": "main", "image": image, "imagePullPolicy": "IfNotPresent" }] })
}

#[tokio::test(start_paused = true)]
async fn a_pod_becomes_ready_with_a_single_write_and_without_waiting() {
    let node = Node::started(false).await;
    let began = Instant::now();
    node.create(one("app:v1"));
    let pod = node.wait_ready().await;
    assert!(began.elapsed() < Duration::from_millis(20), "{:?}", began.elapsed());
    assert_eq!(
        (&pod["status"]["phase"], &pod["status"]["podIP"]),
        (&json!("Running"), &json!("127.244.0.1"))
    );
    assert_eq!(node.api.statuses().len(), 1);
    node.api.wait_event("Started").await;
    assert_eq!(node.reasons(), ["Pulled", "Created", "Started"]);
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(node.api.statuses().len(), 1, "a settled pod is not written again");
}

#[tokio::test(start_paused = true)]
async fn a_crashing_container_is_restarted_at_once_and_then_ever_later() {
    let node = Node::started(false).await;
    node.create(one("app:v1"));
    node.wait_ready().await;
    let mut waits = Vec::new();
    for restart in 1..=5 {
        let crashed = Instant::now();
        node.wasmtime.exit("main", 1);
        node.wait_restarts(restart).await;
        waits.push(crashed.elapsed().as_secs());
    }
    assert_eq!(waits, [0, 10, 20, 40, 80]);
    assert!(node.reasons().contains(&"BackOff".to_owned()));
    assert!(node.wasmtime.existing().len() <= 2, "older attempts are removed");
}

#[tokio::test(start_paused = true)]
async fn a_missing_config_map_is_named_and_its_creation_starts_the_container() {
    let node = Node::started(false).await;
    let mut spec = one("app:v1");
    spec["containers"][0]["env"] = json!([{ "name": "COLOR", "valueFrom": { "configMapKeyRef": { "name": "settings", "key": "color" } } }]);
    node.create(spec);
    let waiting = node.wait_waiting("CreateContainerConfigError").await;
    assert_eq!(waiting["message"], "configmap \"settings\" not found");
    let created = Instant::now();
    let metadata = json!({ "name": "settings", "namespace": "shop" });
    let object =
        json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "color": "blue" } });
    node.api.put("/api/v1/namespaces/shop/configmaps/settings", object);
    node.wait_ready().await;
    assert!(created.elapsed() < Duration::from_secs(1), "{:?}", created.elapsed());
    assert_eq!(node.wasmtime.created()[0].env, [("COLOR".to_owned(), "blue".to_owned())]);
}

fn with_token(image: &str) -> Value {
    let mut spec = one(image);
    spec["serviceAccountName"] = json!("robot");
    let source = json!({ "serviceAccountToken": { "path": "token", "expirationSeconds": 600 } });
    spec["volumes"] = json!([{ "name": "access", "projected": { "sources": [source] } }]);
    spec["containers"][0]["volumeMounts"] = json!([{ "name": "access", "mountPath": "/access" }]);
    spec
}

#[tokio::test(start_paused = true)]
async fn the_token_of_a_running_pod_is_bound_to_it_and_renewed_before_it_expires() {
    let node = Node::started(false).await;
    node.create(with_token("app:v1"));
    node.wait_ready().await;
    let file = node.dir.path().join("pods/u-1/volumes/access/token");
    let read = || std::fs::read_to_string(&file).unwrap();
    assert_eq!(read(), "token-1");
    let requests = node.api.token_requests();
    let bound = json!({ "apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "u-1" });
    assert_eq!(requests[0].0, "/api/v1/namespaces/shop/serviceaccounts/robot/token");
    assert_eq!(requests[0].1["boundObjectRef"], bound);
    assert_eq!(requests[0].1["expirationSeconds"], 600);
    tokio::time::sleep(Duration::from_secs(470)).await;
    assert_eq!(read(), "token-1");
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(read(), "token-2");
    tokio::time::sleep(Duration::from_secs(490)).await;
    assert_eq!(read(), "token-3");
    assert_eq!(node.api.token_requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_pod_with_claims_on_devices_does_not_start_without_a_driver() {
    let node = Node::started(false).await;
    let mut spec = one("app:v1");
    spec["resourceClaims"] = json!([{ "name": "gpu", "resourceClaimName": "mine" }]);
    node.create(spec);
    tokio::time::sleep(Duration::from_secs(30)).await;
    let (reason, message) = node.api.events().pop().unwrap();
    assert_eq!(reason, "FailedPrepareDynamicResources");
    assert!(
        message.starts_with("Failed to prepare dynamic resources: ") && message.contains("\"gpu\""),
        "{message}"
    );
    assert!(node.wasmtime.existing().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_token_that_cannot_be_renewed_stays_until_another_is_given() {
    let node = Node::started(false).await;
    node.create(with_token("app:v1"));
    node.wait_ready().await;
    let file = node.dir.path().join("pods/u-1/volumes/access/token");
    node.api.refuse_tokens(true);
    tokio::time::sleep(Duration::from_mins(20)).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "token-1");
    let (reason, message) = node.api.events().pop().unwrap();
    assert_eq!(reason, "FailedMount");
    assert!(message.contains("failed to fetch token"), "{message}");
    node.api.refuse_tokens(false);
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "token-2");
}

#[tokio::test(start_paused = true)]
async fn a_changed_config_map_reaches_the_volume_of_a_running_pod() {
    let node = Node::started(false).await;
    let put = |color: &str| {
        let metadata = json!({ "name": "settings", "namespace": "shop" });
        let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": { "color": color } });
        node.api.put("/api/v1/namespaces/shop/configmaps/settings", object);
    };
    put("blue");
    let mut spec = one("app:v1");
    spec["volumes"] = json!([{ "name": "v", "configMap": { "name": "settings" } }]);
    spec["containers"][0]["volumeMounts"] = json!([{ "name": "v", "mountPath": "/etc/settings" }]);
    node.create(spec);
    node.wait_ready().await;
    let file = node.wasmtime.created()[0].mounts[0].host_path.join("color");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "blue");
    put("red");
    while std::fs::read_to_string(&file).unwrap() != "red" {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(node.wasmtime.existing()[0].id.attempt, 0, "the container is not restarted");
}

#[tokio::test(start_paused = true)]
async fn a_changed_label_reaches_the_volume_of_a_running_pod() {
    let node = Node::started(false).await;
    let mut spec = one("app:v1");
    let item = json!({ "path": "color", "fieldRef": { "fieldPath": "metadata.labels['color']" } });
    spec["volumes"] = json!([{ "name": "v", "downwardAPI": { "items": [item] } }]);
    spec["containers"][0]["volumeMounts"] = json!([{ "name": "v", "mountPath": "/etc/pod" }]);
    node.create(spec);
    let mut pod = node.wait_ready().await;
    let file = node.wasmtime.created()[0].mounts[0].host_path.join("color");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "");
    pod["metadata"]["labels"] = json!({ "color": "red" });
    node.api.put(POD, pod);
    while std::fs::read_to_string(&file).unwrap() != "red" {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(node.wasmtime.existing()[0].id.attempt, 0, "the container is not restarted");
}

#[tokio::test(start_paused = true)]
async fn a_container_that_a_pod_did_not_allow_starts_when_the_pod_does() {
    let node = Node::started(false).await;
    let mut spec = one("app:v1");
    let field = json!({ "fieldRef": { "fieldPath": "metadata.annotations['dir']" } });
    spec["volumes"] = json!([{ "name": "v", "emptyDir": {} }]);
    spec["containers"][0]["env"] = json!([{ "name": "DIR", "valueFrom": field }]);
    spec["containers"][0]["volumeMounts"] =
        json!([{ "name": "v", "mountPath": "/data", "subPathExpr": "$(DIR)/x" }]);
    node.create(spec);
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(node.wasmtime.existing().is_empty());
    let mut pod = node.api.get(POD).unwrap();
    pod["metadata"]["annotations"] = json!({ "dir": "here" });
    node.api.put(POD, pod);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(node.wasmtime.existing().len(), 1);
    // A part of a volume stays mounted otherwise.
    node.delete(1);
    node.api.wait_gone(POD).await;
}

#[tokio::test(start_paused = true)]
async fn a_deleted_pod_is_stopped_reported_given_back_and_deleted() {
    let node = Node::started(false).await;
    node.create(one("app:v1"));
    let mut pod = node.wait_ready().await;
    pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
    pod["metadata"]["deletionGracePeriodSeconds"] = json!(30);
    node.api.put(POD, pod);
    node.api.wait_gone(POD).await;
    let (path, options) = node.api.deletions().remove(0);
    assert_eq!((path.as_str(), &options["gracePeriodSeconds"]), (POD, &json!(0)));
    assert_eq!(options["preconditions"]["uid"], "u-1");
    let last = node.api.statuses().pop().unwrap();
    assert_eq!(last["containerStatuses"][0]["state"]["terminated"]["exitCode"], 143);
    assert_eq!(last["phase"], "Failed");
    assert!(node.network.known().await.is_empty() && node.wasmtime.existing().is_empty());
    node.api.wait_event("Killing").await;
}

#[tokio::test(start_paused = true)]
async fn a_pod_deleted_by_force_is_cleaned_up_without_further_writes() {
    let node = Node::started(false).await;
    node.create(one("app:v1"));
    node.wait_ready().await;
    let writes = node.api.statuses().len();
    node.api.remove(POD);
    while !node.network.known().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(node.wasmtime.existing().is_empty());
    assert_eq!((node.api.statuses().len(), node.api.deletions().len()), (writes, 0));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_agent_adopts_oci_containers_and_starts_wasm_ones_again() {
    let mut node = Node::started(true).await;
    node.create(json!({ "containers": [
        { "name": "oci", "image": "busybox:v1", "imagePullPolicy": "IfNotPresent" },
        { "name": "wasm", "image": "app:v1", "imagePullPolicy": "IfNotPresent" },
    ] }));
    node.wait_ready().await;
    node.stop().await;
    // The wasm runtime lives in the agent's process.
    node.wasmtime.set(vec![]);
    node.start().await;
    let restarted = |pod: &Value| {
        let all = pod["status"]["containerStatuses"].as_array().unwrap();
        all.iter().any(|c| c["name"] == "wasm" && c["restartCount"] == 1 && c["ready"] == true)
            && is_ready(pod)
    };
    let pod = node.api.wait_for(POD, restarted).await;
    assert_eq!(pod["status"]["containerStatuses"][0]["restartCount"], 0);
    assert_eq!(node.runc.created().len(), 1, "the OCI container was not created again");
    assert_eq!(node.wasmtime.existing()[0].id.attempt, 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_pod_left_that_went_while_the_agent_was_down_is_removed() {
    let mut node = Node::started(true).await;
    node.create(one("busybox:v1"));
    node.wait_ready().await;
    node.stop().await;
    node.api.remove(POD);
    node.start().await;
    while !node.network.known().await.is_empty() || !node.runc.existing().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(std::fs::read_dir(node.dir.path().join("pods")).map_or(0, Iterator::count), 0);
}

#[tokio::test(start_paused = true)]
async fn an_oci_image_where_only_wasm_runs_gets_a_clear_event() {
    let node = Node::started(false).await;
    node.create(one("busybox:v1"));
    let message = node.api.wait_event("FailedCreatePodSandBox").await;
    assert!(message.contains("this node runs only WebAssembly"), "{message}");
    let waiting = node.wait_waiting("CreateContainerError").await;
    assert_eq!(waiting["message"], message);
}

#[tokio::test(start_paused = true)]
async fn a_runtime_that_is_not_there_gets_a_clear_event() {
    let node = Node::started(true).await;
    node.runc.make_unavailable("runc is not installed: apt-get install runc");
    node.create(one("busybox:v1"));
    let message = node.api.wait_event("FailedCreatePodSandBox").await;
    assert!(
        message.ends_with("runtime \"runc\" is not available: runc is not installed: apt-get install runc"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_runtime_class_forces_the_runtime_or_is_refused() {
    let node = Node::started(true).await;
    let class = json!({ "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": { "name": "wasm" }, "handler": "wasmtime" });
    node.api.put("/apis/node.k8s.io/v1/runtimeclasses/wasm", class);
    let mut spec = one("busybox:v1");
    spec["runtimeClassName"] = json!("wasm");
    node.create(spec);
    let waiting = node.wait_waiting("CreateContainerError").await;
    let message = waiting["message"].as_str().unwrap();
    assert!(
        message.starts_with("the RuntimeClass asks for wasmtime, but image \"busybox:v1\" is for runc"),
        "{message}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_container_that_cannot_be_started_is_tried_again() {
    let node = Node::started(false).await;
    node.wasmtime.fail_starts("main", Some("port 80 is taken"));
    node.create(one("app:v1"));
    let waiting = node.wait_waiting("RunContainerError").await;
    assert_eq!(waiting["message"], "start failed: port 80 is taken");
    node.wasmtime.fail_starts("main", None);
    node.wait_ready().await;
}

#[tokio::test(start_paused = true)]
async fn a_job_like_pod_succeeds_and_keeps_its_status() {
    let node = Node::started(false).await;
    let mut spec = one("app:v1");
    spec["restartPolicy"] = json!("Never");
    node.create(spec);
    node.wait_ready().await;
    node.wasmtime.exit("main", 0);
    let pod = node.api.wait_for(POD, |pod| pod["status"]["phase"] == "Succeeded").await;
    let terminated = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
    assert_eq!((&terminated["exitCode"], &terminated["reason"]), (&json!(0), &json!("Completed")));
    while !node.network.known().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(node.api.get(POD).unwrap()["status"]["phase"], "Succeeded");
}
