//! Statuses as kubelet would report them.

use rstest::rstest;

use super::super::memory::Failure;
use super::*;

fn status(scene: &Scene) -> Value {
    serde_json::to_value(scene.plan().status).unwrap()
}

fn condition(status: &Value, name: &str) -> Value {
    let conditions = status["conditions"].as_array().unwrap();
    conditions.iter().find(|condition| condition["type"] == name).cloned().unwrap()
}

#[test]
fn a_running_pod_golden() {
    let scene = Scene::prepared(pod()).with(vec![running("main", 0)]);
    let time = at(0).to_string();
    let met = |name: &str| json!({ "type": name, "status": "True", "lastTransitionTime": time, "observedGeneration": 1 });
    let expected = json!({
        "phase": "Running",
        "observedGeneration": 1,
        "hostIP": "192.0.2.1",
        "hostIPs": [{ "ip": "192.0.2.1" }],
        "podIP": "10.244.0.5",
        "podIPs": [{ "ip": "10.244.0.5" }],
        "startTime": time,
        "qosClass": "BestEffort",
        "conditions": [
            met("PodReadyToStartContainers"), met("Initialized"), met("Ready"), met("ContainersReady"), met("PodScheduled"),
        ],
        "containerStatuses": [{
            "name": "main", "image": "app:v1", "imageID": "r/app@sha256:d", "containerID": "wasmtime://u-1_main_0",
            "ready": true, "started": true, "restartCount": 0, "lastState": {}, "resources": {},
            "state": { "running": { "startedAt": time } },
        }],
    });
    assert_eq!(status(&scene), expected);
}

#[test]
fn a_new_pod_is_pending_and_says_what_is_missing() {
    let status = status(&Scene::new(pod()));
    assert_eq!(status["phase"], "Pending");
    assert_eq!(status["containerStatuses"][0]["state"]["waiting"], json!({ "reason": "ContainerCreating" }));
    let ready = condition(&status, "Ready");
    assert_eq!((&ready["status"], &ready["reason"]), (&json!("False"), &json!("ContainersNotReady")));
    assert_eq!(ready["message"], "containers with unready status: [main]");
    assert_eq!(condition(&status, "PodReadyToStartContainers")["status"], "False");
}

#[test]
fn while_init_containers_run_the_others_are_initializing() {
    let pod = pod_with(
        json!({ "initContainers": [{ "name": "a" }, { "name": "b" }], "containers": [{ "name": "c" }] }),
    );
    let status = status(&Scene::prepared(pod).with(vec![exited("a", 0, 0, 1), running("b", 0)]));
    assert_eq!(status["phase"], "Pending");
    assert_eq!(status["initContainerStatuses"][0]["ready"], true);
    assert_eq!(status["initContainerStatuses"][0]["state"]["terminated"]["reason"], "Completed");
    assert_eq!(status["containerStatuses"][0]["state"]["waiting"]["reason"], "PodInitializing");
    let initialized = condition(&status, "Initialized");
    assert_eq!(initialized["message"], "containers with incomplete status: [b]");
    assert_eq!(initialized["reason"], "ContainersNotInitialized");
}

#[rstest]
#[case("ErrImagePull", 1, "ErrImagePull", "no such image")]
#[case(
    "ErrImagePull",
    3,
    "ImagePullBackOff",
    "Back-off pulling image \"app:v1\": ErrImagePull: no such image"
)]
#[case(
    "SignatureValidationFailed",
    3,
    "ImagePullBackOff",
    "Back-off pulling image \"app:v1\": SignatureValidationFailed: no such image"
)]
#[case("InvalidImageName", 3, "InvalidImageName", "no such image")]
#[case("ErrImageNeverPull", 3, "ErrImageNeverPull", "no such image")]
fn an_image_failure_is_shown(
    #[case] failed: &'static str,
    #[case] now: i64,
    #[case] reason: &str,
    #[case] message: &str,
) {
    let mut scene = Scene::prepared(pod()).at(now);
    let refusal = (failed, "no such image".to_owned());
    scene.memory.container("main").image = Failure::after(None, refusal, at(0), |_| Duration::from_secs(10));
    let waiting = status(&scene)["containerStatuses"][0]["state"]["waiting"].clone();
    assert_eq!(waiting, json!({ "reason": reason, "message": message }));
}

