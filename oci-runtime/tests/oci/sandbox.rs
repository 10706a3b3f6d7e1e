//! What the containers of a pod share.

use std::fs;

use wherry_runtime_api::{ContainerState, Runtime, SandboxSpec, User};

use crate::node::{Node, hierarchies};

/// A node whose pod is not set up yet.
async fn node(change: impl FnOnce(&mut SandboxSpec)) -> Node {
    let mut node = Node::new().await;
    node.runtime.remove_sandbox(&node.sandbox.id).await.unwrap();
    change(&mut node.sandbox);
    node
}

#[tokio::test]
async fn containers_share_memory_and_settings_which_are_made_once() {
    let setting = ("kernel.shm_rmid_forced".to_owned(), "1".to_owned());
    let node = node(|sandbox| sandbox.sysctls = [setting].into()).await;
    node.runtime.ensure_sandbox(&node.sandbox).await.unwrap();
    let namespace = "readlink /proc/self/ns/ipc; cat /proc/sys/kernel/shm_rmid_forced";
    let writer = node.script("writer", &format!("echo kept > /dev/shm/note; {namespace}"));
    let of_writer = node.output(&writer).await;
    assert_eq!(of_writer[1], "stdout F 1");
    let own = fs::read_link("/proc/self/ns/ipc").unwrap();
    assert_ne!(of_writer[0], format!("stdout F {}", own.display()));
    // Whoever may change a setting later is not overruled by the next container.
    let mut changer = node.script("changer", "echo 0 > /proc/sys/kernel/shm_rmid_forced");
    changer.user.privileged = true;
    node.output(&changer).await;
    let node = node.restart();
    node.runtime.ensure_sandbox(&node.sandbox).await.unwrap();
    let reader = node.script("reader", &format!("{namespace}; cat /dev/shm/note"));
    let of_writer = of_writer[0].clone();
    assert_eq!(node.output(&reader).await, [of_writer, "stdout F 0".to_owned(), "stdout F kept".to_owned()]);
    node.finish().await;
}

#[tokio::test]
async fn a_setting_that_the_kernel_refuses_is_named() {
    let setting = ("kernel.shm_rmid_forced".to_owned(), "7".to_owned());
    let node = node(|sandbox| sandbox.sysctls = [setting].into()).await;
    let error = node.runtime.ensure_sandbox(&node.sandbox).await.unwrap_err().to_string();
    assert!(error.starts_with("set kernel.shm_rmid_forced to \"7\" failed: "), "{error}");
    node.finish().await;
}

/// A pod whose containers see each other's processes.
async fn sharing() -> Node {
    let node = node(|sandbox| sandbox.shares_processes = true).await;
    node.runtime.ensure_sandbox(&node.sandbox).await.unwrap();
    node
}

#[tokio::test]
async fn containers_that_share_processes_see_them_all_below_one_that_reaps() {
    let node = sharing().await;
    let mut other = node.script("other", "echo here; exec sleep 1000");
    other.user.uid = Some(33);
    node.run(&other).await;
    node.until_logged("other", "here").await;
    let look = "for p in /proc/[0-9]*; do echo $(busybox tr '\\0' ' ' < $p/cmdline) as $(id -u); done; \
         busybox ls -A /proc/1/root/ 2>&1; readlink /proc/1/exe 2>&1; \
         sh -c 'sleep 0.01 & echo $! > /tmp/orphan'; until ! test -e /proc/$(cat /tmp/orphan); do sleep 0.01; done; echo reaped";
    let log = node.output(&node.script("looker", look)).await.join("\n");
    assert!(log.contains("/pause first-process") && log.contains("sleep 1000"), "{log}");
    // Nobody who lacks the capability may look at it, and its file system is empty anyway.
    assert!(log.contains("/proc/1/root/: Permission denied") && log.ends_with("reaped"), "{log}");
    let mut tracer = node.script(
        "tracer",
        "busybox ls -A /proc/1/root/; (echo x > /proc/1/root/x) 2>/dev/null || echo refused",
    );
    tracer.user.add_capabilities = vec!["SYS_PTRACE".into()];
    let seen = node.output(&tracer).await.join("\n");
    assert!(seen.starts_with("stdout F pause") && seen.ends_with("stdout F refused"), "{seen}");
    node.finish().await;
}

#[tokio::test]
async fn what_a_program_leaves_ends_with_it_though_others_share_its_processes() {
    let node = sharing().await;
    let spec = node.script("main", "sleep 1000 & echo left");
    node.run(&spec).await;
    node.until_exited(&spec.id).await;
    let group = format!("{}/{}", &node.sandbox.cgroup_parent[1..], spec.id);
    for hierarchy in hierarchies() {
        let left = fs::read_to_string(hierarchy.join(&group).join("cgroup.procs")).unwrap_or_default();
        assert_eq!(left, "", "{}", hierarchy.display());
    }
    node.finish().await;
}

#[tokio::test]
async fn a_first_process_that_was_killed_is_replaced() {
    let node = sharing().await;
    let first = node.script("first", "exec sleep 1000");
    node.run(&first).await;
    let group = format!("{}/pause", &node.sandbox.cgroup_parent[1..]);
    let group = hierarchies().into_iter().map(|root| root.join(&group)).find(|path| path.exists()).unwrap();
    let pause: i32 = fs::read_to_string(group.join("cgroup.procs")).unwrap().trim().parse().unwrap();
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(pause).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    let ended = node.until_exited(&first.id).await;
    assert!(matches!(ended, ContainerState::Exited { code: 137, .. }), "{ended:?}");
    node.runtime.ensure_sandbox(&node.sandbox).await.unwrap();
    assert_eq!(node.output(&node.script("second", "echo again")).await, ["stdout F again"]);
    node.finish().await;
}

#[tokio::test]
async fn the_status_tells_who_the_program_runs_as() {
    let node = Node::new().await;
    let mut spec = node.script("main", "id -G");
    spec.user.uid = Some(33);
    spec.user.supplemental_groups = vec![9];
    // The kernel sorts all but the first.
    assert_eq!(node.output(&spec).await, ["stdout F 34 9 50"]);
    let all = node.runtime.list().await.unwrap();
    let status = all.into_iter().find(|status| status.id == spec.id).unwrap();
    assert_eq!(status.user, Some(User { uid: 33, gid: 34, groups: vec![34, 50, 9] }));
    node.finish().await;
}
