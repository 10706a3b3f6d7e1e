//! Namespace: lives until its content is gone, which the `kubernetes` finalizer in its spec stands for.

use jiff::Timestamp;
use wherry_api::names;
use wherry_schema::Value;

use super::{Rules, Selectable};
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::meta::{self, check_finalizer};
use crate::validation::{Errors, Path};

/// The rules of Namespaces.
pub(crate) struct Namespace;

/// Namespaces that exist for as long as the cluster does.
pub(crate) const IMMORTAL: &[&str] = &["default", "kube-system", "kube-public"];

static COLUMNS: &[Column] =
    &[table::NAME, Column::new("Status", "string", "The status of the namespace"), table::AGE];

static FIELDS: &[Selectable] = &[Selectable { name: "status.phase", attribute: "=status.phase" }];

impl Rules for Namespace {
    fn fields(&self) -> &'static [Selectable] {
        FIELDS
    }

    fn returns_deleted(&self) -> bool {
        true
    }

    fn check_name(&self, name: &str) -> Result<(), String> {
        names::dns1123_label(name)
    }

    fn prepare_create(&self, object: &mut Value) {
        object.take("status");
        object.put("status.phase", "Active");
        let mut finalizers: Vec<Value> = object.items("spec.finalizers").to_vec();
        let kubernetes = Value::from("kubernetes");
        if !finalizers.contains(&kubernetes) {
            finalizers.push(kubernetes);
        }
        object.put("spec.finalizers", finalizers);
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        object.assign("spec.finalizers", old.field("spec.finalizers").cloned());
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        for finalizer in object.items("spec.finalizers").iter().filter_map(Value::as_str) {
            check_finalizer(finalizer, &Path::new("spec.finalizers"), errors);
        }
    }

    fn check_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        meta::check_update(object, old, errors);
    }

    fn validate_status(&self, object: &Value, old: &Value, errors: &mut Errors) {
        let phase = object.text("status.phase");
        if object::same(object, old, "status.phase") {
            return;
        }
        let expected = if object::terminating(old) { "Terminating" } else { "Active" };
        if phase != expected {
            let detail = match expected {
                "Active" => "may only be 'Active' if `deletionTimestamp` is empty",
                _ => "may only be 'Terminating' if `deletionTimestamp` is not empty",
            };
            errors.invalid(&Path::new("status.phase"), phase, detail);
        }
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![table::name(object), object.text("status.phase").into(), table::age(object, now)]
    }
}
