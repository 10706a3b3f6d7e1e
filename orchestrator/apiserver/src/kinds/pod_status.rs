//! What `kubectl get pods` says about a Pod: READY, STATUS and RESTARTS.
//!
//! STATUS is the most telling of: the phase, why a container waits or ended, how far initialization is, and whether
//! the Pod is being deleted.

use jiff::Timestamp;
use wherry_schema::Value;

use super::pod_restarts;
use crate::object::{self, Fields};
use crate::table;
use crate::validation::net::check_ip;
use crate::validation::values::IMMUTABLE;
use crate::validation::{Errors, Path, names};

/// The cells that need a look at every container.
pub(super) struct Summary {
    /// `1/2`.
    pub(super) ready: String,
    /// `Running`, `CrashLoopBackOff`, `Init:0/1`.
    pub(super) status: String,
    /// `3 (5s ago)`.
    pub(super) restarts: String,
}

/// The rules of a change of a Pod's status.
pub(super) fn check(object: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("status");
    let node = object.text("status.nominatedNodeName");
    if !node.is_empty() {
        errors.problems(&path.child("nominatedNodeName"), node, names::subdomain(node));
    }
    let quality = object.text("status.qosClass");
    if !old.text("status.qosClass").is_empty() && quality != old.text("status.qosClass") {
        errors.invalid(&path.child("qosClass"), quality, IMMUTABLE);
    }
    for list in ["containerStatuses", "initContainerStatuses"] {
        check_transitions(object, old, list, &path.child(list), errors);
    }
    for list in ["podIPs", "hostIPs"] {
        let addresses = object.items(&format!("status.{list}"));
        for (index, address) in addresses.iter().enumerate() {
            check_ip(address.text("ip"), None, &path.child(list).index(index), errors);
        }
    }
}

/// What has ended for good does not run again.
fn check_transitions(object: &Value, old: &Value, list: &str, path: &Path, errors: &mut Errors) {
    if pod_restarts::may_restart_all(object) {
        return;
    }
    let list = format!("status.{list}");
    for (index, before) in old.items(&list).iter().enumerate() {
        let Some(code) = before.int("state.terminated.exitCode") else { continue };
        if pod_restarts::restarts(object, before.text("name"), code) {
            continue;
        }
        let now = object.items(&list).iter().find(|c| c.text("name") == before.text("name"));
        if now.is_some_and(|now| !now.has("state.terminated")) {
            let detail = "may not be transitioned to non-terminated state";
            errors.forbidden(&path.index(index).child("state"), detail);
        }
    }
}

/// The first address is also told by itself.
pub(super) fn settle_addresses(object: &mut Value) {
    let first = object.text("status.podIP").to_owned();
    let listed = object.items("status.podIPs").first().map(|ip| ip.text("ip").to_owned());
    match (first.is_empty(), listed) {
        (true, Some(listed)) => object.put("status.podIP", listed),
        (false, listed) if listed.as_ref() != Some(&first) => {
            let mut address = Value::object();
            address.put("ip", first);
            object.put("status.podIPs", vec![address]);
        }
        _ => {}
    }
}

/// Restarts and when the last container ended.
#[derive(Default, Clone)]
struct Restarts {
    count: i64,
    last: String,
}

impl Restarts {
    fn add(&mut self, container: &Value) {
        self.count += container.int("restartCount").unwrap_or(0);
        // Timestamps of one format compare as text.
        let finished = container.text("lastState.terminated.finishedAt");
        if finished > self.last.as_str() {
            finished.clone_into(&mut self.last);
        }
    }

    fn show(&self, now: Timestamp) -> String {
        if self.count == 0 || self.last.is_empty() {
            return self.count.to_string();
        }
        format!("{} ({} ago)", self.count, table::since(&self.last, now))
    }
}

