//! Tests of single plans: what a DaemonSet needs next on its nodes, and its status.

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::daemon_set::pod::new_pod;
use crate::daemon_set::status::status;

pub(super) fn now() -> Timestamp {
    Timestamp::from_second(1_000_000).unwrap()
}

pub(super) fn set(strategy: &Value) -> DaemonSet {
    serde_json::from_value(json!({
        "metadata": {"name": "agent", "namespace": "ns", "uid": "set", "generation": 2},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}}, "updateStrategy": strategy, "minReadySeconds": 10,
            "template": {"metadata": {"labels": {"app": "agent"}}, "spec": {"containers": []}},
        },
    }))
    .unwrap()
}

pub(super) fn rolling(unavailable: &Value, surge: &Value) -> Value {
    json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": unavailable, "maxSurge": surge}})
}

/// A node in words: its name, then `x` for a label that keeps Pods away, `t` for a taint against new Pods, `e` for one
/// against all Pods.
pub(super) fn node(words: &str) -> Arc<Node> {
    let (name, marks) = words.split_once(':').unwrap_or((words, ""));
    let taint = |effect: &str| json!({"key": "k", "effect": effect});
    let taints: Vec<_> = marks
        .chars()
        .filter_map(|mark| match mark {
            't' => Some(taint("NoSchedule")),
            'e' => Some(taint("NoExecute")),
            _ => None,
        })
        .collect();
    let node = json!({"metadata": {"name": name}, "spec": {"taints": taints}});
    Arc::new(serde_json::from_value(node).unwrap())
}

/// A Pod in words: `a:ready`, `a:ready@old`, `a:waiting` (not bound); more than one on a node are numbered in order.
pub(super) fn pod(set: &DaemonSet, number: usize, words: &str) -> Arc<Pod> {
    let (words, of) = words.split_once('@').unwrap_or((words, "new"));
    let (node, state) = words.split_once(':').unwrap();
    let mut pod = new_pod(set, node, of);
    pod.metadata.name = Some(format!("p{number}"));
    pod.metadata.uid = Some(format!("p{number}"));
    if state != "waiting" {
        pod.spec.as_mut().unwrap().node_name = Some(node.to_owned());
    }
    let phase = match state {
        "waiting" => "Pending",
        "failed" => "Failed",
        "succeeded" => "Succeeded",
        _ => "Running",
    };
    let age = if state == "fresh" { 5 } else { 500 };
    let since = now().checked_sub(Duration::from_secs(age)).unwrap().to_string();
    let ready = if matches!(state, "ready" | "fresh" | "going") { "True" } else { "False" };
    let ready = json!({"type": "Ready", "status": ready, "lastTransitionTime": since});
    pod.status = serde_json::from_value(json!({"phase": phase, "conditions": [ready]})).unwrap();
    if state == "going" {
        pod.metadata.deletion_timestamp = Some(serde_json::from_value(json!(now().to_string())).unwrap());
    }
    Arc::new(pod)
}

struct Case {
    set: DaemonSet,
    nodes: Vec<Arc<Node>>,
    pods: Vec<Arc<Pod>>,
}

impl Case {
    fn new(strategy: &Value, nodes: &str, pods: &str) -> Self {
        let set = set(strategy);
        let nodes = nodes.split_whitespace().map(node).collect();
        let pods =
            pods.split_whitespace().enumerate().map(|(number, words)| pod(&set, number, words)).collect();
        Self { set, nodes, pods }
    }

    fn world(&self) -> World<'_> {
        World { set: &self.set, hash: "new", nodes: &self.nodes, pods: &self.pods, now: now() }
    }
}

fn words(plan: &Plan) -> String {
    let names = |pods: &[Arc<Pod>]| pods.iter().map(|pod| pod.name_any()).collect::<Vec<_>>();
    let mut words: Vec<_> = plan.create.iter().map(|node| format!("+{node}")).collect();
    words.extend(names(&plan.delete).into_iter().map(|name| format!("-{name}")));
    words.extend(names(&plan.ended).into_iter().map(|name| format!("!{name}")));
    words.join(" ")
}

#[rstest]
#[case::one_each("a b", "", "+a +b")]
#[case::settled("a b", "a:ready b:running", "")]
#[case::on_its_way("a", "a:waiting", "")]
#[case::not_where_taints_forbid("a:t b", "", "+b")]
#[case::but_it_may_stay("a:t", "a:ready", "")]
#[case::unless_driven_away("a:e", "a:ready", "-p0")]
#[case::one_that_goes_is_waited_for("a", "a:going", "")]
#[case::the_oldest_stays("a", "a:ready a:ready", "-p1")]
#[case::the_bound_one_stays("a", "a:waiting a:ready", "-p0")]
#[case::ended("a b", "a:failed b:succeeded", "!p0 !p1")]
#[case::bound_for_a_node_that_is_gone("a", "a:ready b:waiting c:ready", "-p1")]
fn manages(#[case] nodes: &str, #[case] pods: &str, #[case] expected: &str) {
    let case = Case::new(&rolling(&json!(1), &json!(0)), nodes, pods);
    assert_eq!(words(&manage(&case.world())), expected);
}

