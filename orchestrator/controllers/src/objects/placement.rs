//! Whether a Pod may be on a node: taints and tolerations, node selectors and required affinity.

use std::cmp::Ordering;

use k8s_openapi::api::core::v1::{
    Node, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration,
};
use kube::ResourceExt;

use super::meta::labels;

/// Whether the toleration covers the taint.
pub(crate) fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let is = |text: &Option<String>, wanted: &str| {
        text.as_deref().is_none_or(|text| text.is_empty() || text == wanted)
    };
    if !is(&toleration.effect, &taint.effect) || !is(&toleration.key, &taint.key) {
        return false;
    }
    let value = taint.value.as_deref().unwrap_or_default();
    let wanted = toleration.value.as_deref().unwrap_or_default();
    let compared = || Some(value.parse::<i64>().ok()?.cmp(&wanted.parse::<i64>().ok()?));
    match toleration.operator.as_deref().unwrap_or_default() {
        "Exists" => true,
        "" | "Equal" => toleration.key.is_some() && value == wanted,
        "Lt" => compared().is_some_and(Ordering::is_lt),
        "Gt" => compared().is_some_and(Ordering::is_gt),
        _ => false,
    }
}

/// Whether the Pod tolerates the node's taints of these effects.
pub(crate) fn tolerates_all(pod: &PodSpec, node: &Node, effects: &[&str]) -> bool {
    let taints = node.spec.iter().flat_map(|spec| spec.taints.iter().flatten());
    let tolerations = pod.tolerations.as_deref().unwrap_or_default();
    taints
        .filter(|taint| effects.contains(&taint.effect.as_str()))
        .all(|taint| tolerations.iter().any(|toleration| tolerates(toleration, taint)))
}

/// Whether the node is one that the Pod's node selector and required affinity choose.
pub(crate) fn is_chosen(pod: &PodSpec, node: &Node) -> bool {
    let found = labels(&node.metadata);
    let selected = pod.node_selector.iter().flatten().all(|(key, value)| found.get(key) == Some(value));
    let affinity = pod.affinity.as_ref().and_then(|affinity| affinity.node_affinity.as_ref());
    let required =
        affinity.and_then(|affinity| affinity.required_during_scheduling_ignored_during_execution.as_ref());
    let affine =
        required.is_none_or(|required| required.node_selector_terms.iter().any(|term| holds(term, node)));
    selected && affine
}

/// Whether the node satisfies a term. A term that asks for nothing matches nothing.
fn holds(term: &NodeSelectorTerm, node: &Node) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    if expressions.is_empty() && fields.is_empty() {
        return false;
    }
    let name = node.name_any();
    let label = |key: &str| labels(&node.metadata).get(key).map(String::as_str);
    let field = |key: &str| (key == "metadata.name").then_some(name.as_str());
    expressions.iter().all(|requirement| is_met(requirement, label(&requirement.key)))
        && fields.iter().all(|requirement| is_met(requirement, field(&requirement.key)))
}

fn is_met(requirement: &NodeSelectorRequirement, found: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let is_listed = found.is_some_and(|found| values.iter().any(|value| value == found));
    let compared = || {
        let wanted = values.first()?.parse::<i64>().ok()?;
        Some(found?.parse::<i64>().ok()?.cmp(&wanted))
    };
    match requirement.operator.as_str() {
        "In" => is_listed,
        "NotIn" => !is_listed,
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => compared().is_some_and(Ordering::is_gt),
        "Lt" => compared().is_some_and(Ordering::is_lt),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn node(taints: &Value) -> Node {
        serde_json::from_value(json!({
            "metadata": {"name": "n1", "labels": {"zone": "a", "size": "5"}}, "spec": {"taints": taints},
        }))
        .unwrap()
    }

    #[rstest]
    #[case::nothing(json!({}), true)]
    #[case::label(json!({"nodeSelector": {"zone": "a"}}), true)]
    #[case::other(json!({"nodeSelector": {"zone": "b"}}), false)]
    #[case::name(affinity(&json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]})), true)]
    #[case::other_name(affinity(&json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}]})), false)]
    #[case::greater(affinity(&json!({"matchExpressions": [{"key": "size", "operator": "Gt", "values": ["4"]}]})), true)]
    #[case::absent(affinity(&json!({"matchExpressions": [{"key": "zone", "operator": "DoesNotExist"}]})), false)]
    #[case::empty(affinity(&json!({})), false)]
    fn chooses(#[case] spec: Value, #[case] expected: bool) {
        let mut spec = spec;
        spec["containers"] = json!([]);
        let spec: PodSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(is_chosen(&spec, &node(&json!([]))), expected);
    }

    fn affinity(term: &Value) -> Value {
        let required = json!({"nodeSelectorTerms": [term]});
        json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}})
    }

    #[rstest]
    #[case::none(json!([]), false)]
    #[case::all(json!([{"operator": "Exists"}]), true)]
    #[case::key(json!([{"key": "k", "operator": "Exists", "effect": "NoExecute"}]), true)]
    #[case::effect(json!([{"key": "k", "operator": "Exists", "effect": "NoSchedule"}]), false)]
    #[case::value(json!([{"key": "k", "value": "3"}]), true)]
    #[case::other_value(json!([{"key": "k", "value": "4"}]), false)]
    #[case::less(json!([{"key": "k", "operator": "Lt", "value": "4"}]), true)]
    fn tolerations_cover_taints(#[case] tolerations: Value, #[case] expected: bool) {
        let spec: PodSpec =
            serde_json::from_value(json!({"containers": [], "tolerations": tolerations})).unwrap();
        let node = node(&json!([{"key": "k", "value": "3", "effect": "NoExecute"}]));
        assert_eq!(tolerates_all(&spec, &node, &["NoExecute"]), expected);
        assert!(tolerates_all(&spec, &node, &["NoSchedule"]), "taints of other effects do not count");
    }
}
