//! Labels of Nodes that nodes do not give themselves, because they would draw work to themselves by them.

use std::collections::BTreeSet;

use wherry_schema::{Object, Value};

use crate::object::Fields;

/// Labels with names of Kubernetes that nodes set all the same.
const ALLOWED: [&str; 11] = [
    "beta.kubernetes.io/arch",
    "beta.kubernetes.io/instance-type",
    "beta.kubernetes.io/os",
    "failure-domain.beta.kubernetes.io/region",
    "failure-domain.beta.kubernetes.io/zone",
    "kubernetes.io/arch",
    "kubernetes.io/hostname",
    "kubernetes.io/os",
    "node.kubernetes.io/instance-type",
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
];

/// The labels, separated by commas, that differ from those of an old object and that no node may touch.
pub(super) fn forbidden(node: &Value, old: Option<&Value>) -> String {
    let labels = |of: Option<&Value>| -> Option<Object> { of?.map("metadata.labels").cloned() };
    let (new, old) = (labels(Some(node)).unwrap_or_default(), labels(old).unwrap_or_default());
    let keys: BTreeSet<String> = new.iter().chain(old.iter()).map(|(key, _)| key.to_string()).collect();
    let changed = keys.into_iter().filter(|key| new.get(key) != old.get(key));
    changed.filter(|key| is_forbidden(key)).collect::<Vec<_>>().join(", ")
}

fn is_forbidden(label: &str) -> bool {
    let domain = label.split_once('/').map_or("", |(domain, _)| domain);
    let within =
        |of: &str| domain.strip_suffix(of).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
    let allowed = ALLOWED.contains(&label) || within("kubelet.kubernetes.io") || within("node.kubernetes.io");
    within("node-restriction.kubernetes.io") || ((within("kubernetes.io") || within("k8s.io")) && !allowed)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("plain", false)]
    #[case("example.com/a", false)]
    #[case("mykubernetes.io/a", false)]
    #[case("kubernetes.io/hostname", false)]
    #[case("kubelet.kubernetes.io/a", false)]
    #[case("x.node.kubernetes.io/a", false)]
    #[case("node-restriction.kubernetes.io/a", true)]
    #[case("x.node-restriction.kubernetes.io/a", true)]
    #[case("node-role.kubernetes.io/control-plane", true)]
    #[case("kubernetes.io/a", true)]
    #[case("x.k8s.io/a", true)]
    fn labels_of_kubernetes_are_not_for_nodes_but_for_a_few(#[case] label: &str, #[case] expected: bool) {
        assert_eq!(is_forbidden(label), expected);
    }

    #[test]
    fn only_what_changes_counts() {
        let node = |labels: &str| {
            Value::from_json(format!(r#"{{"metadata":{{"labels":{labels}}}}}"#).as_bytes()).unwrap()
        };
        let old = node(r#"{"k8s.io/a":"1","k8s.io/b":"1","k8s.io/c":"1"}"#);
        let new = node(r#"{"k8s.io/a":"1","k8s.io/b":"2","k8s.io/d":"1","own":"1"}"#);
        assert_eq!(forbidden(&new, Some(&old)), "k8s.io/b, k8s.io/c, k8s.io/d");
        assert_eq!(forbidden(&new, Some(&new)), "");
        assert_eq!(forbidden(&new, None), "k8s.io/a, k8s.io/b, k8s.io/d");
    }
}