#[rstest]
#[case::beside_an_old_one("a", "a:ready@old a:running", "")]
#[case::until_it_serves("a", "a:ready@old a:ready", "-p0")]
#[case::or_the_old_one_does_not("a", "a:running@old a:running", "-p0")]
#[case::not_three("a", "a:ready@old a:running a:running", "-p2")]
#[case::a_new_one_if_all_go("a", "a:going@old", "+a")]
fn manages_while_surging(#[case] nodes: &str, #[case] pods: &str, #[case] expected: &str) {
    let case = Case::new(&rolling(&json!(0), &json!(1)), nodes, pods);
    assert_eq!(words(&manage(&case.world())), expected);
}

#[rstest]
#[case::one_at_a_time(json!(1), json!(0), "a:ready@old b:ready@old c:ready@old", "-p0")]
#[case::two_at_a_time(json!(2), json!(0), "a:ready@old b:ready@old c:ready@old", "-p0 -p1")]
#[case::percent_rounds_up(json!("34%"), json!(0), "a:ready@old b:ready@old c:ready@old", "-p0 -p1")]
#[case::waits_until_it_serves(json!(1), json!(0), "a:fresh b:ready@old c:ready@old", "")]
#[case::goes_on(json!(1), json!(0), "a:ready b:ready@old c:ready@old", "-p1")]
#[case::broken_ones_at_once(json!(1), json!(0), "a:running@old b:running@old c:ready@old", "-p0 -p1")]
#[case::a_missing_one_counts(json!(1), json!(0), "b:ready@old c:ready@old", "")]
#[case::nothing_allowed_is_one(json!(0), json!(0), "a:ready@old b:ready@old c:ready@old", "-p0")]
#[case::surges(json!(0), json!(1), "a:ready@old b:ready@old c:ready@old", "+a")]
#[case::surges_by_two(json!(0), json!("50%"), "a:ready@old b:ready@old c:ready@old", "+a +b")]
#[case::surging_waits(json!(0), json!(1), "a:ready@old a:running b:ready@old c:ready@old", "")]
#[case::surging_goes_on(json!(0), json!(1), "a:ready@old a:ready b:ready@old c:ready@old", "+b -p0")]
#[case::broken_ones_are_joined(json!(0), json!(1), "a:ready@old b:running@old c:ready@old", "+b +a")]
fn rolls(#[case] unavailable: Value, #[case] surge: Value, #[case] pods: &str, #[case] expected: &str) {
    let case = Case::new(&rolling(&unavailable, &surge), "a b c", pods);
    assert_eq!(words(&roll(&case.world())), expected);
}

#[test]
fn on_delete_does_not_roll() {
    let case = Case::new(&json!({"type": "OnDelete"}), "a", "a:ready@old");
    assert_eq!(words(&roll(&case.world())), "");
}

#[test]
fn the_status_counts_nodes() {
    let pods = "a:ready b:fresh@old c:ready e:ready gone:ready";
    let mut case = Case::new(&rolling(&json!(1), &json!(0)), "a b c:t d e:e", pods);
    let told = status(&case.world(), true);
    assert_eq!((told.desired_number_scheduled, told.current_number_scheduled), (3, 2));
    assert_eq!((told.number_ready, told.number_available, told.number_unavailable), (2, Some(1), Some(2)));
    assert_eq!((told.updated_number_scheduled, told.number_misscheduled), (Some(1), 2));
    assert_eq!(told.observed_generation, Some(2));
    assert_eq!(next_available(&case.world()), Some(Duration::from_secs(5)));
    case.set.status = Some(told);
    case.set.metadata.generation = Some(3);
    let told = status(&case.world(), false).observed_generation;
    assert_eq!(told, Some(2), "what was not acted on was not observed");
}

#[test]
fn a_pod_can_go_to_its_node_only_and_tolerates_what_befalls_nodes() {
    let mut set = set(&json!({}));
    let annotations = set.metadata.annotations.get_or_insert_default();
    annotations.insert("deprecated.daemonset.template.generation".into(), "4".into());
    let template = set.spec.as_mut().unwrap().template.spec.as_mut().unwrap();
    template.host_network = Some(true);
    template.affinity = serde_json::from_value(json!({"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": []}]},
    }}))
    .unwrap();
    let pod = serde_json::to_value(new_pod(&set, "n1", "hash")).unwrap();
    let labels = json!({"app": "agent", "pod-template-generation": "4", "controller-revision-hash": "hash"});
    assert_eq!(pod["metadata"]["labels"], labels);
    assert_eq!(pod["metadata"]["generateName"], "agent-");
    let terms = json!([{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]);
    let required =
        "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";
    assert_eq!(pod.pointer(required), Some(&terms));
    let keys: Vec<_> =
        pod["spec"]["tolerations"].as_array().unwrap().iter().map(|held| held["key"].clone()).collect();
    assert_eq!(keys.len(), 7, "{keys:?}");
    assert_eq!(keys[6], "node.kubernetes.io/network-unavailable");
}
