//! What is planned in which situation.

use rstest::rstest;

use super::super::memory::{Failure, ProbeKill, ProbeView, StopOrder};
use super::*;

fn spec(policy: &str, init: &[&str], main: &[&str]) -> Pod {
    let list = |names: &[&str]| -> Vec<Value> {
        names.iter().map(|name| json!({ "name": name, "image": format!("{name}:v1") })).collect()
    };
    pod_with(json!({ "restartPolicy": policy, "initContainers": list(init), "containers": list(main) }))
}

#[test]
fn a_new_pod_gets_volumes_and_images_first() {
    let scene = Scene::new(spec("Always", &["a"], &["b"]));
    assert_eq!(scene.actions(), ["mount", "image a/0", "image b/0"]);
}

#[rstest]
#[case(&[("b", Handler::Wasmtime)], Some("network netns=false"))]
#[case(&[("b", Handler::Wasmtime), ("c", Handler::Runc)], Some("network netns=true"))]
fn the_network_follows_the_kinds_of_images(
    #[case] images: &[(&str, Handler)],
    #[case] expected: Option<&str>,
) {
    let names: Vec<&str> = images.iter().map(|(name, _)| *name).collect();
    let mut scene = Scene::new(spec("Always", &[], &names));
    scene.memory.volumes = Step::Busy;
    for (name, handler) in images {
        scene.memory.container(name).image = Step::Done(image(*handler));
    }
    assert_eq!(scene.actions(), expected.into_iter().collect::<Vec<_>>());
}

#[rstest]
#[case(true, "network netns=true")]
#[case(false, "network netns=false")]
fn an_image_that_cannot_be_pulled_does_not_hold_up_the_others(
    #[case] has_namespaces: bool,
    #[case] network: &str,
) {
    let mut scene = Scene::prepared(spec("Always", &[], &["good", "bad"]));
    scene.node.has_namespaces = has_namespaces;
    scene.memory.container("bad").image =
        Failure::after(None, ("ErrImagePull", "no".to_owned()), at(0), |_| Duration::from_secs(10));
    let ready = std::mem::take(&mut scene.memory.network);
    assert_eq!(scene.actions(), [network]);
    scene.memory.network = ready;
    assert_eq!(scene.actions(), ["launch good/0"]);
    assert_eq!(scene.plan().wake_at, Some(at(2)), "to show the back-off");
    let scene = scene.at(10);
    assert_eq!(scene.actions(), ["image bad/0", "launch good/0"]);
}

#[test]
fn init_containers_run_in_order_and_then_the_others_together() {
    let pod = || spec("Always", &["a", "b"], &["c", "d"]);
    assert_eq!(Scene::prepared(pod()).actions(), ["launch a/0"]);
    let none: [&str; 0] = [];
    assert_eq!(Scene::prepared(pod()).with(vec![running("a", 0)]).actions(), none);
    assert_eq!(Scene::prepared(pod()).with(vec![exited("a", 0, 0, 1)]).actions(), ["launch b/0"]);
    let done = vec![exited("a", 0, 0, 1), exited("b", 0, 0, 2)];
    assert_eq!(Scene::prepared(pod()).with(done).actions(), ["launch c/0", "launch d/0"]);
}

#[test]
fn a_sidecar_is_kept_running_and_does_not_hold_up_what_follows() {
    let pod = || {
        pod_with(json!({
            "initContainers": [{ "name": "side", "restartPolicy": "Always" }, { "name": "init" }],
            "containers": [{ "name": "main" }],
        }))
    };
    assert_eq!(Scene::prepared(pod()).actions(), ["launch side/0"]);
    assert_eq!(Scene::prepared(pod()).with(vec![running("side", 0)]).actions(), ["launch init/0"]);
    let mut scene = Scene::prepared(pod()).with(vec![
        exited("side", 0, 0, 1),
        exited("init", 0, 0, 1),
        running("main", 0),
    ]);
    scene.image_ready("side", 1);
    assert_eq!(scene.at(2).actions(), ["launch side/1"]);
    let ending =
        Scene::prepared(pod()).with(vec![running("side", 0), exited("init", 0, 0, 1), running("main", 0)]);
    assert_eq!(ending.deleted(5).actions(), ["stop main/0 5s"]);
    let ending = Scene::prepared(pod()).with(vec![
        running("side", 0),
        exited("init", 0, 0, 1),
        exited("main", 0, 0, 1),
    ]);
    assert_eq!(ending.deleted(5).actions(), ["stop side/0 5s"]);
}

