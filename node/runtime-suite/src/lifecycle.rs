//! Containers, sandboxes and agents come and go, in any order.

use std::time::Duration;

use tokio::time::timeout;
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerState, ExitReason, ImageContent, RuntimeEvent};

use crate::machine::{
    GOES_ON, Machine, PATIENCE, PODS, create, exited, log, run, running, start, state, until_logged,
};

/// Repeating a call that succeeded succeeds and changes nothing.
pub async fn every_call_may_be_repeated<M: Machine>(machine: &M) {
    let runtime = machine.runtime();
    let spec = machine.container(PODS[0], "main", &["print", "ready", "sleep", "600000"]);
    for _ in 0..2 {
        runtime.ready().await.unwrap();
        create(machine, &spec).await;
    }
    assert_eq!(state(machine, &spec.id).await, Some(ContainerState::Created));
    for _ in 0..2 {
        runtime.start(&spec.id).await.unwrap();
    }
    until_logged(&spec, "ready").await;
    let before = runtime.list().await.unwrap();
    create(machine, &spec).await;
    runtime.start(&spec.id).await.unwrap();
    assert_eq!(runtime.list().await.unwrap(), before, "repeating changed something");
    for _ in 0..2 {
        runtime.stop(&spec.id, Duration::ZERO).await.unwrap();
    }
    for _ in 0..2 {
        runtime.remove(&spec.id).await.unwrap();
        runtime.remove_sandbox(&spec.sandbox.id).await.unwrap();
        runtime.forget_image(digest(&spec.image)).await.unwrap();
    }
    assert_eq!(runtime.list().await.unwrap(), []);
    assert_eq!(log(&spec, Stream::Stdout), "ready\n", "it ran once, and its log stays");
}

fn digest(image: &ImageContent) -> &str {
    let (ImageContent::Wasm { digest, .. } | ImageContent::Oci { digest, .. }) = image;
    digest
}

/// Created, Running, Exited, with times, exit code, reason and image; an event tells when to look.
pub async fn states_follow_the_life_of_a_container<M: Machine>(machine: &M) {
    let spec = machine.container(PODS[0], "main", &["sleep", "300", "exit", "9"]);
    create(machine, &spec).await;
    assert_eq!(state(machine, &spec.id).await, Some(ContainerState::Created));
    let mut events = machine.runtime().events();
    machine.runtime().start(&spec.id).await.unwrap();
    let Some(ContainerState::Running { started_at }) = state(machine, &spec.id).await else {
        panic!("{:?}", state(machine, &spec.id).await)
    };
    let end = async {
        loop {
            assert_eq!(events.recv().await.unwrap(), RuntimeEvent { id: spec.id.clone() });
            if let Some(ContainerState::Exited { started_at, finished_at, code, reason, .. }) =
                state(machine, &spec.id).await
            {
                return (started_at, finished_at, code, reason);
            }
        }
    };
    let (started, finished_at, code, reason) = timeout(PATIENCE, end).await.expect("no event told the end");
    assert_eq!((started, code, reason), (Some(started_at), 9, ExitReason::Error));
    assert!(finished_at > started_at);
    assert_eq!(machine.runtime().list().await.unwrap()[0].image_digest, digest(&spec.image));
}

/// Several who start a container at once start it once.
pub async fn starts_at_once_start_once<M: Machine>(machine: &M) {
    let spec = machine.container(PODS[0], "main", &["print", "once"]);
    create(machine, &spec).await;
    let starts = futures::future::join_all((0..8).map(|_| machine.runtime().start(&spec.id))).await;
    assert!(starts.iter().all(Result::is_ok), "{starts:?}");
    exited(machine, &spec.id).await;
    assert_eq!(log(&spec, Stream::Stdout), "once\n");
}

/// `stop` before `start` is the end.
pub async fn a_container_stopped_before_its_start_never_runs<M: Machine>(machine: &M) {
    let spec = machine.container(PODS[0], "main", &["print", "ran"]);
    create(machine, &spec).await;
    machine.runtime().stop(&spec.id, Duration::from_secs(1)).await.unwrap();
    let end = state(machine, &spec.id).await;
    assert!(matches!(end, Some(ContainerState::Exited { started_at: None, code: 137, .. })), "{end:?}");
    let refusal = machine.runtime().start(&spec.id).await.unwrap_err().to_string();
    assert!(refusal.ends_with("stopped before it was started"), "{refusal}");
    assert_eq!(log(&spec, Stream::Stdout), "");
}

/// A program that goes on when it is asked to end is made to; the code says that a signal ended it.
pub async fn what_does_not_heed_is_killed_after_the_grace_period<M: Machine>(machine: &M) {
    let spec = running(machine).await;
    let stop = machine.runtime().stop(&spec.id, Duration::from_millis(50));
    timeout(PATIENCE, stop).await.expect("stopped in time").unwrap();
    let end = exited(machine, &spec.id).await;
    assert!([128 + 15, 128 + 9].contains(&end.code), "{end:?}");
    assert_eq!(end.reason, ExitReason::Error);
}

/// `remove` of a running container kills it.
pub async fn what_runs_is_killed_when_it_is_removed<M: Machine>(machine: &M) {
    for (attempt, steps) in [&GOES_ON[..], &["spin"]].into_iter().enumerate() {
        let mut spec = machine.container(PODS[0], "main", steps);
        spec.id.attempt = u32::try_from(attempt).unwrap();
        start(machine, &spec).await;
        timeout(PATIENCE, machine.runtime().remove(&spec.id)).await.expect("removed in time").unwrap();
        assert_eq!(state(machine, &spec.id).await, None);
    }
}

/// `remove_sandbox` takes the containers of its pod along.
pub async fn a_sandbox_goes_with_its_containers_and_no_others<M: Machine>(machine: &M) {
    let [one, two] = PODS.map(|pod| machine.container(pod, "main", &GOES_ON));
    for spec in [&one, &two] {
        start(machine, spec).await;
        let of_sandbox = machine.runtime().list_of(&spec.sandbox.id).await.unwrap();
        assert_eq!(of_sandbox.iter().map(|status| &status.id).collect::<Vec<_>>(), [&spec.id]);
    }
    machine.runtime().remove_sandbox(&one.sandbox.id).await.unwrap();
    assert_eq!(machine.runtime().list_of(&one.sandbox.id).await.unwrap(), []);
    assert_eq!(state(machine, &one.id).await, None);
    assert!(matches!(state(machine, &two.id).await, Some(ContainerState::Running { .. })));
}

/// An agent that starts finds the containers that go on; those that ended with the agent before it are not there, and the
/// next attempt may begin.
pub async fn the_next_agent_knows_what_goes_on<M: Machine>(machine: &mut M) {
    let spec = running(machine).await;
    let before = machine.runtime().list().await.unwrap();
    machine.restart().await;
    let after = machine.runtime().list().await.unwrap();
    if M::OUTLIVES_AGENT {
        assert_eq!(after, before);
        machine.runtime().stop(&spec.id, Duration::ZERO).await.unwrap();
        assert_eq!(exited(machine, &spec.id).await.code, 137);
    } else {
        assert_eq!(after, []);
    }
    let mut next = machine.container(PODS[0], "main", &["print", "again"]);
    next.id.attempt = 1;
    assert_eq!(run(machine, &next).await.code, 0);
}
