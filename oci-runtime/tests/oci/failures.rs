//! What is wrong is said, and nothing else changes.

use std::fs;
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};
use wherry_runtime_api::{ContainerState, ExitReason, ImageContent, Runtime, RuntimeError};

use crate::node::{Node, entry, names, program};

#[tokio::test]
async fn a_command_that_does_not_exist_is_a_start_error_in_runcs_words() {
    let node = Node::new().await;
    let mut spec = node.script("main", "");
    spec.command = Some(vec!["/no/such/program".into()]);
    node.runtime.create(&spec).await.unwrap();
    let failed = node.runtime.start(&spec.id).await.unwrap_err().to_string();
    assert!(failed.starts_with("runc run failed: "), "{failed}");
    assert!(failed.contains("/no/such/program") && failed.contains("no such file or directory"), "{failed}");
    let state = node.state(&spec.id).await.unwrap();
    let ContainerState::Exited {
        started_at: None, code: 128, reason: ExitReason::StartError, message, ..
    } = state
    else {
        panic!("{state:?}")
    };
    assert!(failed.ends_with(&message));
    node.finish().await;
}

#[tokio::test]
async fn a_killed_shim_takes_its_container_along_and_says_so() {
    let node = Node::new().await;
    let spec = node.script("main", "echo ready; exec sleep 1000");
    node.run(&spec).await;
    node.until_logged("main", "ready").await;
    let running = std::fs::read_to_string(node.container_dir(&spec.id).join("running.json")).unwrap();
    let running: serde_json::Value = serde_json::from_str(&running).unwrap();
    let process = format!("/proc/{}/stat", running["pid"]);
    for shim in node.shim_processes(&spec.id) {
        kill_process(Pid::from_raw(shim).unwrap(), Signal::KILL).unwrap();
    }
    let state = node.until_exited(&spec.id).await;
    let ContainerState::Exited { started_at: Some(_), code: 137, reason: ExitReason::Error, message, .. } =
        state
    else {
        panic!("{state:?}")
    };
    assert_eq!(message, "the container's shim was killed, and the container with it");
    // Gone, or a zombie its new parent has not come to yet.
    let stat = std::fs::read_to_string(&process).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "the container's process still runs: {stat}");
    node.finish().await;
}

#[tokio::test]
async fn a_shim_killed_while_no_agent_ran_is_noticed_by_the_next() {
    let node = Node::new().await;
    let spec = node.script("main", "exec sleep 1000");
    node.run(&spec).await;
    node.runtime.close().await;
    for shim in node.shim_processes(&spec.id) {
        kill_process(Pid::from_raw(shim).unwrap(), Signal::KILL).unwrap();
    }
    let node = node.restart();
    let state = node.until_exited(&spec.id).await;
    assert!(
        matches!(state, ContainerState::Exited { code: 137, reason: ExitReason::Error, .. }),
        "{state:?}"
    );
    node.finish().await;
}

