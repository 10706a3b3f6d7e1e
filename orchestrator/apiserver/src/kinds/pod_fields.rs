//! Fields of Pods that the server settles itself: what it does not serve is dropped from what clients write, and what
//! is said of the Pod's own labels is said with their values.

use wherry_schema::{Object, Value};

use crate::object::Fields;
use crate::validation::pod::APP_ARMOR;

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

/// The profile that an annotation means, if it is one.
pub(super) fn app_armor(annotation: &str) -> Option<Value> {
    let mut profile = Value::object();
    match annotation {
        "unconfined" => profile.put("type", "Unconfined"),
        "runtime/default" => profile.put("type", "RuntimeDefault"),
        _ => {
            let local = annotation.strip_prefix("localhost/")?;
            if local.is_empty() || local.trim() != local {
                return None;
            }
            profile.put("type", "Localhost");
            profile.put("localhostProfile", local);
        }
    }
    Some(profile)
}

/// Gives containers of a new Pod the profiles that its annotations name.
pub(super) fn adopt_app_armor(pod: &mut Value) {
    let Some(annotations) = pod.map("metadata.annotations").cloned() else { return };
    if pod.text("spec.os.name") == "windows" {
        return;
    }
    let of_pod = pod.field("spec.securityContext.appArmorProfile").cloned();
    for list in LISTS {
        for container in pod.items_mut(&format!("spec.{list}")) {
            let key = format!("{APP_ARMOR}{}", container.text("name"));
            let annotation = annotations.get(&key).and_then(Value::as_str);
            let profile = annotation.and_then(app_armor).filter(|profile| Some(profile) != of_pod.as_ref());
            if let Some(profile) = profile.filter(|_| !container.has("securityContext.appArmorProfile")) {
                container.put("securityContext.appArmorProfile", profile);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_annotation_becomes_the_profile_of_its_container() {
        let annotation = |name: &str, text: &str| format!("\"{APP_ARMOR}{name}\":\"{text}\"");
        let annotations =
            [annotation("a", "localhost/p"), annotation("b", "bad"), annotation("c", "unconfined")];
        let pod = format!(
            r#"{{"metadata":{{"annotations":{{{}}}}},"spec":{{"containers":[{{"name":"a"}},{{"name":"b"}},
                {{"name":"c","securityContext":{{"appArmorProfile":{{"type":"RuntimeDefault"}}}}}}]}}}}"#,
            annotations.join(",")
        );
        let mut pod = Value::from_json(pod.as_bytes()).unwrap();
        adopt_app_armor(&mut pod);
        let containers = pod.items("spec.containers");
        let kinds: Vec<&str> =
            containers.iter().map(|c| c.text("securityContext.appArmorProfile.type")).collect();
        assert_eq!(kinds, ["Localhost", "", "RuntimeDefault"]);
    }

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
