//! Tests of who has to end, where, and of the words that say why nobody does.

use std::sync::Arc;

use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::cycle::{Scratch, schedule};

/// A Pod of this priority that asks for this much CPU and runs since this minute.
fn pod(name: &str, priority: i32, cpu: &str, minute: u32) -> Value {
    json!({
        "metadata": { "name": name, "uid": name, "namespace": "ns", "labels": { "app": name } },
        "spec": { "priority": priority, "containers": [{ "name": "c", "resources": { "requests": { "cpu": cpu } } }] },
        "status": { "startTime": format!("2026-01-01T00:{minute:02}:00Z") },
    })
}

fn info(object: &Value) -> PodInfo {
    PodInfo::new(Arc::new(serde_json::from_value(object.clone()).unwrap()))
}

/// Nodes of 4 CPUs with their Pods.
fn cluster(nodes: &[(&str, Vec<Value>)]) -> Cluster {
    let mut cluster = Cluster::default();
    for (name, pods) in nodes {
        let node = json!({
            "metadata": { "name": name },
            "status": { "allocatable": { "cpu": "4", "memory": "4Gi", "pods": "10" } },
        });
        cluster.set_node(&serde_json::from_value(node).unwrap());
        for pod in pods {
            cluster.set_pod(&info(pod), name);
        }
    }
    cluster
}

/// A budget for Pods with this label that lets so many go.
fn budget(app: &str, allowed: i32) -> PodDisruptionBudget {
    serde_json::from_value(json!({
        "metadata": { "name": app, "namespace": "ns" },
        "spec": { "selector": { "matchLabels": { "app": app } } },
        "status": { "disruptionsAllowed": allowed, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1 },
    }))
    .unwrap()
}

struct Given {
    cluster: Cluster,
    budgets: Budgets,
    ending: HashSet<String>,
    nominated: Option<&'static str>,
}

impl Given {
    fn new(cluster: Cluster) -> Self {
        Self { cluster, budgets: Budgets::default(), ending: HashSet::new(), nominated: None }
    }

    fn plan(&mut self, pod: &PodInfo) -> Plan {
        let profile = Profile::new("default-scheduler".to_owned());
        let refused = schedule(pod, &mut self.cluster, &profile, &mut Scratch::default(), |_| 0).unwrap_err();
        let nominated = self.nominated.and_then(|node| self.cluster.node_named(node));
        let mut world = World {
            cluster: &mut self.cluster,
            scratch: &mut Scratch::default(),
            profile: &profile,
            budgets: &self.budgets,
            nominated,
            ending: &self.ending,
            now: "2026-01-01T01:00:00Z".parse().unwrap(),
            args: Args::default(),
        };
        plan(pod, &refused, &mut world, |_| 0)
    }

    /// The node and who ends there.
    fn ended(&mut self, pod: &PodInfo) -> (String, Vec<String>) {
        match self.plan(pod) {
            Plan::End { node, victims } => {
                let names = victims.pods.iter().map(|victim| victim.name.to_string()).collect();
                (self.cluster.node(node).name.clone(), names)
            }
            other => panic!("{other:?}"),
        }
    }
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn no_more_pods_end_than_must() {
    let pods = vec![pod("a", 1, "1", 0), pod("b", 2, "2", 0), pod("c", 1, "1", 5)];
    let mut given = Given::new(cluster(&[("n", pods)]));
    assert_eq!(given.ended(&info(&pod("p", 9, "1", 0))).1, names(&["c"]), "of equals who runs for less");
    assert_eq!(given.ended(&info(&pod("p", 9, "2", 0))).1, names(&["a", "c"]), "before one of more priority");
    assert_eq!(given.ended(&info(&pod("p", 9, "4", 0))).1, names(&["b", "a", "c"]));
    assert_eq!(given.ended(&info(&pod("p", 2, "2", 0))).1, names(&["a", "c"]), "only those below");
}

#[rstest]
#[case::fewest_violations(vec![pod("held", 1, "4", 0)], vec![pod("high", 5, "4", 0)], "b")]
#[case::lowest_highest(vec![pod("a", 3, "4", 0)], vec![pod("b", 2, "2", 0), pod("c", 2, "2", 0)], "b")]
#[case::lowest_sum(vec![pod("a", 3, "2", 0), pod("b", 3, "2", 0)], vec![pod("c", 3, "2", 0), pod("d", 1, "2", 0)], "b")]
#[case::fewest(vec![pod("a", -1, "2", 0), pod("b", -1, "2", 0)], vec![pod("c", -1, "4", 0)], "b")]
#[case::latest_start(vec![pod("a", 1, "4", 10)], vec![pod("b", 1, "4", 20)], "b")]
#[case::latest_start_of_the_highest(
    vec![pod("a", 2, "2", 10), pod("b", 1, "2", 30)], vec![pod("c", 2, "2", 20), pod("d", 1, "2", 5)], "b")]