#[test]
fn containers_that_mount_the_volume_wait_for_its_image() {
    let volumes = json!([{ "name": "data", "image": { "reference": "data:v1" } }]);
    let mounts = json!([{ "name": "data", "mountPath": "/data" }]);
    let containers = json!([{ "name": "a", "volumeMounts": mounts }, { "name": "b" }]);
    let mut scene = Scene::prepared(pod_with(json!({ "volumes": volumes, "containers": containers }))).at(1);
    scene.memory.image_volume = Some("data".to_owned());
    let refusal = ("ErrImagePull", "no such image".to_owned());
    scene.memory.volumes = Failure::after(None, refusal, at(0), |_| Duration::from_secs(10));
    let waiting = |scene: &Scene| {
        let status = status(scene);
        [0, 1].map(|index| status["containerStatuses"][index]["state"]["waiting"].clone())
    };
    let other = json!({ "reason": "ContainerCreating" });
    let expected = json!({ "reason": "ErrImagePull", "message": "no such image" });
    assert_eq!(waiting(&scene), [expected, other.clone()]);
    scene.memory.image_volume = None;
    assert_eq!(waiting(&scene), [other.clone(), other]);
}

#[test]
fn a_crash_loop_is_shown_with_how_it_ended() {
    let mut scene = Scene::prepared(pod()).with(vec![exited("main", 1, 3, 20)]).at(21);
    for time in [0, 10] {
        scene.memory.container("main").backoff.advance(at(time), at(time), LONGEST);
    }
    let status = status(&scene);
    let main = &status["containerStatuses"][0];
    assert_eq!(
        main["state"]["waiting"],
        json!({ "reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container=main pod=web_shop(u-1)" })
    );
    let last = &main["lastState"]["terminated"];
    assert_eq!((&last["exitCode"], &last["reason"]), (&json!(3), &json!("Error")));
    assert_eq!(last["containerID"], "wasmtime://u-1_main_1");
    assert_eq!((&main["restartCount"], &status["phase"]), (&json!(1), &json!("Running")));
}

#[rstest]
#[case(0, "Succeeded", "PodCompleted")]
#[case(2, "Failed", "PodFailed")]
fn an_ended_pod_says_how(#[case] code: i32, #[case] phase: &str, #[case] reason: &str) {
    let pod = pod_with(json!({ "restartPolicy": "Never", "containers": [{ "name": "main" }] }));
    let status = status(&Scene::prepared(pod).with(vec![exited("main", 0, code, 1)]));
    assert_eq!(status["phase"], phase);
    assert_eq!(condition(&status, "Ready")["reason"], reason);
    assert_eq!(condition(&status, "PodReadyToStartContainers")["status"], "False");
    assert_eq!(status["podIP"], "10.244.0.5");
}

#[test]
fn probes_decide_over_started_and_ready() {
    let pod = || {
        let probe = json!({ "tcpSocket": { "port": 80 } });
        pod_with(
            json!({ "containers": [{ "name": "main", "startupProbe": probe, "readinessProbe": probe }] }),
        )
    };
    let flags = |started, ready| {
        let mut scene = Scene::prepared(pod()).with(vec![running("main", 0)]);
        scene.memory.container("main").probes.started = started;
        scene.memory.container("main").probes.ready = ready;
        let status = status(&scene);
        let main = status["containerStatuses"][0].clone();
        (main["started"] == true, main["ready"] == true, condition(&status, "Ready")["status"] == "True")
    };
    assert_eq!(flags(false, true), (false, false, false));
    assert_eq!(flags(true, false), (true, false, false));
    assert_eq!(flags(true, true), (true, true, true));
}

