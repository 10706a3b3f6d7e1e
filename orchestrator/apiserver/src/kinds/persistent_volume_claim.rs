//! PersistentVolumeClaim: storage that somebody asks for.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use super::persistent_volume::class;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::storage::check_claim_spec;
use crate::validation::values::{amount_of, amounts};
use crate::validation::{Errors, Path, internal, resource_names};

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
        self.validate(object, errors);
        crate::validation::meta::check_update(object, old, errors);
        self.validate_update(object, old, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let before = old.field("spec").cloned().unwrap_or(Value::object());
        let mut spec = object.field("spec").cloned().unwrap_or(Value::object());
        let bound = old.text("status.phase") == "Bound";
        if before.text("volumeName").is_empty() {
            // Binding is the one thing that others do to a claim.
            spec.assign("volumeName", None);
        }
        if bound {
            spec.assign("resources", before.field("resources").cloned());
            spec.assign("volumeAttributesClassName", before.field("volumeAttributesClassName").cloned());
        }
        if spec != before {
            let difference = internal::difference("PersistentVolumeClaimSpec", &before, &spec);
            let detail = format!(
                "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound \
                 claims\n{difference}"
            );
            errors.forbidden(&Path::new("spec"), &detail);
            return;
        }
        check_size(object, old, errors);
        let class = "spec.volumeAttributesClassName";
        if old.has(class) && !object.has(class) {
            let detail = "update from non-nil value to nil is forbidden";
            errors.forbidden(&Path::new(class), detail);
        }
    }

    fn validate_status(&self, object: &Value, _old: &Value, errors: &mut Errors) {
        let path = Path::new("status.capacity");
        for (name, amount) in amounts(object.map("status.capacity")) {
            let path = path.key(name);
            resource_names::check(name, &path, errors);
            if amount <= wherry_api::quantity::Quantity::default() {
                errors.invalid(&path, amount, "must be greater than zero");
            }
        }
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

/// A bound claim may grow, and shrink back to what it has.
fn check_size(object: &Value, old: &Value, errors: &mut Errors) {
    let wanted = |claim: &Value| amount_of(claim.map("spec.resources.requests"), "storage");
    let (Some(new), Some(before)) = (wanted(object), wanted(old)) else { return };
    let status = amount_of(old.map("status.capacity"), "storage");
    if new < before && status.is_none_or(|status| new <= status) {
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