#[rstest]
#[case("Always", 0, Some("launch main/1"))]
#[case("Always", 1, Some("launch main/1"))]
#[case("OnFailure", 1, Some("launch main/1"))]
#[case("OnFailure", 0, Some("teardown"))]
#[case("Never", 0, Some("teardown"))]
#[case("Never", 1, Some("teardown"))]
fn the_restart_policy_decides(#[case] policy: &str, #[case] code: i32, #[case] expected: Option<&str>) {
    let mut scene =
        Scene::prepared(spec(policy, &[], &["main"])).with(vec![exited("main", 0, code, 5)]).at(5);
    scene.image_ready("main", 1);
    assert_eq!(scene.actions(), expected.into_iter().collect::<Vec<_>>());
}

#[test]
fn a_failed_init_container_ends_a_pod_that_never_restarts() {
    let scene = Scene::prepared(spec("Never", &["a"], &["b"])).with(vec![exited("a", 0, 3, 1)]).at(1);
    let plan = scene.plan();
    assert_eq!(plan.status.phase.as_deref(), Some("Failed"));
    assert_eq!(plan.actions, [Action::TearDown]);
    let mut scene = Scene::prepared(spec("Always", &["a"], &["b"])).with(vec![exited("a", 0, 3, 1)]).at(1);
    scene.image_ready("a", 1);
    assert_eq!(scene.actions(), ["launch a/1"]);
}

#[test]
fn a_crashing_container_waits_out_its_back_off() {
    let mut scene = Scene::prepared(pod()).with(vec![exited("main", 1, 1, 20)]).at(21);
    scene.memory.container("main").backoff.advance(at(10), at(10), LONGEST);
    scene.image_ready("main", 2);
    let plan = scene.plan();
    assert!(plan.actions.is_empty());
    assert_eq!(plan.wake_at, Some(at(30)));
    assert_eq!(scene.at(30).actions(), ["launch main/2"]);
}

#[test]
fn an_image_is_looked_at_again_before_a_restart() {
    let scene = Scene::prepared(pod()).with(vec![exited("main", 0, 1, 1)]).at(2);
    assert_eq!(scene.actions(), ["image main/1"]);
}

#[test]
fn a_wasm_container_lost_with_the_agent_is_started_again_at_once() {
    let mut lost = pod();
    lost.status = serde_json::from_value(json!({
        "phase": "Running", "startTime": "2026-01-01T00:00:00Z",
        "containerStatuses": [{ "name": "main", "image": "app:v1", "imageID": "i", "ready": true, "restartCount": 2,
            "containerID": "wasmtime://u-1_main_2", "state": { "running": { "startedAt": "2026-01-01T00:00:00Z" } } }],
    }))
    .unwrap();
    let mut scene = Scene::prepared(lost.clone());
    scene.image_ready("main", 3);
    assert_eq!(scene.actions(), ["launch main/3"]);
    let status = scene.with(vec![running("main", 3)]).plan().status;
    let main = &status.container_statuses.unwrap()[0];
    assert_eq!((main.restart_count, main.ready), (3, true));
    let last = main.last_state.as_ref().unwrap().terminated.as_ref().unwrap();
    assert_eq!((last.reason.as_deref(), last.exit_code), (Some("ContainerStatusUnknown"), 137));

    let mut scene = Scene::new(lost);
    scene.memory.volumes = Step::Busy;
    assert_eq!(scene.actions(), ["network netns=false", "image main/3"]);
}

#[test]
fn an_oci_container_that_kept_running_is_adopted() {
    let mut scene = Scene::new(pod());
    let mut adopted = running("main", 4);
    adopted.handler = Handler::Runc;
    scene.containers = vec![adopted];
    assert_eq!(scene.actions(), ["mount", "network netns=true"]);
}

