//! Pod templates: which are the same, and the hash that names a ReplicaSet after its template.

use k8s_openapi::api::core::v1::PodTemplateSpec;
use serde_json::Value;

/// The label that tells the Pods of one template from those of another.
pub(crate) const HASH_LABEL: &str = "pod-template-hash";

/// Whether the templates are the same but for the hash label. What is empty and what is left out is the same.
pub(crate) fn same(a: &PodTemplateSpec, b: &PodTemplateSpec) -> bool {
    a == b || plain(a) == plain(b)
}

/// The hash of a template. A collision is told apart by counting.
pub(crate) fn hash(template: &PodTemplateSpec, collisions: Option<i32>) -> String {
    let mut hash = fnv(0x811c_9dc5, plain(template).to_string().as_bytes());
    if let Some(collisions) = collisions {
        hash = fnv(hash, &collisions.to_le_bytes());
    }
    safe(hash)
}

/// A hash in letters and digits that cannot spell a word.
pub(crate) fn safe(hash: u32) -> String {
    const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let digits = hash.to_string();
    digits.bytes().map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()])).collect()
}

fn fnv(start: u32, bytes: &[u8]) -> u32 {
    bytes.iter().fold(start, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// The template as JSON, without the hash label and without anything empty.
fn plain(template: &PodTemplateSpec) -> Value {
    let mut value = serde_json::to_value(template).unwrap_or_default();
    if let Some(labels) = value.pointer_mut("/metadata/labels").and_then(Value::as_object_mut) {
        labels.remove(HASH_LABEL);
    }
    prune(&mut value);
    value
}

fn prune(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.values_mut().for_each(prune);
            // `emptyDir: {}` says something, so only empty lists, maps of metadata and nulls go.
            fields.retain(|name, value| !is_nothing(name, value));
        }
        Value::Array(items) => items.iter_mut().for_each(prune),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_nothing(name: &str, value: &Value) -> bool {
    const MAPS: [&str; 5] = ["labels", "annotations", "nodeSelector", "limits", "requests"];
    const STRUCTS: [&str; 3] = ["metadata", "resources", "securityContext"];
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty() && (MAPS.contains(&name) || STRUCTS.contains(&name)),
        Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn template(text: &str) -> PodTemplateSpec {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_hash_label_and_empty_fields_make_no_difference() {
        let bare = template(r#"{"metadata":{"labels":{"a":"b"}},"spec":{"containers":[{"name":"c"}]}}"#);
        let full = template(
            r#"{"metadata":{"labels":{"a":"b","pod-template-hash":"x"},"annotations":{}},
                "spec":{"containers":[{"name":"c","resources":{},"env":[]}],"securityContext":{}}}"#,
        );
        assert!(same(&bare, &full));
        assert_eq!(hash(&bare, None), hash(&full, None));
    }

    #[test]
    fn what_matters_makes_a_difference() {
        let with = |volume: &str| {
            template(&format!(r#"{{"spec":{{"containers":[],"volumes":[{{"name":"v"{volume}}}]}}}}"#))
        };
        assert!(!same(&with(""), &with(r#","emptyDir":{}"#)));
        assert_ne!(hash(&with(""), None), hash(&with(r#","emptyDir":{}"#), None));
    }

    #[test]
    fn a_collision_gives_another_hash_of_safe_letters() {
        let template = template(r#"{"spec":{"containers":[]}}"#);
        let (first, second) = (hash(&template, None), hash(&template, Some(1)));
        assert_ne!(first, second);
        assert!(first.bytes().all(|letter| b"bcdfghjklmnpqrstvwxz2456789".contains(&letter)), "{first}");
    }
}
