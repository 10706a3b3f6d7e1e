//! One constraint on how Pods are spread over the domains of a topology.

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use wherry_api::selector::{LabelSelector, Operator};

use super::term::{Labels, holds, merge, requirements};

/// Whether what the Pod asks of nodes decides which nodes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Honor {
    Honor,
    Ignore,
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Spread {
    pub(crate) topology_key: String,
    pub(crate) max_skew: i32,
    pub(crate) min_domains: i32,
    /// Whether it only asks, rather than demands.
    pub(crate) is_soft: bool,
    /// Absent: selects nothing.
    pub(crate) selector: Option<LabelSelector>,
    pub(crate) affinity: Honor,
    pub(crate) taints: Honor,
}

impl Spread {
    /// Parses a constraint of a Pod with these labels.
    pub(crate) fn parse(constraint: &TopologySpreadConstraint, labels: &Labels) -> Self {
        let mut selector = constraint.label_selector.as_ref().map(requirements).and_then(Result::ok);
        if let Some(selector) = &mut selector {
            let keys = constraint.match_label_keys.as_deref();
            merge(selector, keys, labels, |value| Operator::In(vec![value]));
        }
        let policy = |text: &Option<String>, usual| match text.as_deref() {
            Some("Honor") => Honor::Honor,
            Some("Ignore") => Honor::Ignore,
            _ => usual,
        };
        Self {
            topology_key: constraint.topology_key.clone(),
            max_skew: constraint.max_skew,
            min_domains: constraint.min_domains.unwrap_or(1),
            is_soft: constraint.when_unsatisfiable == "ScheduleAnyway",
            selector: selector.map(LabelSelector::from_requirements),
            affinity: policy(&constraint.node_affinity_policy, Honor::Honor),
            taints: policy(&constraint.node_taints_policy, Honor::Ignore),
        }
    }

    /// What holds for Pods of one controller or Service that ask for nothing: softly over nodes and zones.
    pub(crate) fn of_system() -> [Self; 2] {
        let over = |topology_key: &str, max_skew| Self {
            topology_key: topology_key.to_owned(),
            max_skew,
            min_domains: 1,
            is_soft: true,
            selector: None,
            affinity: Honor::Honor,
            taints: Honor::Ignore,
        };
        [over("kubernetes.io/hostname", 3), over("topology.kubernetes.io/zone", 5)]
    }

    /// Whether Pods with these labels are among those that are spread.
    pub(crate) fn counts(&self, labels: &Labels) -> bool {
        self.selector.as_ref().is_some_and(|selector| holds(selector, Some(labels)))
    }
}
