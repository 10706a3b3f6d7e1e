//! PersistentVolumeClaim: storage that somebody asks for.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use super::persistent_volume::{self, CLASS_MOVED, class};
use super::pod_warnings::of_claim;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::storage::{check_basic, check_claim_spec};
use crate::validation::values::{IMMUTABLE, amount_of, amounts};
use crate::validation::{Errors, Path, internal, names, resource_names};

/// The rules of PersistentVolumeClaims.
pub(crate) struct PersistentVolumeClaim;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("Status", "string", "core.v1.PersistentVolumeClaimStatus.phase"),
    Column::of("Volume", "string", "core.v1.PersistentVolumeClaimSpec.volumeName"),
    Column::of("Capacity", "string", "core.v1.PersistentVolumeClaimStatus.capacity"),
    Column::of("Access Modes", "string", "core.v1.PersistentVolumeClaimStatus.accessModes"),
    Column::new("StorageClass", "string", "StorageClass of the pvc"),
    Column::new("VolumeAttributesClass", "string", "VolumeAttributesClass of the pvc"),
    table::AGE,
    Column::of("VolumeMode", "string", "core.v1.PersistentVolumeClaimSpec.volumeMode").in_wide(),
];

const STORAGE: &[&str] = &["spec", "resources", "requests", "storage"];
const ATTRIBUTES: &str = "spec.volumeAttributesClassName";
/// Where the class once was.
const CLASS: &[&str] = &["metadata", "annotations", persistent_volume::CLASS];
/// States of a claim that grows.
const RESIZING: &[&str] = &[
    "ControllerResizeInProgress",
    "ControllerResizeInfeasible",
    "NodeResizeInProgress",
    "NodeResizeInfeasible",
    "NodeResizePending",
];

impl Rules for PersistentVolumeClaim {
    fn returns_deleted(&self) -> bool {
        true
    }

    fn prepare_create(&self, object: &mut Value) {
        object.put("status", Value::object());
        object.put("status.phase", "Pending");
        settle_sources(object);
    }

    fn prepare_update(&self, object: &mut Value, _old: &Value) {
        settle_sources(object);
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let spec = object.field("spec").unwrap_or(&Value::Null);
        check_claim_spec(spec, &Path::new("spec"), errors);
    }

    fn check_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        // Upstream looks at the claim, and at the change, which looks at the claim again.
        self.validate(object, errors);
        crate::validation::meta::check_update(object, old, errors);
        self.validate(object, errors);
        self.validate_update(object, old, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        check_class(object, old, errors);
        let (before, spec) = comparable(object, old);
        if spec != before {
            let difference = internal::difference("PersistentVolumeClaimSpec", &before, &spec);
            let detail = format!(
                "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
                 claims\n{difference}"
            );
            errors.forbidden(&Path::new("spec"), &detail);
        }
        check_size(object, old, errors);
        if !object::same(object, old, "spec.volumeMode") {
            let shown = object.field("spec.volumeMode").unwrap_or(&Value::Null);
            errors.invalid(&Path::new("volumeMode"), shown, IMMUTABLE);
        }
        if old.has(ATTRIBUTES) {
            let detail = match object.field(ATTRIBUTES).and_then(Value::as_str) {
                None => "update from non-nil value to nil is forbidden",
                Some("") if !old.text(ATTRIBUTES).is_empty() => {
                    "update from non-nil value to an empty string is forbidden"
                }
                Some(_) => return,
            };
            errors.forbidden(&Path::new(ATTRIBUTES), detail);
        }
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        let path = Path::new("status");
        for (name, amount) in amounts(object.map("status.capacity")) {
            check_basic(amount, &path.child("capacity").key(name), errors);
        }
        check_resizing(object, &path, errors);
    }

