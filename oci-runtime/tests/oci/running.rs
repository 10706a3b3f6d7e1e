//! What a running container sees, may and leaves.

use std::fs;
use std::time::Duration;

use wherry_runtime_api::{ContainerState, ExitReason, NodeNamespaces, Resources, Runtime, Seccomp};

use crate::node::{Node, hierarchies};

fn code_and_reason(state: &ContainerState) -> (i32, ExitReason) {
    match state {
        ContainerState::Exited { code, reason, .. } => (*code, *reason),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn environment_user_directory_and_hostname_are_as_asked() {
    let node = Node::new().await;
    let mut spec =
        node.script("main", "echo $FROM $ASKED $(pwd) $HOSTNAME $(cat /proc/sys/kernel/hostname); id");
    spec.env = vec![("ASKED".into(), "yes".into())];
    spec.working_dir = Some("/tmp".into());
    spec.user.uid = Some(33);
    let log = node.output(&spec).await;
    assert_eq!(log[0], "stdout F image yes /tmp pod-host pod-host");
    assert!(log[1].contains("uid=33") && log[1].contains("gid=34") && log[1].contains("50"), "{log:?}");
    node.finish().await;
}

#[tokio::test]
async fn writes_stay_in_the_container_and_a_read_only_root_refuses_them() {
    let node = Node::new().await;
    let script = "touch /mark 2>/dev/null && echo first || echo refused";
    let mut sealed = node.script("sealed", script);
    sealed.read_only_rootfs = true;
    assert_eq!(node.output(&node.script("one", script)).await, ["stdout F first"]);
    let seen = node.script("two", "cat /mark 2>/dev/null || echo clean");
    assert_eq!(node.output(&seen).await, ["stdout F clean"]);
    assert_eq!(node.output(&sealed).await, ["stdout F refused"]);
    node.finish().await;
}

#[tokio::test]
async fn limits_are_written_and_the_memory_limit_kills() {
    let node = Node::new().await;
    let mut spec = node.script("main", "echo ready; sleep 0.05; tail /dev/zero");
    spec.resources = Resources {
        cpu_request_millis: Some(100),
        cpu_limit_millis: Some(900),
        memory_limit_bytes: Some(16 << 20),
        pids_limit: Some(20),
    };
    node.run(&spec).await;
    let group = format!("{}/{}", &node.sandbox.cgroup_parent[1..], spec.id);
    let read = |controller: &str, v1: &str, v2: &str| {
        let found = hierarchies().into_iter().find_map(|hierarchy| {
            let file = if hierarchy.ends_with(controller) { v1 } else { v2 };
            fs::read_to_string(hierarchy.join(&group).join(file)).ok()
        });
        found.unwrap().trim().to_owned()
    };
    assert_eq!(read("memory", "memory.limit_in_bytes", "memory.max"), (16 << 20).to_string());
    assert_eq!(read("pids", "pids.max", "pids.max"), "20");
    let state = node.until_exited(&spec.id).await;
    assert_eq!(code_and_reason(&state), (137, ExitReason::OOMKilled));
    node.finish().await;
}

#[tokio::test]
async fn calls_beyond_the_default_profile_are_refused() {
    let node = Node::new().await;
    let script = "unshare -u true 2>/dev/null && echo made || echo refused";
    let mut free = node.script("free", script);
    free.user.add_capabilities = vec!["SYS_ADMIN".into()];
    assert_eq!(node.output(&free).await, ["stdout F made"]);
    // In a user namespace of its own everybody has the capability: it is the filter that refuses.
    let script = "unshare -U true 2>/dev/null && echo made || echo refused";
    assert_eq!(node.output(&node.script("unconfined", script)).await, ["stdout F made"]);
    let mut confined = node.script("confined", script);
    confined.confinement.seccomp = Seccomp::RuntimeDefault;
    assert_eq!(node.output(&confined).await, ["stdout F refused"]);
    let profile = node.dir.path().join("no-chmod.json");
    let rule = r#"{"names": ["chmod", "fchmodat", "fchmodat2"], "action": "SCMP_ACT_ERRNO"}"#;
    fs::write(&profile, format!(r#"{{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{rule}]}}"#)).unwrap();
    let mut own = node.script("own", "touch /f && chmod 600 /f 2>/dev/null && echo changed || echo refused");
    own.confinement.seccomp = Seccomp::Profile(profile);
    assert_eq!(node.output(&own).await, ["stdout F refused"]);
    node.finish().await;
}

#[tokio::test]
async fn the_processes_of_the_node_are_seen_if_asked() {
    let node = Node::new().await;
    let mut spec = node.script("main", "readlink /proc/self/ns/pid");
    spec.sandbox.node_namespaces = NodeNamespaces { pid: true, ipc: false };
    let own = fs::read_link("/proc/self/ns/pid").unwrap();
    assert_eq!(node.output(&spec).await, [format!("stdout F {}", own.display())]);
    node.finish().await;
}

#[tokio::test]
async fn a_privileged_container_has_the_nodes_devices() {
    let node = Node::new().await;
    let mut spec = node.script("main", "test -c /dev/kmsg && echo seen || echo hidden");
    assert_eq!(node.output(&spec).await, ["stdout F hidden"]);
    spec.id.name = "privileged".into();
    spec.log_path = node.dir.path().join("privileged.log");
    spec.user.privileged = true;
    assert_eq!(node.output(&spec).await, ["stdout F seen"]);
    node.finish().await;
}

#[tokio::test]
async fn a_program_that_heeds_the_signal_ends_with_its_own_code() {
    let node = Node::new().await;
    let spec =
        node.script("main", "trap 'echo bye; exit 3' TERM; echo ready; while true; do sleep 0.01; done");
    node.run(&spec).await;
    node.until_logged("main", "ready").await;
    node.runtime.stop(&spec.id, Duration::from_secs(50)).await.unwrap();
    assert_eq!(code_and_reason(&node.state(&spec.id).await.unwrap()), (3, ExitReason::Error));
    assert!(node.log("main").contains(&"stdout F bye".to_owned()));
    node.finish().await;
}

#[tokio::test]
async fn containers_of_a_pod_run_beside_each_other_with_their_own_processes() {
    let node = Node::new().await;
    let names = ["a", "b", "c", "d"];
    let specs = names.map(|name| node.script(name, "echo pid $$; exec sleep 1000"));
    futures::future::join_all(specs.iter().map(|spec| node.run(spec))).await;
    for name in names {
        node.until_logged(name, "pid 1").await;
    }
    node.finish().await;
}