#[test]
fn readiness_gates_are_waited_for() {
    let mut gated = pod_with(json!({ "containers": [{ "name": "main" }],
        "readinessGates": [{ "conditionType": "example.com/gate" }] }));
    let scene = Scene::prepared(gated.clone()).with(vec![running("main", 0)]);
    let before = status(&scene);
    assert_eq!(condition(&before, "ContainersReady")["status"], "True");
    assert_eq!(condition(&before, "Ready")["reason"], "ReadinessGatesNotReady");
    gated.status =
        serde_json::from_value(json!({ "conditions": [{ "type": "example.com/gate", "status": "True" }] }))
            .unwrap();
    let scene = Scene::prepared(gated).with(vec![running("main", 0)]);
    assert_eq!(condition(&status(&scene), "Ready")["status"], "True");
}

#[test]
fn a_pod_this_node_does_not_take_fails_and_nothing_of_it_is_set_up() {
    let forbidden = json!({
        "securityContext": { "sysctls": [{ "name": "kernel.msgmax", "value": "1" }] },
        "containers": [{ "name": "main", "image": "app:v1" }],
    });
    let scene = Scene::new(pod_with(forbidden.clone()));
    assert_eq!(scene.plan().actions, [Action::TearDown]);
    let rejected = status(&scene);
    assert_eq!((&rejected["phase"], &rejected["reason"]), (&json!("Failed"), &json!("SysctlForbidden")));
    assert_eq!(rejected["message"], "Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted");
    // What ran was taken once, and goes on whatever the node would say now.
    let runs = Scene::prepared(pod_with(forbidden)).with(vec![running("main", 0)]);
    assert_eq!(status(&runs)["phase"], "Running");
}

/// What a rule of `RestartAllContainers` does is seen as it is done.
#[test]
fn all_containers_are_shown_to_begin_anew() {
    let rule = json!({ "action": "RestartAllContainers", "exitCodes": { "operator": "In", "values": [42] } });
    let pod = pod_with(json!({
        "restartPolicy": "Never",
        "initContainers": [{ "name": "init" }],
        "containers": [{ "name": "main", "restartPolicy": "Never", "restartPolicyRules": [rule] }],
    }));
    let mut scene = Scene::prepared(pod).with(vec![exited("init", 0, 0, 1), running("main", 0)]).at(4);
    scene.memory.reported = scene.plan().status;
    let restarting = |scene: &Scene| {
        let condition = condition(&status(scene), "AllContainersRestarting");
        (condition["status"].clone(), condition["reason"].clone(), condition["message"].clone())
    };
    assert_eq!(restarting(&scene), (json!("False"), Value::Null, Value::Null));
    scene.containers[1] = exited("main", 0, 42, 3);
    let started = ("True", "RestartAllContainersStarted", "container exited with restart policy rule");
    assert_eq!(restarting(&scene), (json!(started.0), json!(started.1), json!(started.2)));
    assert_eq!(status(&scene)["containerStatuses"][0]["state"]["terminated"]["exitCode"], 42);
    for name in ["init", "main"] {
        scene.memory.container(name).before_rerun = Some(0);
    }
    assert_eq!(restarting(&scene).0, "False");
    let shown = status(&scene);
    assert_eq!(shown["phase"], "Pending");
    assert_eq!(shown["initContainerStatuses"][0]["ready"], false);
    for list in ["initContainerStatuses", "containerStatuses"] {
        assert_eq!(shown[list][0]["state"]["waiting"]["reason"], "PodInitializing", "{list}");
    }
    assert_eq!(shown["containerStatuses"][0]["lastState"]["terminated"]["exitCode"], 42);
    assert_eq!(shown["containerStatuses"][0]["restartCount"], 0);
    assert_eq!(condition(&shown, "Initialized")["status"], "True", "it was, and stays so");
    scene = scene.with(vec![exited("init", 1, 0, 5), exited("main", 1, 1, 6)]);
    assert_eq!(status(&scene)["phase"], "Failed");
    assert_eq!(restarting(&scene).1, "PodFailed");
}
