//! Devices of a plugin that runs in the test.

use std::sync::Arc;

use futures::stream;
use serde_json::{Value, json};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use wherry_plugin_api::device::{
    ALLOCATE, ContainerAllocateResponse, ContainerPreferredResponse, Device as Listed, DeviceSpec,
    Devices as List, GET_PREFERRED, LIST_AND_WATCH, Options, REGISTER, RegisterRequest, VERSION,
};
use wherry_plugin_api::grpc::{Question, Reply, Service, Status, UNIMPLEMENTED};

use super::*;

const RESOURCE: &str = "example.com/thing";

/// A plugin that lists what it is sent, prefers the last devices and needs `/dev/null`.
struct Plugin {
    lists: Mutex<Option<tokio::sync::mpsc::UnboundedReceiver<List>>>,
    asked: Mutex<Vec<String>>,
}

impl Service for Plugin {
    async fn answer(&self, method: &str, question: Question) -> Result<Reply, Status> {
        match method {
            LIST_AND_WATCH => {
                let lists = self.lists.lock().take().unwrap();
                let next = |mut lists: tokio::sync::mpsc::UnboundedReceiver<List>| async {
                    lists.recv().await.map(|list| (list, lists))
                };
                Ok(Reply::many(stream::unfold(lists, next)))
            }
            GET_PREFERRED => {
                let request: PreferredRequest = question.read()?;
                let mut ids = request.container_requests[0].available_device_ids.clone();
                ids.reverse();
                let container_responses = vec![ContainerPreferredResponse { device_ids: ids }];
                Ok(Reply::one(&PreferredResponse { container_responses }))
            }
            ALLOCATE => {
                let request: AllocateRequest = question.read()?;
                let ids = request.container_requests[0].devices_ids.join("+");
                self.asked.lock().push(format!("allocate {ids}"));
                let device = DeviceSpec {
                    container_path: "/dev/thing".into(),
                    host_path: "/dev/null".into(),
                    permissions: "rw".into(),
                };
                let envs = BTreeMap::from([("THINGS".to_owned(), ids)]);
                let response =
                    ContainerAllocateResponse { envs, devices: vec![device], ..Default::default() };
                Ok(Reply::one(&AllocateResponse { container_responses: vec![response] }))
            }
            device::PRE_START => {
                let request: PreStartRequest = question.read()?;
                self.asked.lock().push(format!("start {}", request.devices_ids.join("+")));
                Ok(Reply::one(&Empty {}))
            }
            other => Err(Status::new(UNIMPLEMENTED, other)),
        }
    }
}

struct Node {
    dir: tempfile::TempDir,
    devices: Arc<Devices>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
}

impl Node {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let devices = Arc::new(Devices::open(dir.path(), &[]).unwrap());
        let (mut tasks, stop) = (JoinSet::new(), CancellationToken::new());
        tasks.spawn(serve(devices.clone(), stop.clone()));
        Self { dir, devices, tasks, stop }
    }

    /// A plugin that registers; what it lists, it is sent.
    async fn plug(&mut self, options: Options) -> (Arc<Plugin>, tokio::sync::mpsc::UnboundedSender<List>) {
        let directory = self.dir.path().join("device-plugins");
        let (sender, lists) = tokio::sync::mpsc::unbounded_channel();
        let plugin = Arc::new(Plugin { lists: Mutex::new(Some(lists)), asked: Mutex::default() });
        while !directory.join("kubelet.sock").exists() {
            tokio::task::yield_now().await;
        }
        let listener = UnixListener::bind(directory.join("thing.sock")).unwrap();
        self.tasks.spawn(grpc::serve(listener, plugin.clone(), self.stop.clone()));
        let request = RegisterRequest {
            version: VERSION.to_owned(),
            endpoint: "thing.sock".to_owned(),
            resource_name: RESOURCE.to_owned(),
            options: Some(options),
        };
        let _: Empty = grpc::call(&directory.join("kubelet.sock"), REGISTER, &request).await.unwrap();
        (plugin, sender)
    }

    /// Waits until there are so many devices, and so many of them healthy.
    async fn until(&self, all: usize, healthy: usize) {
        let mut changed = self.devices.follow();
        while self.devices.counts().get(RESOURCE) != Some(&(all, healthy)) {
            changed.changed().await.unwrap();
        }
    }

    async fn equip(&self, pod: &Pod, container: &str) -> Result<String, String> {
        let spec = pod.spec.as_ref().unwrap();
        let mut all = spec.init_containers.iter().flatten().chain(&spec.containers);
        let container = all.find(|one| one.name == container).unwrap();
        let equipped = self.devices.equip(pod, container).await.map_err(|error| error.to_string())?;
        assert_eq!(equipped.devices[0].container_path, "/dev/thing");
        Ok(equipped.env[0].1.clone())
    }
}

