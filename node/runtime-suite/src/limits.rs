//! Limits, and what is told of what was taken.

use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ExitReason, Resources};

use crate::machine::{Machine, PODS, exec, log, outcome, run, start, until_logged};

const MIB: u64 = 1 << 20;

/// What exceeds the memory limit is killed, and the status says why.
pub async fn the_memory_limit_kills<M: Machine>(machine: &M) {
    let mut spec = machine.container(PODS[0], "main", &["alloc", "8", "alloc", "128"]);
    spec.resources.memory_limit_bytes = Some(64 * MIB);
    let end = run(machine, &spec).await;
    assert_eq!((end.code, end.reason), (137, ExitReason::OOMKilled), "{end:?}");
    assert!(log(&spec, Stream::Stdout).starts_with("allocated 8 MiB"), "what fits is allowed");
}

/// A container may use what the others leave of its pod's memory; who exceeds the whole is killed.
pub async fn containers_share_the_memory_of_their_pod<M: Machine>(machine: &M) {
    let container = |name: &str, steps: &[&str]| {
        let mut spec = machine.container(PODS[0], name, steps);
        spec.sandbox.resources.memory_limit_bytes = Some(96 * MIB);
        spec
    };
    let first = container("first", &["alloc", "24", "print", "ready", "sleep", "600000"]);
    start(machine, &first).await;
    until_logged(&first, "ready").await;
    let fits = run(machine, &container("fits", &["alloc", "48"])).await;
    assert_eq!(fits.code, 0, "{fits:?}");
    let greedy = run(machine, &container("greedy", &["alloc", "160"])).await;
    assert_eq!((greedy.code, greedy.reason), (137, ExitReason::OOMKilled), "{greedy:?}");
    let (out, errors, code) = outcome(exec(machine, &first, &["print", "lives"]).await).await;
    assert_eq!((out.as_str(), code), ("lives\n", 0), "{errors}");
}

/// `update` counts for a program that runs.
pub async fn a_memory_limit_may_change_while_the_program_runs<M: Machine>(machine: &M) {
    let mut spec = machine.container(PODS[0], "main", &["print", "ready", "sleep", "600000"]);
    spec.resources.memory_limit_bytes = Some(64 * MIB);
    start(machine, &spec).await;
    let (_, errors, code) = outcome(exec(machine, &spec, &["alloc", "128"]).await).await;
    assert_eq!(code, 137, "{errors}");
    // Which of its processes the kernel chose is its own business: another container shows the larger limit.
    let mut larger = machine.container(PODS[0], "larger", &["print", "ready", "sleep", "600000"]);
    larger.resources.memory_limit_bytes = Some(64 * MIB);
    start(machine, &larger).await;
    let limits = Resources { memory_limit_bytes: Some(256 * MIB), ..Resources::default() };
    machine.runtime().update(&larger.id, &limits).await.unwrap();
    let (out, errors, code) = outcome(exec(machine, &larger, &["alloc", "128"]).await).await;
    assert_eq!((code, out.starts_with("allocated 128 MiB")), (0, true), "{out}{errors}");
}

/// `usage` tells processor time and memory of what runs, `disk_usage` answers for it.
pub async fn what_is_taken_of_the_machine_is_told<M: Machine>(machine: &M) {
    let spec = machine.container(PODS[0], "main", &["print", "ready", "sleep", "600000"]);
    start(machine, &spec).await;
    until_logged(&spec, "ready").await;
    let before = machine.runtime().usage(&spec.id).await.unwrap();
    assert!(before.memory > 0 && before.working_set <= before.memory, "{before:?}");
    let (_, errors, code) = outcome(exec(machine, &spec, &["compute", "50"]).await).await;
    assert_eq!(code, 0, "{errors}");
    let after = machine.runtime().usage(&spec.id).await.unwrap();
    assert!(after.cpu_nanos > before.cpu_nanos, "{before:?} {after:?}");
    machine.runtime().disk_usage(&spec.id).await.unwrap();
}
