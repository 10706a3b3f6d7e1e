//! Which Pods a node's NoExecute taints drive away, and when.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};

use super::health::{NOT_READY, UNREACHABLE};
use crate::objects::placement::tolerates;

/// How long a Pod that says nothing of it stays on a node that is not ready or not reachable. Upstream writes
/// this toleration into every Pod at admission.
const PATIENCE: SignedDuration = SignedDuration::from_secs(300);

/// The node's taints that drive Pods away.
pub(super) fn driving(node: &Node) -> Vec<&Taint> {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    taints.filter(|taint| taint.effect == "NoExecute").collect()
}

/// When the Pod has to go, given since when it has been seen beside these taints: `None` if it may stay.
pub(super) fn evict_at(pod: &Pod, taints: &[&Taint], seen: Timestamp) -> Option<Timestamp> {
    let tolerations = pod.spec.as_ref().and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
    taints.iter().filter_map(|taint| until(taint, tolerations, since(pod, taint, seen))).min()
}

/// Since when the Pod has had to bear the taint. What is written down holds, so that a start of ours begins nothing anew.
fn since(pod: &Pod, taint: &Taint, seen: Timestamp) -> Timestamp {
    let Some(added) = &taint.time_added else { return seen };
    let mut conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let scheduled =
        conditions.find(|condition| condition.type_ == "PodScheduled" && condition.status == "True");
    let bound = scheduled.and_then(|condition| condition.last_transition_time.as_ref());
    let begun = bound.or(pod.metadata.creation_timestamp.as_ref());
    begun.map_or(added.0, |begun| added.0.max(begun.0)).min(seen)
}

fn until(taint: &Taint, tolerations: &[Toleration], since: Timestamp) -> Option<Timestamp> {
    // Of several tolerations the first counts.
    let patience = match tolerations.iter().find(|toleration| tolerates(toleration, taint)) {
        Some(toleration) => SignedDuration::from_secs(toleration.toleration_seconds?.max(0)),
        None if taint.key == NOT_READY || taint.key == UNREACHABLE => PATIENCE,
        None => SignedDuration::ZERO,
    };
    Some(since.saturating_add(patience).unwrap_or(Timestamp::MAX))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn toleration(key: &str, seconds: Option<i64>) -> Toleration {
        Toleration {
            key: Some(key.into()).filter(|key: &String| !key.is_empty()),
            operator: Some("Exists".into()),
            toleration_seconds: seconds,
            ..Toleration::default()
        }
    }

    fn pod(tolerations: &[Toleration], bound: i64) -> Pod {
        let bound = at(bound).to_string();
        let object = json!({
            "metadata": {"creationTimestamp": "1970-01-01T00:00:00Z"},
            "spec": {"containers": [], "tolerations": tolerations},
            "status": {"conditions": [{"type": "PodScheduled", "status": "True", "lastTransitionTime": bound}]},
        });
        serde_json::from_value(object).unwrap()
    }

    fn taint(key: &str, added: Option<i64>) -> Taint {
        let time_added = added.map(|second| Time(at(second)));
        Taint { key: key.into(), effect: "NoExecute".into(), time_added, value: None }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[rstest]
    #[case::nothing_said_of_health(UNREACHABLE, vec![], Some(1300))]
    #[case::nothing_said_of_another("example.com/drain", vec![], Some(1000))]
    #[case::some_time(UNREACHABLE, vec![toleration(UNREACHABLE, Some(10))], Some(1010))]
    #[case::no_time_at_all(UNREACHABLE, vec![toleration(UNREACHABLE, Some(-1))], Some(1000))]
    #[case::the_first(UNREACHABLE, vec![toleration("", Some(60)), toleration(UNREACHABLE, Some(5))], Some(1060))]
    #[case::for_ever(UNREACHABLE, vec![toleration("", None)], None)]
    #[case::another_taint("example.com/drain", vec![toleration(UNREACHABLE, None)], Some(1000))]
    fn leaves(#[case] key: &str, #[case] tolerations: Vec<Toleration>, #[case] expected: Option<i64>) {
        let found = evict_at(&pod(&tolerations, 10), &[&taint(key, Some(1000))], at(2000));
        assert_eq!(found.map(Timestamp::as_second), expected);
    }

    #[rstest]
    #[case::bound_later(Some(1000), 1500, 1600)]
    #[case::a_taint_without_a_time(None, 10, 2100)]
    #[case::a_time_that_is_still_to_come(Some(9000), 10, 2100)]
    fn patience_begins(#[case] added: Option<i64>, #[case] bound: i64, #[case] expected: i64) {
        let pod = pod(&[toleration("", Some(100))], bound);
        let found = evict_at(&pod, &[&taint("a", added)], at(2000));
        assert_eq!(found.map(Timestamp::as_second), Some(expected));
    }

    #[test]
    fn of_several_taints_the_least_tolerated_counts() {
        let pod = pod(&[toleration("a", Some(100)), toleration("b", Some(10)), toleration("c", None)], 10);
        let taints = ["a", "b", "c"].map(|key| taint(key, Some(1000)));
        let found = evict_at(&pod, &taints.iter().collect::<Vec<_>>(), at(2000));
        assert_eq!(found.map(Timestamp::as_second), Some(1010));
        let node = json!({"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}, {"key": "b", "effect": "NoExecute"}]}});
        let node: Node = serde_json::from_value(node).unwrap();
        assert_eq!(driving(&node).len(), 1);
    }
}