fn list(devices: &[(&str, &str)]) -> List {
    let one = |(id, health): &(&str, &str)| Listed {
        id: (*id).to_owned(),
        health: (*health).to_owned(),
        topology: None,
    };
    List { devices: devices.iter().map(one).collect() }
}

fn pod(uid: &str, init: Value, containers: Value) -> Pod {
    let many = |containers: Value| -> Vec<Value> {
        let containers = containers.as_object().unwrap().iter();
        let limits = |count: &Value| json!({"limits": {RESOURCE: count}});
        containers.map(|(name, count)| json!({"name": name, "resources": limits(count)})).collect()
    };
    let spec = json!({"initContainers": many(init), "containers": many(containers)});
    serde_json::from_value(json!({"metadata": {"uid": uid}, "spec": spec})).unwrap()
}

#[tokio::test]
async fn a_container_has_its_devices_alone_and_keeps_them_over_restarts_of_the_agent() {
    let mut node = Node::start();
    let (plugin, lists) = node.plug(Options::default()).await;
    lists.send(list(&[("a", "Healthy"), ("b", "Healthy"), ("c", "Unhealthy")])).unwrap();
    node.until(3, 2).await;
    let (one, other) = (pod("u-1", json!({}), json!({"m": "1"})), pod("u-2", json!({}), json!({"m": "2"})));
    assert_eq!(node.equip(&one, "m").await.unwrap(), "a");
    assert_eq!(node.equip(&one, "m").await.unwrap(), "a", "a container that starts again has the same");
    let refused = node.equip(&other, "m").await.unwrap_err();
    assert_eq!(
        refused,
        "requested number of devices unavailable for example.com/thing. Requested: 2, Available: 1"
    );
    let again = Devices::open(node.dir.path(), &[]).unwrap();
    assert_eq!(again.counts()[RESOURCE], (0, 0), "nothing is offered until the plugin is back");
    let known = again.equip(&one, &one.spec.as_ref().unwrap().containers[0]).await.unwrap();
    assert_eq!(known.env[0].1, "a");
    node.devices.release("u-1").unwrap();
    assert_eq!(node.equip(&other, "m").await.unwrap(), "a+b");
    assert_eq!(*plugin.asked.lock(), ["allocate a", "allocate a+b"]);
    drop(lists);
    node.until(0, 0).await;
}

#[tokio::test]
async fn a_plugin_is_asked_for_what_it_wants_to_be_asked() {
    let mut node = Node::start();
    let options = Options { pre_start_required: true, get_preferred_allocation_available: true };
    let (plugin, lists) = node.plug(options).await;
    lists.send(list(&[("a", "Healthy"), ("b", "Healthy")])).unwrap();
    node.until(2, 2).await;
    let one = pod("u-1", json!({}), json!({"m": "1"}));
    assert_eq!(node.equip(&one, "m").await.unwrap(), "b");
    assert_eq!(*plugin.asked.lock(), ["allocate b", "start b"]);
}

#[tokio::test]
async fn containers_have_what_init_containers_of_their_pod_had() {
    let mut node = Node::start();
    let (_plugin, lists) = node.plug(Options::default()).await;
    lists.send(list(&[("a", "Healthy"), ("b", "Healthy")])).unwrap();
    node.until(2, 2).await;
    let one = pod("u-1", json!({"i": "1"}), json!({"m": "2"}));
    assert_eq!(node.equip(&one, "i").await.unwrap(), "a");
    assert_eq!(node.equip(&one, "m").await.unwrap(), "a+b");
}
