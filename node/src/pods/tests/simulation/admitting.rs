//! Pods whose containers are to have something for themselves.

use super::*;
use crate::resource_managers::CpuPolicy;

/// A node of which each machine has all processors but the first to give away; none of it starts anything.
fn with_processors() -> Node {
    let mut node = Node::new(true);
    node.resources.cpu_policy = CpuPolicy::Static;
    node.resources.reserved_cpus = Some("0".parse().unwrap());
    node
}

/// A Guaranteed pod that wants so many processors for itself.
fn wanting(cpus: usize) -> Value {
    let mut spec = one("busybox:v1");
    spec["containers"][0]["resources"] = json!({"limits": {"cpu": cpus.to_string(), "memory": "1Mi"}});
    spec
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_cannot_have_its_processors_fails_before_anything_of_it_starts() {
    let mut node = with_processors();
    node.start().await;
    node.create(wanting(4096));
    let pod = node.api.wait_for(POD, |pod| pod["status"]["phase"] == "Failed").await;
    assert_eq!(pod["status"]["reason"], "UnexpectedAdmissionError");
    let message = node.api.wait_event("UnexpectedAdmissionError").await;
    let begin =
        "Allocate failed due to not enough cpus available to satisfy request: requested=4096, available=";
    assert!(message.starts_with(begin) && message.ends_with(", which is unexpected"), "{message}");
    assert_eq!(pod["status"]["message"], format!("Pod was rejected: {message}"));
    assert!(node.runc.created().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_pod_keeps_its_processors_when_its_agent_starts_again() {
    let mut node = with_processors();
    node.start().await;
    let all = crate::resource_managers::processors();
    let Some(last) = all.iter().filter(|cpu| *cpu > 0).min() else { return };
    node.create(wanting(1));
    node.wait_ready().await;
    assert_eq!(node.runc.created()[0].cpus, Some([last].into_iter().collect()));
    node.stop().await;
    node.start().await;
    let state = node.dir.path().join("cpu_manager_state");
    let text = std::fs::read_to_string(&state).unwrap();
    assert!(text.contains(&format!(r#""entries":{{"u-1":{{"main":"{last}"}}}}"#)), "{text}");
    node.delete(0);
    node.api.wait_gone(POD).await;
    assert!(std::fs::read_to_string(&state).unwrap().contains(r#""entries":{}"#));
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_what_one_has_that_is_going() {
    let mut node = with_processors();
    let all = crate::resource_managers::processors();
    let wanted = all.len() - 1;
    if wanted == 0 {
        return;
    }
    let kept = json!({"policyName": "static", "defaultCpuSet": "0", "entries": {"u-0": {"main": all.iter().filter(|cpu| *cpu > 0).map(|cpu| cpu.to_string()).collect::<Vec<_>>().join(",")}}});
    std::fs::write(node.dir.path().join("cpu_manager_state"), kept.to_string()).unwrap();
    node.create(wanting(wanted));
    node.start().await;
    let pod = node.wait_ready().await;
    assert_eq!(pod["status"]["phase"], "Running", "nothing was left of the pod that had them");
    assert_eq!(node.runc.created()[0].cpus.as_ref().map(wherry_runtime_api::CpuSet::len), Some(wanted));
}