/// What the init containers amount to.
struct Init {
    /// Why the Pod is still initializing.
    reason: Option<String>,
    ready: usize,
    restarts: Restarts,
    sidecar_restarts: Restarts,
}

/// Looks at a Pod.
pub(super) fn summarize(pod: &Value, now: Timestamp) -> Summary {
    let init = initialization(pod);
    let total = pod.items("spec.containers").len()
        + pod.items("spec.initContainers").iter().filter(|c| is_sidecar(c)).count();
    let mut status = phase(pod);
    let (mut ready, mut restarts) = (init.ready, init.restarts);
    let initialized = condition(pod, "Initialized").is_some_and(|c| c.text("status") == "True");
    let initializing = init.reason.is_some();
    if let Some(reason) = init.reason {
        status = reason;
    }
    if !initializing || initialized {
        restarts = init.sidecar_restarts;
        let mut running = false;
        for container in pod.items("status.containerStatuses").iter().rev() {
            restarts.add(container);
            if let Some(reason) = container_reason(container) {
                status = reason;
            } else if container.flag("ready") && container.has("state.running") {
                running = true;
                ready += 1;
            }
        }
        if status == "Completed" && running {
            let pod_ready = condition(pod, "Ready").is_some_and(|c| c.text("status") == "True");
            if pod_ready { "Running" } else { "NotReady" }.clone_into(&mut status);
        }
    }
    if object::terminating(pod) {
        if pod.text("status.reason") == "NodeLost" {
            "Unknown".clone_into(&mut status);
        } else if !matches!(pod.text("status.phase"), "Failed" | "Succeeded") {
            "Terminating".clone_into(&mut status);
        }
    }
    Summary { ready: format!("{ready}/{total}"), status, restarts: restarts.show(now) }
}

fn phase(pod: &Value) -> String {
    let gated = condition(pod, "PodScheduled").is_some_and(|c| c.text("reason") == "SchedulingGated");
    if gated {
        return "SchedulingGated".to_owned();
    }
    let reason = pod.text("status.reason");
    if reason.is_empty() { pod.text("status.phase") } else { reason }.to_owned()
}

fn condition<'a>(pod: &'a Value, kind: &str) -> Option<&'a Value> {
    pod.items("status.conditions").iter().find(|c| c.text("type") == kind)
}

fn is_sidecar(container: &Value) -> bool {
    container.text("restartPolicy") == "Always"
}

fn initialization(pod: &Value) -> Init {
    let specs = pod.items("spec.initContainers");
    let mut init =
        Init { reason: None, ready: 0, restarts: Restarts::default(), sidecar_restarts: Restarts::default() };
    for (index, container) in pod.items("status.initContainerStatuses").iter().enumerate() {
        init.restarts.add(container);
        let sidecar = specs.iter().any(|s| is_sidecar(s) && s.text("name") == container.text("name"));
        if sidecar {
            init.sidecar_restarts.add(container);
        }
        let terminated = container.field("state.terminated");
        if terminated.is_some_and(|t| t.int("exitCode").unwrap_or(0) == 0) {
            continue;
        }
        if sidecar && container.flag("started") {
            init.ready += usize::from(container.flag("ready"));
            continue;
        }
        init.reason = Some(match terminated {
            Some(terminated) => format!("Init:{}", ended(terminated)),
            None => match container.text("state.waiting.reason") {
                "" | "PodInitializing" => format!("Init:{index}/{}", specs.len()),
                reason => format!("Init:{reason}"),
            },
        });
        break;
    }
    init
}

/// Why a container waits or ended, if it does not run.
fn container_reason(container: &Value) -> Option<String> {
    let waiting = container.text("state.waiting.reason");
    if !waiting.is_empty() {
        return Some(waiting.to_owned());
    }
    container.field("state.terminated").map(ended)
}

