//! Which Pod ends first when the node is short, as upstream orders them. Pure.

use std::cmp::{Ordering, Reverse};
use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;

use crate::static_pods::is_static;

/// The least priority of critical Pods: that of `system-cluster-critical`.
pub(crate) const CRITICAL: i32 = 2_000_000_000;

/// What a Pod takes of what is short.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    /// What each container takes, by name; empty if nobody knows.
    pub(super) used: BTreeMap<String, u64>,
    /// What the Pod takes beside its containers.
    pub(super) beside: u64,
    /// What it asked for.
    pub(super) requested: u64,
    /// Its priority.
    pub(super) priority: i32,
}

impl Share {
    fn total(&self) -> u64 {
        self.used.values().sum::<u64>() + self.beside
    }
}

/// How what is short is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sharing {
    /// By requests: whoever takes more than it asked for ends first.
    Requested,
    /// By priority alone.
    Unrequested,
}

/// Which of two ends first: the one of which nothing is known, that takes more than it asked for, that has the lower priority,
/// that takes the most.
pub(super) fn order(sharing: Sharing, a: &Share, b: &Share) -> Ordering {
    let key = |share: &Share| {
        let total = share.total();
        let exceeds = sharing == Sharing::Requested && total > share.requested;
        let requested = if sharing == Sharing::Requested { share.requested } else { 0 };
        let over = i128::from(total) - i128::from(requested);
        (Reverse(share.used.is_empty()), Reverse(exceeds), share.priority, Reverse(over))
    };
    key(a).cmp(&key(b))
}

/// Whether the node ends everything else before this Pod, and the Pod never.
pub(super) fn is_critical(pod: &Pod) -> bool {
    is_static(pod)
        || pod.spec.as_ref().and_then(|spec| spec.priority).is_some_and(|priority| priority >= CRITICAL)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn share(used: u64, requested: u64, priority: i32) -> Share {
        Share { used: BTreeMap::from([("main".to_owned(), used)]), beside: 0, requested, priority }
    }

    #[test]
    fn pods_end_by_excess_then_priority_then_usage() {
        let within = share(900, 1000, -5);
        let slightly_over = share(110, 100, 0);
        let far_over = share(500, 100, 0);
        let over_and_important = share(5000, 0, 7);
        let unknown = Share { priority: 9, ..Share::default() };
        let mut all = [&within, &over_and_important, &slightly_over, &unknown, &far_over];
        all.sort_by(|a, b| order(Sharing::Requested, a, b));
        assert_eq!(all, [&unknown, &far_over, &slightly_over, &over_and_important, &within]);
        all.sort_by(|a, b| order(Sharing::Unrequested, a, b));
        assert_eq!(all, [&unknown, &within, &far_over, &slightly_over, &over_and_important]);
    }

    #[test]
    fn what_the_node_cannot_do_without_is_critical() {
        let pod = |priority: i32, annotation: (&str, &str)| -> Pod {
            let annotations = json!({ annotation.0: annotation.1 });
            let spec = json!({ "containers": [], "priority": priority });
            serde_json::from_value(json!({ "metadata": { "annotations": annotations }, "spec": spec }))
                .unwrap()
        };
        assert!(is_critical(&pod(CRITICAL, ("a", ""))) && !is_critical(&pod(CRITICAL - 1, ("a", ""))));
        let source = "kubernetes.io/config.source";
        assert!(is_critical(&pod(0, (source, "file"))) && !is_critical(&pod(0, (source, "api"))));
    }

    proptest! {
        #[test]
        fn the_order_is_one(
            values in proptest::collection::vec((0_u64..50, 0_u64..50, -2_i32..3), 0..12),
            sharing in prop_oneof![Just(Sharing::Requested), Just(Sharing::Unrequested)],
        ) {
            let mut all: Vec<Share> = values.into_iter().map(|(u, r, p)| share(u, r, p)).collect();
            all.sort_by(|a, b| order(sharing, a, b));
            for pair in all.windows(2) {
                prop_assert_ne!(order(sharing, &pair[0], &pair[1]), Ordering::Greater);
                let excess = |s: &Share| sharing == Sharing::Requested && s.total() > s.requested;
                prop_assert!(excess(&pair[0]) >= excess(&pair[1]));
                if excess(&pair[0]) == excess(&pair[1]) {
                    prop_assert!(pair[0].priority <= pair[1].priority);
                }
            }
        }
    }
}
