//! Containers and agents come and go, in any order.

use std::fs;
use std::io::Write;
use std::time::Duration;

use wherry_runtime_api::{ContainerState, ExitReason, Runtime};

use crate::node::{Node, names, program};

const LOOP: &str = "trap 'exit 0' TERM; echo ready; while true; do sleep 0.01; done";

fn is_running(state: &ContainerState) -> bool {
    matches!(state, ContainerState::Running { .. })
}

#[tokio::test]
async fn containers_outlive_the_agent_and_the_next_one_takes_them_over() {
    let node = Node::new().await;
    let spec = node.script("main", LOOP);
    node.run(&spec).await;
    node.until_logged("main", "ready").await;
    let before = node.state(&spec.id).await.unwrap();
    let shim = node.shim_processes(&spec.id);
    assert_eq!(shim.len(), 1);
    let node = node.restart();
    assert_eq!(node.state(&spec.id).await, Some(before));
    assert_eq!(node.shim_processes(&spec.id), shim);
    node.runtime.stop(&spec.id, Duration::from_secs(50)).await.unwrap();
    let state = node.state(&spec.id).await.unwrap();
    assert!(
        matches!(state, ContainerState::Exited { code: 0, reason: ExitReason::Completed, .. }),
        "{state:?}"
    );
    node.finish().await;
}

#[tokio::test]
async fn an_exit_nobody_saw_is_known_to_the_next_agent() {
    let node = Node::new().await;
    let volume = node.dir.path().join("gate");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &volume,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from(0o600),
        0,
    )
    .unwrap();
    let mut spec = node.script("main", "cat /gate; exit 9");
    spec.mounts = vec![wherry_runtime_api::Mount::new(&volume, "/gate", false)];
    node.run(&spec).await;
    node.runtime.close().await;
    tokio::task::spawn_blocking(move || fs::write(volume, "go\n").unwrap()).await.unwrap();
    let exit = node.container_dir(&spec.id).join("exit.json");
    while !exit.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let node = node.restart();
    let state = node.state(&spec.id).await.unwrap();
    assert!(matches!(state, ContainerState::Exited { code: 9, .. }), "{state:?}");
    assert_eq!(node.log("main"), ["stdout F go"]);
    node.finish().await;
}

/// An OCI runtime that waits until something is written to the FIFO `gate`.
fn slow_runtime(config: &mut wherry_oci_runtime::Config, dir: &std::path::Path) {
    let gate = dir.join("gate");
    let mode = rustix::fs::Mode::from(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &gate, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    let binary = dir.join("slow-runc");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in *' run '*) read line < {};; esac\nexec runc \"$@\"\n",
        gate.display()
    );
    program(&binary, &script);
    config.runtime_binary = binary;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_under_way_is_taken_over_too() {
    let node = Node::with(slow_runtime).await;
    let spec = node.script("main", LOOP);
    node.runtime.create(&spec).await.unwrap();
    // The agent goes while it waits for the start: the future is dropped, then the runtime.
    assert!(tokio::time::timeout(Duration::from_millis(100), node.runtime.start(&spec.id)).await.is_err());
    let gate = node.dir.path().join("gate");
    let node = node.restart();
    assert_eq!(node.state(&spec.id).await, Some(ContainerState::Created));
    let open = || fs::OpenOptions::new().write(true).open(&gate).unwrap().write_all(b"go\n").unwrap();
    let (started, ()) =
        tokio::join!(node.runtime.start(&spec.id), async { tokio::task::block_in_place(open) });
    started.unwrap();
    assert!(is_running(&node.state(&spec.id).await.unwrap()));
    node.finish().await;
}

#[tokio::test]
async fn a_start_that_hangs_can_be_stopped() {
    let node = Node::with(slow_runtime).await;
    let spec = node.script("main", LOOP);
    node.runtime.create(&spec).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), node.runtime.start(&spec.id)).await.is_err());
    node.runtime.stop(&spec.id, Duration::from_millis(50)).await.unwrap();
    let state = node.state(&spec.id).await.unwrap();
    assert!(matches!(state, ContainerState::Exited { reason: ExitReason::StartError, .. }), "{state:?}");
    node.finish().await;
}

#[tokio::test]
async fn what_a_crash_left_half_done_is_cleared_away() {
    let node = Node::new().await;
    let spec = node.script("main", "exit 0");
    node.runtime.prepare_image(&spec.image).await.unwrap();
    let data = node.config.data_dir.clone();
    for left in ["containers/half_made_0/upper", "containers/.trash-gone_0", "layers/.tmp-abc/fs"] {
        fs::create_dir_all(data.join(left)).unwrap();
    }
    let node = node.restart();
    assert_eq!(names(&data.join("containers")), [""; 0]);
    assert_eq!(names(&data.join("layers")).len(), 1);
    node.finish().await;
}

#[tokio::test]
async fn layers_stay_while_an_image_or_a_container_needs_them() {
    let node = Node::new().await;
    let spec = node.script("main", "echo works");
    let wherry_runtime_api::ImageContent::Oci { digest, .. } = spec.image.clone() else { panic!() };
    let layers = node.config.data_dir.join("layers");
    node.runtime.create(&spec).await.unwrap();
    node.runtime.forget_image(&digest).await.unwrap();
    assert_eq!(names(&layers).len(), 1);
    assert_eq!(node.output(&spec).await, ["stdout F works"]);
    node.runtime.remove(&spec.id).await.unwrap();
    node.runtime.forget_image(&digest).await.unwrap();
    assert_eq!(names(&layers).len(), 0);
    node.finish().await;
}

#[tokio::test]
async fn a_shim_takes_less_than_three_megabytes() {
    let node = Node::new().await;
    let spec = node.script("main", LOOP);
    node.run(&spec).await;
    let [shim] = node.shim_processes(&spec.id)[..] else { panic!("one shim") };
    let status = fs::read_to_string(format!("/proc/{shim}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    let kib: u64 = resident.unwrap().parse().unwrap();
    assert!(kib < 3000, "{kib} KiB");
    assert_eq!(fs::read_link(format!("/proc/{shim}/exe")).unwrap(), node.shim_program());
    node.finish().await;
}