fn ended(terminated: &Value) -> String {
    let reason = terminated.text("reason");
    if !reason.is_empty() {
        return reason.to_owned();
    }
    match terminated.int("signal").filter(|s| *s != 0) {
        Some(signal) => format!("Signal:{signal}"),
        None => format!("ExitCode:{}", terminated.int("exitCode").unwrap_or(0)),
    }
}

/// How many readiness gates are open.
pub(super) fn readiness_gates(pod: &Value) -> String {
    let gates = pod.items("spec.readinessGates");
    if gates.is_empty() {
        return "<none>".to_owned();
    }
    let open = |gate: &&Value| {
        condition(pod, gate.text("conditionType")).is_some_and(|c| c.text("status") == "True")
    };
    format!("{}/{}", gates.iter().filter(open).count(), gates.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cells(json: &str) -> (String, String, String) {
        let pod = Value::from_json(json.as_bytes()).unwrap();
        let now = "2024-01-01T00:01:00Z".parse().unwrap();
        let summary = summarize(&pod, now);
        (summary.ready, summary.status, summary.restarts)
    }

    fn expect(json: &str, ready: &str, status: &str, restarts: &str) {
        assert_eq!(cells(json), (ready.to_owned(), status.to_owned(), restarts.to_owned()));
    }

    #[test]
    fn a_new_pod_shows_its_phase() {
        expect(r#"{"spec":{"containers":[{}]},"status":{"phase":"Pending"}}"#, "0/1", "Pending", "0");
    }

    #[test]
    fn a_crashing_container_shows_why_it_waits_and_when_it_ended() {
        expect(
            r#"{"spec":{"containers":[{}]},"status":{"phase":"Running","containerStatuses":[{"restartCount":3,
              "state":{"waiting":{"reason":"CrashLoopBackOff"}},
              "lastState":{"terminated":{"finishedAt":"2024-01-01T00:00:55Z"}}}]}}"#,
            "0/1",
            "CrashLoopBackOff",
            "3 (5s ago)",
        );
    }

    #[test]
    fn initialization_shows_how_far_it_is() {
        expect(
            r#"{"spec":{"containers":[{}],"initContainers":[{"name":"a"},{"name":"b"}]},
              "status":{"phase":"Pending","initContainerStatuses":[
                {"name":"a","state":{"terminated":{"exitCode":0}}},{"name":"b","state":{"running":{}}}]}}"#,
            "0/1",
            "Init:1/2",
            "0",
        );
    }

    #[test]
    fn a_failed_init_container_shows_its_exit_code() {
        expect(
            r#"{"spec":{"containers":[{}],"initContainers":[{"name":"a"}]},
              "status":{"phase":"Pending","initContainerStatuses":[{"name":"a","state":{"terminated":{"exitCode":2}}}]}}"#,
            "0/1",
            "Init:ExitCode:2",
            "0",
        );
    }

    #[test]
    fn a_pod_being_deleted_is_terminating_unless_it_has_ended() {
        let pod = |phase: &str| {
            format!(
                r#"{{"metadata":{{"deletionTimestamp":"2024-01-01T00:00:00Z"}},"spec":{{"containers":[{{}}]}},"status":{{"phase":"{phase}"}}}}"#
            )
        };
        expect(&pod("Running"), "0/1", "Terminating", "0");
        expect(&pod("Succeeded"), "0/1", "Succeeded", "0");
    }

    #[test]
    fn one_container_done_and_one_running_is_running_or_not_ready() {
        let pod = |ready: &str| {
            format!(
                r#"{{"spec":{{"containers":[{{}},{{}}]}},"status":{{"phase":"Running",
                "conditions":[{{"type":"Ready","status":"{ready}"}}],"containerStatuses":[
                {{"state":{{"terminated":{{"exitCode":0,"reason":"Completed"}}}}}},
                {{"ready":true,"state":{{"running":{{}}}}}}]}}}}"#
            )
        };
        expect(&pod("True"), "1/2", "Running", "0");
        expect(&pod("False"), "1/2", "NotReady", "0");
    }
}