#[test]
fn what_the_api_says_has_ended_is_not_run_again() {
    let mut done = spec("Never", &[], &["main"]);
    done.status = serde_json::from_value(json!({ "phase": "Succeeded" })).unwrap();
    let scene = Scene::new(done);
    assert_eq!(scene.actions(), ["teardown"]);
    assert_eq!(scene.plan().status.phase.as_deref(), Some("Succeeded"));
}

#[test]
fn a_deleted_pod_is_stopped_torn_down_and_deleted() {
    let mut scene = Scene::prepared(pod()).with(vec![running("main", 0)]).deleted(7);
    assert_eq!(scene.actions(), ["stop main/0 7s"]);
    let order = StopOrder { id: id("main", 0), kill_at: at(7), retry_at: None };
    scene.memory.container("main").stop = Some(order);
    assert!(scene.actions().is_empty(), "a stop is under way");
    scene = scene.deleted(1);
    assert_eq!(scene.actions(), ["stop main/0 1s"], "it is to end sooner");
    scene.containers = vec![exited("main", 0, 143, 2)];
    let plan = scene.plan();
    assert_eq!(plan.actions, [Action::TearDown]);
    assert_eq!(plan.status.phase.as_deref(), Some("Failed"));
    scene.memory.final_status = Some(plan.status);
    scene.memory.teardown = Step::Done(());
    scene.containers.clear();
    assert_eq!(scene.actions(), ["delete"]);
    scene.gone = true;
    let plan = scene.plan();
    assert!(plan.finished && plan.actions.is_empty());
}

#[test]
fn a_ready_pod_serves_a_moment_longer_than_it_is_deleted() {
    let mut scene = Scene::prepared(pod()).with(vec![running("main", 0)]).deleted(30);
    scene.pod.status = serde_json::from_value(json!({
        "phase": "Running", "conditions": [{ "type": "Ready", "status": "True" }],
    }))
    .unwrap();
    let plan = scene.plan();
    assert!(plan.actions.is_empty());
    assert_eq!(plan.wake_at, at(0).checked_add(Duration::from_millis(300)).ok());
    scene.memory.ending_since = Some(at(0));
    assert_eq!(scene.at(1).actions(), ["stop main/0 30s"]);
}

#[test]
fn a_pod_past_its_deadline_fails_once_it_has_stopped() {
    let mut pod = pod_with(json!({ "activeDeadlineSeconds": 5, "terminationGracePeriodSeconds": 3,
        "containers": [{ "name": "main" }] }));
    pod.status =
        serde_json::from_value(json!({ "phase": "Running", "startTime": at(0).to_string() })).unwrap();
    let mut scene = Scene::prepared(pod).with(vec![running("main", 0)]).at(4);
    assert_eq!(scene.plan().wake_at, Some(at(5)));
    scene = scene.at(5);
    assert_eq!(scene.actions(), ["stop main/0 3s"]);
    assert_eq!(scene.plan().status.phase.as_deref(), Some("Running"));
    scene.containers = vec![exited("main", 0, 0, 6)];
    let status = scene.plan().status;
    assert_eq!(
        (status.phase.as_deref(), status.reason.as_deref()),
        (Some("Failed"), Some("DeadlineExceeded"))
    );
}

#[test]
fn a_failing_liveness_probe_stops_its_container_only() {
    let mut scene =
        Scene::prepared(spec("Always", &[], &["a", "b"])).with(vec![running("a", 1), running("b", 0)]);
    let kill = Some(ProbeKill { probe: "liveness", grace: Some(4) });
    scene.memory.container("a").probes = ProbeView { attempt: 1, kill, ..ProbeView::default() };
    assert_eq!(scene.actions(), ["stop a/1 4s"]);
    scene.memory.container("a").probes.attempt = 0;
    assert!(scene.actions().is_empty(), "it was another attempt that failed");
}

