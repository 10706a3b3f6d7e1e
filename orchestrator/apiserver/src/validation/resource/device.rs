//! Rules of one device of a ResourceSlice.

use wherry_api::names;
use wherry_schema::{Object, Value};

use super::{check_name, each, policy, unique};
use crate::object::Fields;
use crate::validation::internal;
use crate::validation::pod::check_node_selector;
use crate::validation::values::quantity;
use crate::validation::{Errors, Path, Shown};

const MAX_PROPERTIES: usize = 32;
const MAX_VALUE: usize = 64;
/// A domain, a slash and an identifier.
const MAX_KEY: usize = 63 + 1 + 32;
const MAX_LABEL: usize = 63;
const MAX_BINDING: usize = 4;
const MAX_TAINTS: usize = 16;
const MAX_CONSUMPTIONS: usize = 2;
const EFFECTS: &[&str] = &["NoExecute", "NoSchedule", "None"];
const ONE_NODE: &str = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when \
    `perDeviceNodeSelection` is set to true in the ResourceSlice spec";

/// The rules every device keeps.
pub(super) fn check(device: &Value, per_device: bool, path: &Path, errors: &mut Errors) {
    errors.label(device.text("name"), &path.child("name"));
    let entries = |field: &str| device.map(field).into_iter().flat_map(Object::iter);
    let count = entries("attributes").count() + entries("capacity").count();
    if count > MAX_PROPERTIES {
        let detail =
            format!("the total number of attributes and capacities must not exceed {MAX_PROPERTIES}");
        errors.invalid(path, i64::try_from(count).unwrap_or(i64::MAX), &detail);
    }
    let at = path.child("attributes");
    for (name, attribute) in entries("attributes") {
        let at = at.key(&shortened(name, MAX_KEY));
        check_name(name, &at, errors);
        check_attribute(attribute, &at, errors);
    }
    let at = path.child("capacity");
    for (name, capacity) in entries("capacity") {
        let at = at.key(&shortened(name, MAX_KEY));
        check_name(name, &at, errors);
        let Some(policy) = capacity.field("requestPolicy") else { continue };
        let at = at.child("requestPolicy");
        if device.flag("allowMultipleAllocations") {
            let most = quantity(capacity, "value").unwrap_or_default();
            policy::check(policy, most, &at, errors);
        } else {
            errors.forbidden(&at, "allowMultipleAllocations must be true");
        }
    }
    each(device, ("taints", MAX_TAINTS), path, errors, check_taint);
    each(device, ("consumesCounters", MAX_CONSUMPTIONS), path, errors, |consumed, path, errors| {
        check_counters(consumed, "counterSet", path, errors);
    });
    unique(device, ("consumesCounters", MAX_CONSUMPTIONS), path, errors, |consumed| {
        consumed.text("counterSet")
    });
    check_nodes(device, per_device, path, errors);
    check_binding(device, path, errors);
}

/// A key as it is shown in a path: the middle of a long one is left out.
fn shortened(key: &str, most: usize) -> String {
    if key.len() <= most || !key.is_ascii() {
        return key.to_owned();
    }
    let rest = most - 3;
    format!("{}...{}", &key[..rest.div_ceil(2)], &key[key.len() - rest / 2..])
}

/// Conditions to wait for, and conditions that end the wait: both or none, and no condition twice.
fn check_binding(device: &Value, path: &Path, errors: &mut Errors) {
    let fields = ["bindingConditions", "bindingFailureConditions"];
    for field in fields {
        each(device, (field, MAX_BINDING), path, errors, |condition, path, errors| {
            errors.qualified(super::itself(condition), path);
        });
    }
    let [wait, failure] = fields.map(|field| device.items(field));
    for (field, conditions) in [(fields[0], wait), (fields[1], failure)] {
        for (index, condition) in conditions.iter().enumerate() {
            let at = path.child(field).index(index);
            if conditions[..index].contains(condition) {
                errors.duplicate(&at, condition);
            }
            if field == fields[1] && wait.contains(condition) {
                let detail = "bindingFailureConditions must not overlap with bindingConditions";
                errors.invalid(&at, condition, detail);
            }
        }
    }
    for (own, other, missing) in [(fields[0], fields[1], wait), (fields[1], fields[0], failure)] {
        if missing.is_empty() && !device.items(other).is_empty() {
            let shown = device.field(own).map_or(Shown::raw("null"), Shown::from);
            errors.invalid(&path.child(own), shown, &format!("{own} are required to use {other}"));
        }
    }
}

/// Counters of a set that is named by a field.
pub(super) fn check_counters(holder: &Value, field: &str, path: &Path, errors: &mut Errors) {
    let name = holder.text(field);
    if name.is_empty() {
        errors.required(&path.child(field), "");
    } else {
        errors.label(name, &path.child(field));
    }
    let (counters, path) = (holder.map("counters"), path.child("counters"));
    let names: Vec<&str> =
        counters.into_iter().flat_map(Object::keys).map(wherry_schema::Str::as_str).collect();
    if names.is_empty() {
        errors.required(&path, "");
    }
    if names.len() > MAX_PROPERTIES {
        errors.too_many(&path, names.len(), MAX_PROPERTIES);
        return;
    }
    for name in names {
        errors.label(name, &path.key(&shortened(name, MAX_LABEL)));
    }
}

