//! What cannot be done is said, with what to do about it.

use std::time::Duration;

use wherry_runtime_api::{
    ContainerId, ContainerSpec, ContainerState, ExecSpec, ExitReason, ImageContent, Mount, Resources,
    RuntimeError, SandboxId,
};

use crate::machine::{GOES_ON, Machine, PODS, create, running, state};

/// Calls about a container that is not there name it; removing it is done already.
pub async fn what_does_not_exist_is_said<M: Machine>(machine: &M) {
    let runtime = machine.runtime();
    let id = ContainerId { sandbox: SandboxId("none".into()), name: "none".into(), attempt: 0 };
    let command = ExecSpec { command: machine.command(&["exit", "0"]), ..ExecSpec::default() };
    for refusal in [
        runtime.start(&id).await.unwrap_err(),
        runtime.stop(&id, Duration::ZERO).await.unwrap_err(),
        runtime.update(&id, &Resources::default()).await.unwrap_err(),
        runtime.usage(&id).await.unwrap_err(),
        runtime.exec(&id, &command).await.unwrap_err(),
        runtime.attach(&id, false).await.unwrap_err(),
    ] {
        assert!(matches!(&refusal, RuntimeError::NotFound(found) if *found == id), "{refusal:?}");
    }
    runtime.remove(&id).await.unwrap();
    runtime.remove_sandbox(&id.sandbox).await.unwrap();
}

/// Before its start and after its end a container runs no commands.
pub async fn what_does_not_run_takes_no_commands<M: Machine>(machine: &M) {
    let command = ExecSpec { command: machine.command(&["exit", "0"]), ..ExecSpec::default() };
    let refused = async |spec: &ContainerSpec| {
        let refusal = machine.runtime().exec(&spec.id, &command).await.unwrap_err();
        assert!(matches!(&refusal, RuntimeError::NotRunning(id) if *id == spec.id), "{refusal:?}");
        let refusal = machine.runtime().attach(&spec.id, false).await.unwrap_err();
        assert!(matches!(&refusal, RuntimeError::NotRunning(id) if *id == spec.id), "{refusal:?}");
    };
    let waiting = machine.container(PODS[0], "waiting", &GOES_ON);
    create(machine, &waiting).await;
    refused(&waiting).await;
    let ended = running(machine).await;
    machine.runtime().stop(&ended.id, Duration::ZERO).await.unwrap();
    refused(&ended).await;
}

/// Each runtime says of the other's images that they are not for it.
pub async fn an_image_of_another_kind_is_refused<M: Machine>(machine: &M) {
    let own = machine.container(PODS[0], "main", &GOES_ON).image;
    let other = match own {
        ImageContent::Wasm { digest, path, .. } => {
            ImageContent::Oci { digest, config: path, layers: Vec::new() }
        }
        ImageContent::Oci { digest, config, .. } => {
            ImageContent::Wasm { digest, path: config, entrypoint: Vec::new(), env: Vec::new() }
        }
    };
    let refusal = machine.runtime().prepare_image(&other).await.unwrap_err();
    assert!(matches!(refusal, RuntimeError::InvalidImage { .. }), "{refusal:?}");
}

/// A log that cannot be opened keeps the program from running, and the status says so.
pub async fn a_log_that_cannot_be_written_is_a_start_error<M: Machine>(machine: &M) {
    let mut spec = machine.container(PODS[0], "main", &GOES_ON);
    spec.log_path = "/nonexistent/log".into();
    create(machine, &spec).await;
    let refusal = machine.runtime().start(&spec.id).await.unwrap_err().to_string();
    assert!(refusal.contains("/nonexistent/log"), "{refusal}");
    let end = state(machine, &spec.id).await;
    let Some(ContainerState::Exited { started_at: None, reason: ExitReason::StartError, message, .. }) = end
    else {
        panic!("{end:?}")
    };
    assert!(message.contains("/nonexistent/log"), "{message}");
}

/// A volume whose directory is gone is named by its place in the container and on the node.
pub async fn a_volume_that_is_not_there_is_named<M: Machine>(machine: &M) {
    let mut spec = machine.container(PODS[0], "main", &GOES_ON);
    spec.mounts = vec![Mount::new("/nonexistent/volume", "/data", true)];
    machine.runtime().ensure_sandbox(&spec.sandbox).await.unwrap();
    machine.runtime().prepare_image(&spec.image).await.unwrap();
    let refusal = match machine.runtime().create(&spec).await {
        Ok(()) => machine.runtime().start(&spec.id).await.unwrap_err(),
        Err(refusal) => refusal,
    };
    let refusal = refusal.to_string();
    assert!(refusal.contains("/nonexistent/volume"), "{refusal}");
}