#[case::the_first_of_equals(vec![pod("a", 1, "4", 0)], vec![pod("b", 1, "4", 0)], "a")]
fn the_node_where_least_is_lost(#[case] a: Vec<Value>, #[case] b: Vec<Value>, #[case] expected: &str) {
    let mut given = Given::new(cluster(&[("a", a), ("b", b)]));
    given.budgets.set(&budget("held", 0));
    assert_eq!(given.ended(&info(&pod("p", 9, "4", 0))).0, expected);
}

#[test]
fn budgets_are_kept_where_others_can_end() {
    let pods = vec![pod("held", 1, "2", 0), pod("free", 5, "2", 0)];
    let mut given = Given::new(cluster(&[("n", pods)]));
    let preemptor = info(&pod("p", 9, "2", 0));
    assert_eq!(given.ended(&preemptor).1, names(&["held"]));
    given.budgets.set(&budget("held", 0));
    assert_eq!(given.ended(&preemptor).1, names(&["free"]));
    given.budgets.set(&budget("held", 1));
    assert_eq!(given.ended(&preemptor).1, names(&["held"]));
    given.budgets.set(&budget("held", 0));
    given.budgets.remove("ns", "held");
    assert_eq!(given.ended(&preemptor).1, names(&["held"]));
}

#[rstest]
#[case::nobody_is_lower("1", 1, "0/1 nodes are available: 1 No preemption victims found for incoming pod.")]
#[case::too_large("5", 9, "0/1 nodes are available: 1 Preemption is not helpful for scheduling.")]
fn useless(#[case] cpu: &str, #[case] priority: i32, #[case] expected: &str) {
    let mut given = Given::new(cluster(&[("n", vec![pod("a", 1, "4", 0)])]));
    match given.plan(&info(&pod("p", priority, cpu, 0))) {
        Plan::Useless(text) => assert_eq!(text, expected),
        other => panic!("{other:?}"),
    }
}

#[test]
fn ending_all_who_are_lower_is_not_enough() {
    let mut given = Given::new(cluster(&[
        ("a", vec![pod("a", 5, "3", 0), pod("b", 1, "1", 0)]),
        ("b", vec![pod("c", 9, "4", 0)]),
    ]));
    match given.plan(&info(&pod("p", 3, "2", 0))) {
        Plan::Useless(text) => assert_eq!(
            text,
            "0/2 nodes are available: 1 Insufficient cpu, 1 No preemption victims found for incoming pod."
        ),
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_may_not_does_not() {
    let mut given = Given::new(cluster(&[("n", vec![pod("a", 1, "4", 0)])]));
    let mut never = info(&pod("p", 9, "4", 0));
    never.may_preempt = false;
    let text = "not eligible due to preemptionPolicy=Never.";
    assert!(matches!(given.plan(&never), Plan::Ineligible(found) if found == text));
}

#[test]
fn who_awaits_the_end_of_others_ends_no_more() {
    let mut given =
        Given::new(cluster(&[("n", vec![pod("a", 1, "4", 0)]), ("m", vec![pod("b", 1, "4", 0)])]));
    let preemptor = info(&pod("p", 9, "4", 0));
    given.nominated = Some("n");
    assert!(matches!(given.plan(&preemptor), Plan::End { .. }), "nobody ends yet");
    given.ending.insert("a".to_owned());
    let text = "not eligible due to a terminating pod on the nominated node.";
    assert!(matches!(given.plan(&preemptor), Plan::Ineligible(found) if found == text));
    given.nominated = Some("m");
    assert!(matches!(given.plan(&preemptor), Plan::End { .. }), "it is another node");
}

#[test]
fn nominations_hold_room_against_equals_and_lower_ones() {
    let mut cluster = cluster(&[("n", vec![])]);
    let mut nominations = Nominations::default();
    let pod_of = |name: &str, priority: i32| Arc::new(info(&pod(name, priority, "3", 0)));
    let nominee = pod_of("nominee", 5);
    nominations.nominate(&mut cluster, &nominee, "n");
    let profile = Profile::new("default-scheduler".to_owned());
    let mut fits = |nominations: &Nominations, pod: &Arc<PodInfo>| {
        let aside = nominations.step_aside(&mut cluster, pod);
        let fits = schedule(pod, &mut cluster, &profile, &mut Scratch::default(), |_| 0).is_ok();
        nominations.step_back(&mut cluster, aside);
        fits
    };
    assert!(!fits(&nominations, &pod_of("lower", 4)));
    assert!(!fits(&nominations, &pod_of("equal", 5)));
    assert!(fits(&nominations, &pod_of("higher", 6)));
    assert!(fits(&nominations, &nominee));
    assert!(!fits(&nominations, &pod_of("lower", 4)), "it counts again");
    nominations.withdraw(&mut Cluster::default(), "nominee");
}
