//! ConfigMap: keys of two maps that share one space of names; immutable once it says so.

use jiff::Timestamp;
use wherry_schema::{Object, Value};

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::{Errors, Path, names};

/// The rules of ConfigMaps.
pub(crate) struct ConfigMap;

/// The most bytes the values of a ConfigMap or Secret may have together.
pub(crate) const MAX_BYTES: usize = 1024 * 1024;

static COLUMNS: &[Column] =
    &[table::NAME, Column::of("Data", "string", "core.v1.ConfigMap.data"), table::AGE];

impl Rules for ConfigMap {
    fn validate(&self, object: &Value, errors: &mut Errors) {
        let (data, binary) = (object.map("data"), object.map("binaryData"));
        check_keys(data, "data", errors);
        for key in data.iter().flat_map(|d| d.keys()).filter(|k| binary.is_some_and(|b| b.contains(k))) {
            let path = Path::new("data").key(key);
            errors.invalid(&path, key.as_str(), "duplicate of key present in binaryData");
        }
        check_keys(binary, "binaryData", errors);
        if size(data) + size(binary) > MAX_BYTES {
            // Upstream's path of nothing prints so.
            errors.too_long(&Path::new("[]"), MAX_BYTES);
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        check_immutable(object, old, &["data", "binaryData"], errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let keys = |field| object.map(field).map_or(0, Object::len);
        vec![table::name(object), table::count(keys("data") + keys("binaryData")), table::age(object, now)]
    }
}

/// Refuses keys that cannot be file names.
pub(crate) fn check_keys(map: Option<&Object>, field: &str, errors: &mut Errors) {
    for key in map.iter().flat_map(|m| m.keys()) {
        errors.problems(&Path::new(field).key(key), key, names::config_key(key));
    }
}

/// Refuses a change of what has been declared immutable, and of the declaration.
pub(crate) fn check_immutable(object: &Value, old: &Value, fields: &[&str], errors: &mut Errors) {
    if !old.flag("immutable") {
        return;
    }
    let detail = "field is immutable when `immutable` is set";
    if !object.flag("immutable") {
        errors.forbidden(&Path::new("immutable"), detail);
    }
    for field in fields.iter().filter(|f| object.field(f) != old.field(f)) {
        errors.forbidden(&Path::new(field), detail);
    }
}

fn size(map: Option<&Object>) -> usize {
    map.iter().flat_map(|m| m.values()).filter_map(Value::as_str).map(str::len).sum()
}
