//! Pods that have users for themselves.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};

use wherry_runtime_api::{ContainerSpec, ExecSpec, Mount, PodUsers, Runtime, SandboxSpec};

use crate::node::{Node, hierarchies};

const FIRST_ID: u32 = 200_000;

/// A node and its pod, which has users for itself.
async fn node() -> Node {
    with(|_| {}).await
}

async fn with(change: impl FnOnce(&mut SandboxSpec)) -> Node {
    let mut node = Node::with(|_, dir| {
        fs::set_permissions(dir, fs::Permissions::from_mode(0o711)).unwrap();
    })
    .await;
    let namespaces = node.dir.path().join("users");
    let users = PodUsers { namespaces, first_id: FIRST_ID, count: 65536 };
    node.runtime.remove_sandbox(&node.sandbox.id).await.unwrap();
    for _ in 0..2 {
        node.runtime.ensure_users(&users).await.unwrap();
    }
    node.sandbox.netns = Some(users.network());
    node.sandbox.users = Some(users);
    for (name, value) in [("net.ipv4.ip_forward", "1"), ("kernel.msgmax", "5000"), ("fs.mqueue.msg_max", "7")]
    {
        node.sandbox.sysctls.insert(name.into(), value.into());
    }
    change(&mut node.sandbox);
    node.runtime.ensure_sandbox(&node.sandbox).await.unwrap();
    node
}

/// The end of a pod with users for itself, whose namespaces are whose who asked for them.
async fn finish(node: Node) {
    node.runtime.remove_sandbox(&node.sandbox.id).await.unwrap();
    let users = node.sandbox.users.clone().unwrap();
    for place in [users.user(), users.network(), users.ipc()] {
        rustix::mount::unmount(&place, rustix::mount::UnmountFlags::DETACH).unwrap();
    }
    node.finish().await;
}

#[tokio::test]
async fn root_in_the_pod_is_nobody_on_the_node_and_files_keep_their_ids() {
    let node = node().await;
    let volume = node.dir.path().join("volume");
    fs::create_dir(&volume).unwrap();
    fs::write(volume.join("given"), "content").unwrap();
    chown(volume.join("given"), Some(33), Some(34)).unwrap();
    let script = "id -u; busybox stat -c %u:%g /volume/given /etc/passwd /; echo mine > /volume/made; touch /made; \
         echo own > /dev/stdout; cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/msg_max; echo ready; exec sleep 1000";
    let mut spec = node.script("main", script);
    spec.mounts = vec![Mount::new(&volume, "/volume", false)];
    node.run(&spec).await;
    node.until_logged("main", "ready").await;
    let said =
        ["0", "33:34", "0:0", "0:0", "own", "1", "5000", "7", "ready"].map(|line| format!("stdout F {line}"));
    assert_eq!(node.log("main"), said);
    let made = |path: &std::path::Path| fs::metadata(path).unwrap().uid();
    assert_eq!(made(&volume.join("made")), 0);
    assert_eq!(made(&node.container_dir(&spec.id).join("upper/made")), FIRST_ID);
    let pid = fs::read_to_string(node.container_dir(&spec.id).join("pid")).unwrap();
    assert_eq!(fs::metadata(format!("/proc/{pid}")).unwrap().uid(), FIRST_ID);
    let command = ["sh", "-c", "id -u > /dev/stdout; test -e /made"].map(str::to_owned).to_vec();
    let mut ran = node.runtime.exec(&spec.id, &ExecSpec { command, ..ExecSpec::default() }).await.unwrap();
    let mut output = String::new();
    tokio::io::AsyncReadExt::read_to_string(&mut ran.stdout, &mut output).await.unwrap();
    assert_eq!((output.as_str(), ran.ended.await.unwrap()), ("0\n", 0));
    finish(node).await;
}

