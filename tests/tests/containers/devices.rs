//! What containers have for themselves: devices that plugins offer, and processors.

use std::path::Path;
use std::sync::Arc;

use futures::stream::{self, StreamExt};
use serde_json::json;
use tokio::net::UnixListener;
use tokio_util::sync::CancellationToken;
use wherry_plugin_api::device::{
    ALLOCATE, AllocateRequest, AllocateResponse, CdiDevice, ContainerAllocateResponse, Device, DeviceSpec,
    Devices, HEALTHY, LIST_AND_WATCH, REGISTER, RegisterRequest, VERSION,
};
use wherry_plugin_api::grpc::Message;
use wherry_plugin_api::grpc::{Question, Reply, Service, Status, UNIMPLEMENTED, call, serve};
use wherry_plugin_api::pod_resources::{
    AllocatableResponse, ContainerDevices, ContainerResources, GET, GET_ALLOCATABLE, GetRequest, GetResponse,
    LIST, ListResponse,
};
use wherry_plugin_api::registration::Empty;
use wherry_runtime_api::CpuSet;
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{Cluster, Options, in_cluster, wait};

const RESOURCE: &str = "example.com/loop";

/// Two devices that are `/dev/loop-control`, only to be read.
struct Loops;

impl Service for Loops {
    async fn answer(&self, method: &str, question: Question) -> Result<Reply, Status> {
        match method {
            LIST_AND_WATCH => {
                let device =
                    |id: &str| Device { id: id.to_owned(), health: HEALTHY.to_owned(), topology: None };
                let all = Devices { devices: vec![device("one"), device("two")] };
                Ok(Reply::many(stream::iter([all]).chain(stream::pending())))
            }
            ALLOCATE => {
                let request: AllocateRequest = question.read()?;
                let one = |request: &wherry_plugin_api::device::ContainerAllocateRequest| {
                    ContainerAllocateResponse {
                        envs: [("LOOPS".to_owned(), request.devices_ids.join("+"))].into(),
                        devices: vec![DeviceSpec {
                            container_path: "/dev/mine".to_owned(),
                            host_path: "/dev/loop-control".to_owned(),
                            permissions: "r".to_owned(),
                        }],
                        cdi_devices: vec![CdiDevice { name: "example.com/loop=any".to_owned() }],
                        ..ContainerAllocateResponse::default()
                    }
                };
                let container_responses = request.container_requests.iter().map(one).collect();
                Ok(Reply::one(&AllocateResponse { container_responses }))
            }
            other => Err(Status::new(UNIMPLEMENTED, other)),
        }
    }
}

/// Runs the plugin beside the node until `stop`.
fn plug(node: &Path, stop: CancellationToken) {
    let directory = node.join("device-plugins");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime starts").block_on(async {
        let listener = UnixListener::bind(directory.join("loops.sock")).expect("the socket is free");
        let request = RegisterRequest {
            version: VERSION.to_owned(),
            endpoint: "loops.sock".to_owned(),
            resource_name: RESOURCE.to_owned(),
            options: None,
        };
        let serving = serve(listener, Arc::new(Loops), stop);
        let register = async {
            let answer = call::<_, Empty>(&directory.join("kubelet.sock"), REGISTER, &request).await;
            answer.expect("the node takes the plugin");
        };
        tokio::join!(serving, register);
    });
}

const NONE_LEFT: &str = "Pod was rejected: Allocate failed due to requested number of devices unavailable for example.com/loop. \
                         Requested: 2, Available: 1, which is unexpected";

/// What the node answers to programs beside it.
fn ask<Q: Message, A: Message + Default>(cluster: &Cluster, method: &str, question: &Q) -> A {
    let socket = cluster.data_dir().join("node/pod-resources/kubelet.sock");
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
    runtime.block_on(call(&socket, method, question)).expect("the node answers")
}

/// What the node tells of the Pod's devices, by itself and among all.
fn told_of(cluster: &Cluster, pod: &str) -> Vec<String> {
    let request = GetRequest { pod_name: pod.to_owned(), pod_namespace: "default".to_owned() };
    let answer: GetResponse = ask(cluster, GET, &request);
    let all: ListResponse = ask(cluster, LIST, &Empty {});
    let listed = all.pod_resources.into_iter().find(|listed| listed.name == pod);
    assert_eq!(answer.pod_resources, listed);
    let containers = answer.pod_resources.expect("it has the Pod").containers;
    let told = |container: &ContainerResources| -> Vec<String> {
        let devices = container.devices.iter();
        let told = |it: &ContainerDevices| {
            format!("{} {} {}", container.name, it.resource_name, it.device_ids.join("+"))
        };
        devices.map(told).collect()
    };
    containers.iter().flat_map(told).collect()
}

/// What can be given: both devices, all processors but the one that is kept, and the node's memory.
fn can_be_given(cluster: &Cluster) {
    let all: AllocatableResponse = ask(cluster, GET_ALLOCATABLE, &Empty {});
    let mut devices: Vec<_> = all.devices.iter().flat_map(|devices| devices.device_ids.clone()).collect();
    devices.sort_unstable();
    assert_eq!(devices, ["one", "two"]);
    assert!(!all.cpu_ids.is_empty() && !all.cpu_ids.contains(&0), "{:?}", all.cpu_ids);
    let path = ["get", "node", "node-1", "-o", "jsonpath={.status.allocatable.memory}"];
    let text = cluster.kubectl(&path);
    let (count, unit) = text.strip_suffix("Ki").map_or((text.as_str(), 1), |count| (count, 1024));
    let memory = count.parse::<u64>().expect("memory is a number") * unit;
    let told: Vec<_> = all.memory.iter().map(|memory| (memory.memory_type.as_str(), memory.size)).collect();
    let [("memory", size)] = told[..] else { panic!("{told:?}") };
    assert_eq!(size / unit * unit, memory);
    assert!(all.memory[0].topology.as_ref().is_some_and(|topology| !topology.nodes.is_empty()));
}