/// crun does so now and then: it has ended, and the process of its own that began the program goes on for a moment. A program that was
/// quicker than that had no exit code of its own, but 137, as if its shim had been killed.
#[tokio::test]
async fn a_program_that_ends_before_the_process_that_began_it_has_its_own_exit_code() {
    // The program ends only when a shell is its parent no more: that would ask for its exit code on the way.
    const LINGERS: &str = "#!/bin/sh
while [ $# -gt 0 ]; do [ \"$1\" = --pid-file ] && file=$2; shift; done
(sh -c 'until read -r name </proc/$PPID/comm && [ $name = sleep ]; do :; done; exit 7' & echo $! >\"$file\"
exec sleep 0.5) >/dev/null 2>&1 &
until [ -s \"$file\" ]; do :; done
";
    let node = Node::with(|config, dir| {
        config.runtime_binary = dir.join("lingers");
        program(&config.runtime_binary, LINGERS);
    })
    .await;
    let spec = node.script("main", "");
    node.run(&spec).await;
    let state = node.until_exited(&spec.id).await;
    assert!(
        matches!(
            state,
            ContainerState::Exited { started_at: Some(_), code: 7, reason: ExitReason::Error, .. }
        ),
        "{state:?}"
    );
    node.finish().await;
}

#[tokio::test]
async fn without_runc_the_runtime_says_how_to_get_it() {
    let node = Node::with(|config, _| config.runtime_binary = "wherry-no-such-runtime".into()).await;
    let unavailable = node.runtime.ready().await.unwrap_err().to_string();
    assert_eq!(
        unavailable,
        "runtime \"runc\" is not available: the OCI runtime \"wherry-no-such-runtime\" is not installed; \
         install it, for instance with: apt-get install runc"
    );
    let spec = node.script("main", "");
    node.runtime.create(&spec).await.unwrap();
    let failed = node.runtime.start(&spec.id).await.unwrap_err().to_string();
    assert!(failed.contains("cannot run wherry-no-such-runtime") && failed.contains("installed"), "{failed}");
    node.finish().await;
}

#[tokio::test]
async fn a_shim_that_cannot_be_run_leaves_the_container_created() {
    let node = Node::new().await;
    fs::remove_file(node.shim_program()).unwrap();
    let spec = node.script("main", "");
    node.runtime.create(&spec).await.unwrap();
    let failed = node.runtime.start(&spec.id).await.unwrap_err().to_string();
    assert!(failed.starts_with("run the shim "), "{failed}");
    assert_eq!(node.state(&spec.id).await, Some(ContainerState::Created));
    node.finish().await;
}

#[tokio::test]
async fn a_shim_that_dies_at_once_is_a_start_error_with_its_words() {
    let node = Node::new().await;
    program(&node.shim_program(), "#!/bin/sh\necho out of luck >&2\nexit 1\n");
    let spec = node.script("main", "");
    node.runtime.create(&spec).await.unwrap();
    let failed = node.runtime.start(&spec.id).await.unwrap_err().to_string();
    assert_eq!(failed, "runc run failed: the container's shim ended before it was started: out of luck");
    node.finish().await;
}

#[tokio::test]
async fn a_layer_that_reaches_out_is_refused_and_leaves_nothing() {
    let node = Node::new().await;
    let mut layer = tar::Builder::new(Vec::new());
    entry(&mut layer, "fine", tar::EntryType::Regular, 0o644, b"x");
    entry(&mut layer, "../../evil", tar::EntryType::Regular, 0o644, b"x");
    let mut spec = node.script("main", "");
    spec.image = node.image(&[layer.into_inner().unwrap()]);
    let ImageContent::Oci { layers, .. } = &spec.image else { panic!() };
    let expected = format!(
        "invalid image {}: entry \"../../evil\": the path contains \"..\" and could leave the root",
        layers[0].digest
    );
    for refused in [node.runtime.prepare_image(&spec.image).await, node.runtime.create(&spec).await] {
        assert_eq!(refused.unwrap_err().to_string(), expected);
    }
    assert_eq!(node.state(&spec.id).await, None);
    for directory in ["layers", "images", "containers"] {
        assert_eq!(names(&node.config.data_dir.join(directory)), [""; 0]);
    }
    assert!(!Path::new(node.dir.path()).join("evil").exists() && !node.dir.path().join("data/evil").exists());
    node.finish().await;
}

#[tokio::test]
async fn what_cannot_be_honoured_is_refused_before_anything_is_made() {
    let node = Node::new().await;
    let mut spec = node.script("main", "");
    spec.working_dir = Some("relative".into());
    let refused = node.runtime.create(&spec).await.unwrap_err();
    assert!(matches!(&refused, RuntimeError::InvalidSpec { id, .. } if *id == spec.id), "{refused}");
    spec.working_dir = None;
    spec.id.name = "../up".into();
    assert!(matches!(node.runtime.create(&spec).await, Err(RuntimeError::InvalidSpec { .. })));
    assert_eq!(names(&node.config.data_dir.join("containers")), [""; 0]);
    let unknown = node.id("unknown");
    let missing = node.runtime.start(&unknown).await.unwrap_err();
    assert_eq!(missing.to_string(), format!("container {unknown} does not exist"));
    let wasm = ImageContent::Wasm {
        digest: "sha256:0".into(),
        path: "/none".into(),
        entrypoint: Vec::new(),
        env: Vec::new(),
    };
    let refused = node.runtime.prepare_image(&wasm).await.unwrap_err().to_string();
    assert!(refused.contains("a WebAssembly binary cannot run in runc"), "{refused}");
    node.finish().await;
}
