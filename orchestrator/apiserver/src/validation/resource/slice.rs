//! Rules of ResourceSlices.

use wherry_schema::Value;

use super::{check_pool, device, each, unique};
use crate::object::{self, Fields};
use crate::validation::checks::IMMUTABLE;
use crate::validation::drivers::check_driver_name;
use crate::validation::{Errors, Path, Shown, internal};

const MAX_DEVICES: usize = 128;
/// Devices with taints or counters cost more.
const MAX_COSTLY_DEVICES: usize = 64;
const MAX_COUNTER_SETS: usize = 8;
const ONE_PLACE: &str =
    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";

/// The rules every slice keeps; `old` is what it was, if it is not new.
pub(crate) fn check(object: &Value, old: Option<&Value>, errors: &mut Errors) {
    let path = Path::new("spec");
    let empty = Value::object();
    let spec = object.field("spec").unwrap_or(&empty);
    check_driver_name(spec.text("driver"), &path.child("driver"), errors);
    check_pool_of(spec, &path.child("pool"), errors);
    if let Some(old) = old {
        check_same(object, old, errors);
    }
    let terms = spec.items("nodeSelector.nodeSelectorTerms");
    let set = device::check_place(spec, &path, "must be either unset or set to a non-empty string", errors);
    if spec.has("nodeSelector") && terms.len() != 1 {
        let shown = internal::show_list("NodeSelectorTerm", terms);
        let at = path.child("nodeSelector").child("nodeSelectorTerms");
        errors.invalid(&at, shown, "must have exactly one node selector term");
    }
    match set.len() {
        0 => errors.required(&path, ONE_PLACE),
        1 => {}
        _ => {
            let shown = format!("{{{}}}", set.join(", "));
            errors.invalid(&path, &shown, &format!("{ONE_PLACE}, but multiple fields are set"));
        }
    }
    if spec.has("sharedCounters") && spec.has("devices") {
        errors.invalid(&path, "", "only one of `sharedCounters` or `devices` is allowed");
    }
    check_devices(spec, &path, errors);
}

fn check_pool_of(spec: &Value, path: &Path, errors: &mut Errors) {
    check_pool(spec.text("pool.name"), &path.child("name"), errors);
    let count = spec.int("pool.resourceSliceCount").unwrap_or(0);
    if count <= 0 {
        errors.invalid(&path.child("resourceSliceCount"), count, "must be greater than zero");
    }
    if let Some(generation) = spec.int("pool.generation").filter(|generation| *generation < 0) {
        let detail = "must be greater than or equal to zero";
        errors.invalid(&path.child("generation"), generation, detail);
    }
}

fn check_devices(spec: &Value, path: &Path, errors: &mut Errors) {
    let costly = |d: &Value| !d.items("taints").is_empty() || !d.items("consumesCounters").is_empty();
    let most = if spec.items("devices").iter().any(costly) { MAX_COSTLY_DEVICES } else { MAX_DEVICES };
    let per_device = spec.flag("perDeviceNodeSelection");
    each(spec, ("devices", most), path, errors, |item, path, errors| {
        device::check(item, per_device, path, errors);
    });
    unique(spec, ("devices", most), path, errors, |device| device.text("name"));
    each(spec, ("sharedCounters", MAX_COUNTER_SETS), path, errors, |set, path, errors| {
        device::check_counters(set, "name", path, errors);
    });
    unique(spec, ("sharedCounters", MAX_COUNTER_SETS), path, errors, |set| set.text("name"));
}

/// What of a slice may not change.
fn check_same(object: &Value, old: &Value, errors: &mut Errors) {
    for field in ["spec.pool.name", "spec.driver", "spec.nodeName"] {
        if !object::same(object, old, field) {
            let shown = object.field(field).map_or(Shown::raw("null"), Shown::from);
            errors.invalid(&Path::new(field), shown, IMMUTABLE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_slice_is_told_where_it_is() {
        let long = "a".repeat(100);
        let shown = format!("spec.devices[0].attributes[{}...{}]", "a".repeat(47), "a".repeat(46));
        for (json, wanted) in [
            (r#"{"allNodes":true}"#.to_owned(), vec![]),
            (
                r#"{"nodeSelector":{"nodeSelectorTerms":[]}}"#.to_owned(),
                vec!["spec.nodeSelector.nodeSelectorTerms"; 2],
            ),
            (
                r#"{"nodeSelector":{"nodeSelectorTerms":[{},{}]}}"#.to_owned(),
                vec!["spec.nodeSelector.nodeSelectorTerms"],
            ),
            (
                r#"{"allNodes":true,"devices":[{"name":"d","attributes":{"a-b":{"int":1}}}]}"#.to_owned(),
                vec!["spec.devices[0].attributes[a-b]"],
            ),
            (
                format!(
                    r#"{{"allNodes":true,"devices":[{{"name":"d","attributes":{{"{long}":{{"int":1}}}}}}]}}"#
                ),
                vec![&shown],
            ),
            (
                r#"{"allNodes":true,"devices":[{"name":"d","bindingConditions":["a","a"]}]}"#.to_owned(),
                vec!["spec.devices[0].bindingConditions[1]", "spec.devices[0].bindingFailureConditions"],
            ),
        ] {
            let mut object = Value::object();
            object.put("spec", Value::from_json(json.as_bytes()).unwrap());
            object.put("spec.driver", "d.example.com");
            object.put("spec.pool.name", "p");
            object.put("spec.pool.resourceSliceCount", 1);
            let mut errors = Errors::default();
            check(&object, None, &mut errors);
            let fields: Vec<&str> = errors.causes().iter().map(|cause| cause.field.as_str()).collect();
            assert_eq!(fields, wanted, "{json}");
        }
    }
}