#[test]
fn old_attempts_go_and_the_last_one_stays_for_its_logs() {
    let containers =
        vec![exited("main", 0, 1, 1), exited("main", 1, 1, 2), running("main", 2), running("stranger", 0)];
    let scene = Scene::prepared(pod()).with(containers);
    assert_eq!(scene.actions(), ["remove main/0", "remove stranger/0"]);
}

#[test]
fn a_launch_that_failed_waits_and_one_under_way_is_not_repeated() {
    let mut scene = Scene::prepared(pod());
    scene.memory.container("main").launch = Step::Busy;
    assert!(scene.actions().is_empty());
    let refusal = ("CreateContainerConfigError", "configmap \"c\" not found".to_owned());
    scene.memory.container("main").launch = Failure::after(None, refusal, at(0), |_| Duration::from_secs(10));
    let plan = scene.plan();
    assert!(plan.actions.is_empty());
    assert_eq!(plan.wake_at, Some(at(10)));
    assert_eq!(scene.at(10).actions(), ["launch main/0"]);
}

/// A pod of `main` to which `debugger` was added.
fn debugged() -> Scene {
    let mut pod = pod();
    let added = json!([{ "name": "debugger", "image": "tools:v1", "targetContainerName": "main" }]);
    pod.spec.as_mut().unwrap().ephemeral_containers = serde_json::from_value(added).unwrap();
    let mut scene = Scene::prepared(pod);
    scene.image_ready("debugger", 0);
    scene
}

#[test]
fn an_ephemeral_container_runs_once_and_ends_with_its_pod() {
    let scene = debugged().with(vec![running("main", 0)]);
    assert_eq!(scene.actions(), ["launch debugger/0"]);
    let scene = debugged().with(vec![running("main", 0), exited("debugger", 0, 1, 3)]);
    assert!(scene.actions().is_empty(), "it is not started again");
    let status = scene.plan().status;
    assert_eq!(status.phase.as_deref(), Some("Running"));
    let shown = status.ephemeral_container_statuses.unwrap().remove(0).state.unwrap();
    assert_eq!(shown.terminated.unwrap().exit_code, 1);
    let scene = debugged().with(vec![running("main", 0), running("debugger", 0)]).deleted(5).at(1);
    assert_eq!(scene.actions(), ["stop main/0 5s", "stop debugger/0 5s"]);
}

#[test]
fn a_container_whose_image_changed_is_stopped_and_started_again_whatever_its_policy() {
    let mut scene = Scene::prepared(spec("Never", &[], &["main"])).with(vec![running("main", 0)]);
    scene.memory.container("main").launched_image = "app:v0".to_owned();
    assert_eq!(scene.actions(), ["stop main/0 30s"]);
    assert_eq!(scene.plan().status.container_statuses.unwrap()[0].image, "app:v0");
    scene.memory.container("main").replaced = Some(0);
    scene.image_ready("main", 1);
    scene.containers = vec![exited("main", 0, 143, 2)];
    assert_eq!(scene.actions(), ["launch main/1"]);
    let state = scene.plan().status.container_statuses.unwrap().remove(0).state.unwrap();
    assert_eq!(state.waiting.unwrap().reason.as_deref(), Some("ContainerCreating"));
    // The next attempt is stopped for nothing of the kind.
    scene.containers = vec![exited("main", 1, 0, 3)];
    assert_eq!(scene.plan().status.phase.as_deref(), Some("Succeeded"));
}

/// A pod in which an end of `watch` with 42 is followed by other attempts at all.
fn watched() -> Pod {
    let rule = json!({ "action": "RestartAllContainers", "exitCodes": { "operator": "In", "values": [42] } });
    pod_with(json!({
        "restartPolicy": "Never",
        "initContainers": [{ "name": "init", "image": "init:v1" }],
        "containers": [
            { "name": "main", "image": "main:v1" },
            { "name": "done", "image": "done:v1" },
            { "name": "watch", "image": "watch:v1", "restartPolicy": "Never", "restartPolicyRules": [rule] },
        ],
    }))
}

fn watched_scene(watch: Running) -> Scene {
    let others = vec![exited("init", 0, 0, 1), running("main", 0), exited("done", 0, 0, 2), watch];
    let mut scene = Scene::prepared(watched()).with(others).at(5);
    scene.node.endpoint_drain = Duration::ZERO;
    scene
}