/// A container of a Guaranteed Pod that asks for a whole processor has it alone, and the others leave it while they run.
fn have_processors(cluster: &Cluster) {
    let status = std::fs::read_to_string("/proc/self/status").expect("this process has a status");
    let allowed = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
    let all: CpuSet = allowed.expect("it has processors").parse().expect("they are numbers");
    let Some(one) = all.iter().find(|cpu| *cpu > 0).filter(|_| all.contains(0)) else {
        panic!("this test takes two processors, of which one is number 0, and finds {all}");
    };
    let runs_on = |pod: &str, cpus: &CpuSet| {
        let asked = ["exec", pod, "--", "grep", "Cpus_allowed_list", "/proc/1/status"];
        cluster.kubectl_until(&asked, |line| line.trim() == format!("Cpus_allowed_list:\t{cpus}"));
    };
    runs_on("first", &all);
    let own: CpuSet = [one].into_iter().collect();
    let asks = json!({"resources": {"limits": {"cpu": "1", "memory": "16Mi"}}});
    let spec = json!({"terminationGracePeriodSeconds": 1, "containers": [with(shell("main", IDLE), asks)]});
    cluster.run_pod("alone", &spec);
    cluster.wait_for("condition=Ready", &["pod/alone"]);
    runs_on("alone", &own);
    runs_on("first", &all.without(&own));
    cluster.kubectl(&["delete", "pod", "alone"]);
    runs_on("first", &all);
}

/// The devices of a plugin are resources of the node: a container that asks for one has it, with what the plugin says, and a Pod for
/// which none is left waits until the other gives it back; when the plugin goes, nothing can be had any more.
#[test]
fn containers_have_the_devices_of_plugins() {
    // The test has temporary files of its own.
    let cdi = std::env::temp_dir().join("cdi");
    let directory = format!("--cdi-spec-dirs={}", cdi.display());
    let flags = [
        &directory,
        "--cpu-manager-policy=static",
        "--reserved-cpus=0",
        "--topology-manager-policy=restricted",
    ];
    let options = Options { flags: flags.map(str::to_owned).to_vec(), ..Options::default() };
    in_cluster(options, |cluster| {
        std::fs::create_dir(&cdi).expect("a directory can be made");
        // At this stage the program sees the files of the node.
        let hooked = cdi.join("hooked");
        let edits = json!({"env": ["SAYS=file"], "hooks": [
            {"hookName": "createContainer", "path": "/bin/touch", "args": ["touch", hooked]},
        ]});
        let devices = json!([{"name": "any", "containerEdits": edits}]);
        let described = json!({"cdiVersion": "0.6.0", "kind": "example.com/loop", "devices": devices});
        std::fs::write(cdi.join("loops.json"), described.to_string()).expect("it can be written");
        let node = cluster.data_dir().join("node");
        wait::until("the node to take plugins", || {
            if node.join("device-plugins/kubelet.sock").exists() {
                Ok(())
            } else {
                Err("no socket".to_owned())
            }
        });
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let plugin = std::thread::spawn(move || plug(&node, stopped));
        let allocatable =
            ["get", "node", "node-1", "-o", "jsonpath={.status.allocatable.example\\.com/loop}"];
        cluster.kubectl_until(&allocatable, |count| count == "2");
        let script = format!(
            "(exec 3</dev/mine) && echo opened; echo $LOOPS $SAYS; (exec 3>/dev/mine) 2>/dev/null || echo refused; {IDLE}"
        );
        let spec = |count: u32| {
            let asks = json!({"resources": {"limits": {RESOURCE: count}}});
            json!({"terminationGracePeriodSeconds": 1, "containers": [with(shell("main", &script), asks)]})
        };
        cluster.run_pod("first", &spec(1));
        let logs = cluster.kubectl_until(&["logs", "first"], |logs| logs.contains("refused"));
        assert_eq!(logs, "opened\none file\nrefused\n");
        cluster.run_pod("second", &spec(2));
        let why = [
            "get",
            "pod",
            "second",
            "-o",
            "jsonpath={.status.conditions[?(@.type==\"PodScheduled\")].message}",
        ];
        cluster.kubectl_until(&why, |message| message.contains("Insufficient example.com/loop"));
        assert!(hooked.exists(), "its hook was run");
        assert_eq!(told_of(cluster, "first"), ["main example.com/loop one"]);
        can_be_given(cluster);
        // Who asks no scheduler is told by the node.
        let mut forced = spec(2);
        forced["nodeName"] = json!("node-1");
        cluster.run_pod("forced", &forced);
        cluster.until_phase("forced", "Failed");
        let status = cluster.get(&["pod", "forced"])["status"].clone();
        assert_eq!(
            (&status["reason"], &status["message"]),
            (&json!("UnexpectedAdmissionError"), &json!(NONE_LEFT))
        );
        have_processors(cluster);
        cluster.kubectl(&["delete", "pod", "first"]);
        cluster.kubectl_until(&["logs", "second"], |logs| logs.contains("one+two file"));
        stop.cancel();
        plugin.join().expect("the plugin ends well");
        cluster.kubectl_until(&allocatable, |count| count == "0");
    });
}