    fn warnings(&self, object: &Value) -> Vec<String> {
        let mut warnings = Vec::new();
        if object.at(CLASS).is_some() {
            warnings.push(format!("{}: {CLASS_MOVED}", Path::new("metadata.annotations").key(CLASS[2])));
        }
        let spec = object.field("spec").unwrap_or(&Value::Null);
        of_claim(spec, &Path::new("spec"), &mut warnings);
        warnings
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let phase = if object::terminating(object) { "Terminating" } else { object.text("status.phase") };
        let bound = !object.text("spec.volumeName").is_empty();
        let capacity = object.map("status.capacity").and_then(|list| list.get("storage")?.as_str());
        let (capacity, modes) = if bound {
            (capacity.unwrap_or("0").to_owned(), modes(object.items("status.accessModes")))
        } else {
            (String::new(), String::new())
        };
        vec![
            table::name(object),
            phase.into(),
            object.text("spec.volumeName").into(),
            capacity.into(),
            modes.into(),
            class(object).into(),
            table::text_or(object, "spec.volumeAttributesClassName", "<unset>"),
            table::age(object, now),
            table::text_or(object, "spec.volumeMode", "<unset>"),
        ]
    }
}

/// The specs before and after, where what may change is made the same.
fn comparable(object: &Value, old: &Value) -> (Value, Value) {
    let spec = |object: &Value| object.field("spec").cloned().unwrap_or(Value::object());
    let (mut before, mut spec) = (spec(old), spec(object));
    if before.text("volumeName").is_empty() {
        // Binding is the one thing that others do to a claim.
        before.assign("volumeName", spec.field("volumeName").cloned());
    }
    if upgrades_class(object, old) {
        spec.take("storageClassName");
    } else if !before.has("storageClassName")
        && old.at(CLASS).and_then(Value::as_str).is_none_or(|class| class == spec.text("storageClassName"))
    {
        // A claim without a class can be given one.
        before.assign("storageClassName", spec.field("storageClassName").cloned());
    }
    if old.text("status.phase") == "Bound" {
        if spec.has("resources.requests") {
            spec.assign("resources.requests.storage", before.field("resources.requests.storage").cloned());
        }
        if spec.has("volumeAttributesClassName") {
            spec.assign("volumeAttributesClassName", before.field("volumeAttributesClassName").cloned());
        }
    }
    (before, spec)
}

/// Whether the class moves from the annotation that once held it to its field.
fn upgrades_class(object: &Value, old: &Value) -> bool {
    let annotated = |claim: &Value| claim.at(CLASS).cloned();
    annotated(old).is_some()
        && !old.has("spec.storageClassName")
        && object.field("spec.storageClassName") == annotated(old).as_ref()
        && annotated(object).is_none_or(|class| Some(class) == annotated(old))
}

/// The annotation that once held the class stays as it is.
fn check_class(object: &Value, old: &Value, errors: &mut Errors) {
    if object.at(CLASS) != old.at(CLASS) && !upgrades_class(object, old) {
        let path = Path::new("metadata.annotations").key(CLASS[2]);
        let shown = object.at(CLASS).and_then(Value::as_str).unwrap_or_default();
        errors.invalid(&path, shown, IMMUTABLE);
    }
}

/// The rules of how far a claim's growing has come.
fn check_resizing(object: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("allocatedResourceStatus");
    let states = object.map("status.allocatedResourceStatuses");
    for (name, state) in states.into_iter().flat_map(wherry_schema::Object::iter) {
        check_resource(name, &at, errors);
        if !state.as_str().is_some_and(|state| RESIZING.contains(&state)) {
            errors.unsupported(&at, name.as_str(), RESIZING);
        }
    }
    let at = path.child("allocatedResources");
    for (name, amount) in amounts(object.map("status.allocatedResources")) {
        if check_resource(name, &at, errors) {
            check_basic(amount, &at.key(name), errors);
        }
    }
}

/// Refuses what no claim has; says whether it is a resource of claims.
fn check_resource(name: &str, path: &Path, errors: &mut Errors) -> bool {
    let problems = names::qualified(name);
    let fits = problems.is_empty();
    errors.problems(path, name, problems);
    if fits && resource_names::is_native(name) && name != "storage" {
        errors.unsupported(path, name, &["storage"]);
        return false;
    }
    fits
}

/// A bound claim may grow, and shrink back to what it has.
fn check_size(object: &Value, old: &Value, errors: &mut Errors) {
    let wanted = |claim: &Value| amount_of(claim.map("spec.resources.requests"), "storage");
    let (Some(new), Some(before)) = (wanted(object), wanted(old)) else { return };
    let status = amount_of(old.map("status.capacity"), "storage");
    if new < before && new <= status.unwrap_or_default() {
        let detail = "field can not be less than status.capacity";
        errors.forbidden(&Path::new(&STORAGE[..3].join(".")).child("storage"), detail);
    }
}