#[test]
fn an_exit_that_a_rule_for_all_is_about_ends_all_and_begins_them_anew() {
    assert!(watched_scene(running("watch", 0)).actions().is_empty());
    assert!(watched_scene(exited("watch", 0, 1, 3)).actions().is_empty(), "it is not about that exit");
    let mut scene = watched_scene(exited("watch", 0, 42, 3));
    assert_eq!(scene.actions(), ["stop main/0 0s"]);
    scene.memory.container("main").stop =
        Some(StopOrder { id: id("main", 0), kill_at: at(5), retry_at: None });
    assert!(scene.actions().is_empty(), "it is being stopped");
    scene.containers[1] = exited("main", 0, 137, 5);
    scene.memory.container("main").stop = None;
    assert_eq!(scene.actions(), ["rerun after init/0 main/0 done/0 watch/0"]);
    for name in ["init", "main", "done", "watch"] {
        scene.memory.container(name).before_rerun = Some(0);
        scene.image_ready(name, 1);
    }
    assert_eq!(scene.actions(), ["launch init/1"]);
    scene = scene.with(vec![
        exited("init", 1, 0, 6),
        exited("main", 0, 137, 5),
        exited("done", 0, 0, 2),
        exited("watch", 0, 42, 3),
    ]);
    assert_eq!(scene.actions(), ["launch main/1", "launch done/1", "launch watch/1"]);
    let second = vec![
        exited("init", 1, 0, 6),
        exited("main", 1, 0, 8),
        exited("done", 1, 0, 8),
        exited("watch", 1, 0, 8),
    ];
    let plan = scene.with(second).plan();
    assert_eq!((plan.status.phase.as_deref(), plan.actions), (Some("Succeeded"), vec![Action::TearDown]));
}

#[test]
fn a_pod_that_is_deleted_does_not_begin_anew() {
    assert_eq!(watched_scene(exited("watch", 0, 42, 3)).deleted(7).actions(), ["stop main/0 7s"]);
}

#[test]
fn an_init_container_may_have_all_begin_anew() {
    let mut pod = watched();
    let spec = pod.spec.as_mut().unwrap();
    let (policy, rules) =
        (spec.containers[2].restart_policy.take(), spec.containers[2].restart_policy_rules.take());
    let init = &mut spec.init_containers.as_mut().unwrap()[0];
    (init.restart_policy, init.restart_policy_rules) = (policy, rules);
    let mut scene = Scene::prepared(pod).with(vec![exited("init", 0, 42, 1)]).at(1);
    assert_eq!(scene.actions(), ["rerun after init/0"]);
    scene.memory.container("init").before_rerun = Some(0);
    scene.image_ready("init", 1);
    assert_eq!(scene.actions(), ["launch init/1"]);
}

/// The agent ended before any container was begun anew, or while they were ended.
#[test]
fn the_next_agent_goes_on_beginning_anew() {
    let mut scene = watched_scene(exited("watch", 0, 42, 3));
    let before = scene.plan().status;
    for name in ["init", "main", "done", "watch"] {
        scene.memory.container(name).before_rerun = Some(0);
    }
    scene.containers[1] = exited("main", 0, 137, 5);
    let after = scene.plan().status;
    let next = |status: k8s_openapi::api::core::v1::PodStatus, containers: Vec<Running>| {
        let mut scene = Scene::prepared(Pod { status: Some(status), ..watched() }).with(containers).at(6);
        scene.image_ready("init", 1);
        scene.actions()
    };
    let ended = || scene.containers.clone();
    assert_eq!(next(before.clone(), ended()), ["rerun after init/0 main/0 done/0 watch/0"]);
    assert_eq!(next(after.clone(), ended()), ["launch init/1"]);
    // Containers of wasm are gone with the agent.
    assert_eq!(next(before, Vec::new()), ["rerun after init/0 main/0 done/0 watch/0"]);
    assert_eq!(next(after, Vec::new()), ["launch init/1"]);
}
