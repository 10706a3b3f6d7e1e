//! How a change is to be done, as the object that those who look at it get.

use wherry_schema::{FieldValidation, Value};

use super::Operation;
use crate::object::Fields;
use crate::request::query::WriteOptions;
use crate::verbs::delete_options::{DeleteOptions, Propagation};

const API_VERSION: &str = "meta.k8s.io/v1";

fn object(kind: &str, dry_run: bool) -> Value {
    let mut options = Value::object();
    options.put("kind", kind);
    options.put("apiVersion", API_VERSION);
    if dry_run {
        options.put("dryRun", vec![Value::from("All")]);
    }
    options
}

/// The `CreateOptions` or `UpdateOptions` of a write. A patch is told as what comes of it.
pub(crate) fn of_write(operation: Operation, given: &WriteOptions) -> Value {
    let kind = if operation == Operation::Create { "CreateOptions" } else { "UpdateOptions" };
    let mut options = object(kind, given.dry_run);
    if given.names_manager {
        options.put("fieldManager", given.manager.as_str());
    }
    match given.validation {
        FieldValidation::Strict => options.put("fieldValidation", "Strict"),
        FieldValidation::Ignore => options.put("fieldValidation", "Ignore"),
        FieldValidation::Warn => {}
    }
    options
}

/// The `DeleteOptions` of a deletion.
pub(crate) fn of_delete(given: &DeleteOptions) -> Value {
    let mut options = object("DeleteOptions", given.dry_run);
    if let Some(seconds) = given.grace_seconds {
        options.put("gracePeriodSeconds", seconds);
    }
    if let Some(uid) = &given.uid {
        options.put("preconditions.uid", uid.as_str());
    }
    if let Some(version) = &given.resource_version {
        options.put("preconditions.resourceVersion", version.as_str());
    }
    let propagation = given.propagation.map(|propagation| match propagation {
        Propagation::Foreground => "Foreground",
        Propagation::Background => "Background",
        Propagation::Orphan => "Orphan",
    });
    match (given.orphan, propagation) {
        (Some(orphan), _) => options.put("orphanDependents", orphan),
        (None, Some(policy)) => options.put("propagationPolicy", policy),
        (None, None) => {}
    }
    options
}