/// The older and the newer way to say what a claim is filled with say the same.
fn settle_sources(object: &mut Value) {
    let (source, reference) = ("spec.dataSource", "spec.dataSourceRef");
    // Only claims and snapshots can be named the older way.
    let known = object.field(source).is_some_and(|source| {
        matches!(
            (source.text("kind"), source.text("apiGroup")),
            ("PersistentVolumeClaim", "") | ("VolumeSnapshot", "snapshot.storage.k8s.io")
        )
    });
    if !known {
        object.take(source);
    }
    match (object.field(source).cloned(), object.field(reference).cloned()) {
        (Some(found), None) => object.put(reference, found),
        (None, Some(found)) if found.text("namespace").is_empty() => object.put(source, found),
        _ => {}
    }
}

/// Access modes by their abbreviations, each once.
pub(super) fn modes(modes: &[Value]) -> String {
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    let given = |mode: &str| modes.iter().any(|m| m.as_str() == Some(mode));
    let found: Vec<&str> = short.iter().filter(|(mode, _)| given(mode)).map(|(_, text)| *text).collect();
    found.join(",")
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use crate::kinds::told;

    fn claim(status: &Value, changes: &Value) -> Value {
        let mut claim = json!({
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
            "status": status,
        });
        for (pointer, value) in changes.as_object().unwrap() {
            claim["spec"][pointer] = value.clone();
        }
        claim
    }

    #[rstest]
    #[case(json!({"storageClassName": "fast"}), "")]
    #[case(json!({"volumeName": "pv"}), "")]
    #[case(json!({"volumeMode": "Block"}), "volumeMode: Invalid value: \"Block\": field is immutable")]
    #[case(json!({"resources": {"requests": {"storage": "2Gi"}}}), "spec: Forbidden: spec is immutable after")]
    #[case(json!({"volumeAttributesClassName": "gold"}), "spec: Forbidden: spec is immutable after")]
    fn a_claim_that_waits_may_be_given_a_class_and_a_volume(#[case] changes: Value, #[case] told: &str) {
        let (old, new) = (claim(&json!({}), &json!({})), claim(&json!({}), &changes));
        let text = told::of_change("persistentvolumeclaims", old, new);
        assert!(if told.is_empty() { text.is_empty() } else { text.contains(told) }, "{text}");
    }

    #[rstest]
    #[case(json!({"capacity": {"storage": "-1"}}), "status.capacity[storage]: Invalid value: -1: must be a valid resource quantity")]
    #[case(json!({"capacity": {"foo": "0"}}), "")]
    #[case(json!({"allocatedResources": {"cpu": "1"}}), "status.allocatedResources: Unsupported value: \"cpu\": supported values: \"storage\"")]
    #[case(json!({"allocatedResourceStatuses": {"storage": "NodeResizePending"}}), "")]
    fn the_status_says_how_far_a_claim_has_grown(#[case] status: Value, #[case] told: &str) {
        let (old, new) = (claim(&json!({}), &json!({})), claim(&status, &json!({})));
        assert_eq!(told::of_status("persistentvolumeclaims", old, new), told);
    }

    #[rstest]
    #[case(json!({"dataSourceRef": {"kind": "Pod", "name": "a"}}), "spec.dataSourceRef: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default apiGroup")]
    #[case(json!({"dataSource": {"kind": "PersistentVolumeClaim", "name": "a"}, "dataSourceRef": {"kind": "PersistentVolumeClaim", "name": "b"}}), "spec: Invalid value: {}: must match dataSourceRef")]
    #[case(json!({"accessModes": ["ReadWriteOncePod", "X"]}), "spec.accessModes: Unsupported value: \"X\": supported values: \"ReadOnlyMany\", \"ReadWriteMany\", \"ReadWriteOnce\", \"ReadWriteOncePod\"")]
    fn new_claims_are_checked(#[case] changes: Value, #[case] told: &str) {
        assert!(
            told::of_new("persistentvolumeclaims", claim(&json!({}), &changes)).contains(told),
            "{}",
            told::of_new("persistentvolumeclaims", claim(&json!({}), &changes))
        );
    }
}