#[tokio::test]
async fn processes_are_shared_among_users_of_the_pods_own() {
    let node = with(|sandbox| sandbox.shares_processes = true).await;
    node.runtime.ensure_sandbox(&node.sandbox).await.unwrap();
    node.run(&node.script("other", "echo here; exec sleep 1000")).await;
    node.until_logged("other", "here").await;
    let look = "for p in /proc/[0-9]*; do echo $(busybox tr '\\0' ' ' < $p/cmdline) of $(busybox stat -c %u $p); done; \
         sh -c 'sleep 0.01 & echo $! > /tmp/orphan'; until ! test -e /proc/$(cat /tmp/orphan); do sleep 0.01; done; echo reaped";
    let log = node.output(&node.script("looker", look)).await.join("\n");
    assert!(log.contains("/pause first-process of 65535") && log.contains("sleep 1000 of 0"), "{log}");
    assert!(log.ends_with("reaped"), "{log}");
    let group = format!("{}/pause", &node.sandbox.cgroup_parent[1..]);
    let group = hierarchies().into_iter().map(|root| root.join(&group)).find(|path| path.exists()).unwrap();
    let pause = fs::read_to_string(group.join("cgroup.procs")).unwrap();
    let pause = std::path::Path::new("/proc").join(pause.trim());
    let of_node = |kind: &str| fs::read_link(std::path::Path::new("/proc/self/ns").join(kind)).unwrap();
    for kind in ["user", "pid", "mnt", "ipc", "net", "uts", "cgroup"] {
        assert_ne!(fs::read_link(pause.join("ns").join(kind)).unwrap(), of_node(kind), "{kind}");
    }
    let status = fs::read_to_string(pause.join("status")).unwrap();
    let uid = (FIRST_ID + 65535).to_string();
    assert!(
        status.contains(&format!("Uid:\t{uid}\t{uid}")) && status.contains("CapEff:\t0000000000000000"),
        "{status}"
    );
    let root: Vec<_> =
        fs::read_dir(pause.join("root")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(root, ["pause"], "it sees files of the node");
    fs::write(pause.join("root/x"), "").expect_err("its file system can be written to");
    // Whoever is root among the pod's users may trace it, and finds nothing.
    let mut tracer = node.script("tracer", "(echo x > /proc/1/root/x) 2>/dev/null || echo refused");
    tracer.user.add_capabilities = vec!["SYS_PTRACE".into()];
    assert_eq!(node.output(&tracer).await, ["stdout F refused"]);
    finish(node).await;
}

#[tokio::test]
async fn what_of_the_kernel_is_hidden_can_be_shown_to_users_of_the_pods_own() {
    let node = node().await;
    let script = "busybox grep -c -E ' /proc/(sys|keys|bus) ' /proc/mounts; echo 0 > /proc/sys/net/ipv4/ip_forward && echo changed";
    let mut plain = node.script("plain", script);
    plain.user.add_capabilities = vec!["NET_ADMIN".into()];
    let mut spec = ContainerSpec { id: node.id("bare"), ..plain.clone() };
    spec.log_path = node.dir.path().join("bare.log");
    spec.confinement.bare_proc = true;
    assert_eq!(node.output(&spec).await, ["stdout F 0", "stdout F changed"]);
    let hidden = node.output(&plain).await;
    assert!(
        hidden[0] != "stdout F 0" && hidden.last().unwrap().ends_with("Read-only file system"),
        "{hidden:?}"
    );
    finish(node).await;
}

#[tokio::test]
async fn what_users_of_a_pods_own_cannot_have_is_refused() {
    let node = node().await;
    let mut spec = node.script("main", "id");
    spec.user.uid = Some(65536);
    let refused = node.runtime.create(&spec).await.unwrap_err().to_string();
    assert!(
        refused.ends_with("user or group 65536 is none of the 65536 that a pod with hostUsers: false has"),
        "{refused}"
    );
    spec.user.uid = None;
    // The kernel maps no files of its own.
    spec.mounts = vec![Mount::new("/proc", "/volume", false)];
    node.runtime.create(&spec).await.unwrap();
    let refused = node.runtime.start(&spec.id).await.unwrap_err().to_string();
    assert!(refused.contains("the kernel cannot show /proc to the users of a pod"), "{refused}");
    finish(node).await;
}

#[tokio::test]
async fn a_path_that_keeps_others_out_is_named() {
    let node = Node::new().await;
    let dir = node.dir.path().to_owned();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o700)).unwrap();
    let refused = node.runtime.can_map_users().await.unwrap_err().to_string();
    assert!(refused.ends_with(&format!("chmod o+x {}", dir.display())), "{refused}");
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o711)).unwrap();
    node.runtime.can_map_users().await.unwrap();
    node.finish().await;
}
