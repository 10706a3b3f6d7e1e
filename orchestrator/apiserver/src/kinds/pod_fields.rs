//! Fields of Pods that the server settles itself: what it does not serve is dropped from what clients write, and what
//! is said of the Pod's own labels is said with their values.

use wherry_schema::{Object, Value};

use crate::object::Fields;

const LISTS: &[&str] = &["containers", "initContainers", "ephemeralContainers"];

/// Drops them from the Pod's spec at a path.
pub(super) fn drop_unserved(object: &mut Value, path: &str) {
    object.take(&format!("{path}.schedulingGroup"));
    for list in LISTS {
        for container in object.items_mut(&format!("{path}.{list}")) {
            let stop = container.take("lifecycle.stopSignal").is_some();
            if stop && container.map("lifecycle").is_some_and(Object::is_empty) {
                container.take("lifecycle");
            }
        }
    }
}

/// Adds to the selectors of a new Pod the labels of its own that their keys name.
pub(super) fn merge_label_keys(pod: &mut Value) {
    let labels = pod.map("metadata.labels").cloned().unwrap_or_default();
    for kind in ["podAffinity", "podAntiAffinity"] {
        let path = format!("spec.affinity.{kind}");
        for term in pod.items_mut(&format!("{path}.preferredDuringSchedulingIgnoredDuringExecution")) {
            if let Some(term) = term.get_mut("podAffinityTerm") {
                merge(term, &labels);
            }
        }
        for term in pod.items_mut(&format!("{path}.requiredDuringSchedulingIgnoredDuringExecution")) {
            merge(term, &labels);
        }
    }
    pod.items_mut("spec.topologySpreadConstraints").iter_mut().for_each(|term| merge(term, &labels));
}

fn merge(term: &mut Value, labels: &Object) {
    if !term.has("labelSelector") {
        return;
    }
    let mut expressions = term.items("labelSelector.matchExpressions").to_vec();
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in term.items(field).iter().filter_map(Value::as_str) {
            let Some(value) = labels.get(key) else { continue };
            let mut expression = Value::object();
            expression.put("key", key);
            expression.put("operator", operator);
            expression.put("values", vec![value.clone()]);
            expressions.push(expression);
        }
    }
    if !expressions.is_empty() {
        term.put("labelSelector.matchExpressions", expressions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_labels_become_parts_of_selectors() {
        let pod = br#"{"metadata":{"labels":{"a":"1","b":"2"}},"spec":{
            "affinity":{"podAntiAffinity":{"requiredDuringSchedulingIgnoredDuringExecution":[
                {"topologyKey":"z","labelSelector":{},"matchLabelKeys":["a","absent"],"mismatchLabelKeys":["b"]}]}},
            "topologySpreadConstraints":[{"matchLabelKeys":["a"]},{"labelSelector":{},"matchLabelKeys":["b"]}]}}"#;
        let mut pod = Value::from_json(pod).unwrap();
        merge_label_keys(&mut pod);
        let expressions = |path: &str| {
            let term = pod.pointer(path).unwrap();
            Value::from(term.items("labelSelector.matchExpressions").to_vec()).to_string()
        };
        assert_eq!(
            expressions("/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0"),
            r#"[{"key":"a","operator":"In","values":["1"]},{"key":"b","operator":"NotIn","values":["2"]}]"#
        );
        assert_eq!(expressions("/spec/topologySpreadConstraints/0"), "[]");
        assert_eq!(
            expressions("/spec/topologySpreadConstraints/1"),
            r#"[{"key":"b","operator":"In","values":["2"]}]"#
        );
    }
}