fn check_attribute(attribute: &Value, path: &Path, errors: &mut Errors) {
    if attribute.text("string").len() > MAX_VALUE {
        errors.too_long(&path.child("string"), MAX_VALUE);
    }
    if let Some(version) = attribute.field("version").and_then(Value::as_str) {
        if !is_version(version) {
            let detail = "must be a string compatible with semver.org spec 2.0.0";
            errors.invalid(&path.child("version"), version, detail);
        }
        if version.len() > MAX_VALUE {
            errors.too_long(&path.child("version"), MAX_VALUE);
        }
    }
    let count = ["bool", "int", "string", "version"].iter().filter(|field| attribute.has(field)).count();
    let detail = "exactly one value must be specified";
    match count {
        0 => errors.invalid(path, "", detail),
        1 => {}
        _ => errors.invalid(path, internal::show("DeviceAttribute", Some(attribute)), detail),
    }
}

/// Whether a text is a semantic version.
fn is_version(text: &str) -> bool {
    let (rest, build) = text.split_once('+').map_or((text, None), |(rest, build)| (rest, Some(build)));
    let (core, release) = rest.split_once('-').map_or((rest, None), |(core, release)| (core, Some(release)));
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let number = |part: &str| digits(part) && (part == "0" || !part.starts_with('0'));
    let word = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    core.split('.').count() == 3
        && core.split('.').all(number)
        && release
            .is_none_or(|parts| parts.split('.').all(|part| word(part) && (!digits(part) || number(part))))
        && build.is_none_or(|parts| parts.split('.').all(word))
}

fn check_taint(taint: &Value, path: &Path, errors: &mut Errors) {
    let (value, effect) = (taint.text("value"), taint.text("effect"));
    errors.qualified(taint.text("key"), &path.child("key"));
    errors.check(names::label_value(value), value, &path.child("value"));
    if effect.is_empty() {
        errors.required(&path.child("effect"), "");
    } else {
        errors.one_of(effect, &path.child("effect"), EFFECTS);
    }
}

/// A device says where it is if, and only if, its slice leaves that to the devices.
fn check_nodes(device: &Value, per_device: bool, path: &Path, errors: &mut Errors) {
    let fields = ["nodeName", "nodeSelector", "allNodes"];
    if !per_device {
        if fields.iter().any(|field| device.has(field)) {
            let detail = "`nodeName`, `nodeSelector` and `allNodes` can only be set if `perDeviceNodeSelection` is set \
                          to true in the ResourceSlice spec";
            errors.invalid(path, Shown::raw("null"), detail);
        }
        return;
    }
    let set = check_place(device, path, "must not be empty", errors);
    match set.len() {
        0 => errors.required(path, ONE_NODE),
        1 => {}
        _ => errors.invalid(path, &format!("{{{}}}", set.join(", ")), ONE_NODE),
    }
}

/// Where something is: the ways in which it says so.
pub(super) fn check_place(
    holder: &Value,
    path: &Path,
    empty: &str,
    errors: &mut Errors,
) -> Vec<&'static str> {
    let mut set = Vec::new();
    match holder.field("nodeName").and_then(Value::as_str) {
        None => {}
        Some("") => errors.invalid(&path.child("nodeName"), "", empty),
        Some(name) => {
            set.push("`nodeName`");
            errors.subdomain(name, &path.child("nodeName"));
        }
    }
    if let Some(selector) = holder.field("nodeSelector") {
        set.push("`nodeSelector`");
        check_node_selector(selector, &path.child("nodeSelector"), errors);
    }
    for (field, shown) in [("allNodes", "`allNodes`"), ("perDeviceNodeSelection", "`perDeviceNodeSelection`")]
    {
        match holder.field(field).and_then(Value::as_bool) {
            None => {}
            Some(true) => set.push(shown),
            Some(false) => {
                let detail = "must be either unset or set to true";
                errors.invalid(&path.child(field), Shown::raw("false"), detail);
            }
        }
    }
    set
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::is_version;

    #[test]
    fn versions_are_semantic() {
        for version in ["1.2.3", "0.0.0", "1.2.3-alpha.1", "1.2.3+build.01", "1.2.3-a-b+c"] {
            assert!(is_version(version), "{version}");
        }
        for version in ["", "x", "1.2", "01.2.3", "1.2.3-01", "1.2.3-", "1.2.3+", "v1.2.3"] {
            assert!(!is_version(version), "{version}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "\\PC{0,20}|[0-9.+-]{0,20}") {
            let _ = is_version(&text);
        }
    }
}
