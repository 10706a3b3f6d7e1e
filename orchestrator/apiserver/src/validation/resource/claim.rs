//! Rules of ResourceClaims and of templates for them.

use wherry_schema::Value;

use super::{
    MAX_ITEMS, check_configuration, check_full_name, check_selectors, check_toleration, each, itself, unique,
};
use crate::object::{self, Fields};
use crate::validation::checks::IMMUTABLE;
use crate::validation::internal;
use crate::validation::{Errors, Path, Shown, meta};

const MAX_ALTERNATIVES: usize = 8;
const NO_REQUEST: &str = "must be the name of a request in the claim or the name of a request and a subrequest \
    separated by '/'";
/// What the metadata of a template may not say, and what upstream calls it.
const NOT_OF_TEMPLATES: &[(&str, &str)] = &[
    ("name", "name"),
    ("generateName", "generateName"),
    ("namespace", "namespace"),
    ("selfLink", "selfLink"),
    ("uid", "uID"),
    ("resourceVersion", "resourceVersion"),
    ("generation", "generation"),
    ("creationTimestamp", "creationTimestamp"),
    ("deletionTimestamp", "deletionTimestamp"),
    ("deletionGracePeriodSeconds", "deletionGracePeriodSeconds"),
    ("ownerReferences", "ownerReferences"),
    ("finalizers", "finalizers"),
    ("managedFields", "managedFields"),
];
const EXACTLY_ONE: &str = "exactly one of `exactly` or `firstAvailable` is required";

/// The rules every claim keeps.
pub(crate) fn check(object: &Value, errors: &mut Errors) {
    if let Some(devices) = object.field("spec.devices") {
        check_devices(devices, &Path::new("spec.devices"), errors);
    }
}

/// A claim stays what it is.
pub(crate) fn check_update(object: &Value, old: &Value, errors: &mut Errors) {
    if !object::same(object, old, "spec") {
        errors.invalid(
            &Path::new("spec"),
            internal::show("DeviceClaimSpec", object.field("spec")),
            IMMUTABLE,
        );
    }
}

/// The rules every template keeps.
pub(crate) fn check_template(object: &Value, errors: &mut Errors) {
    let spec = Path::new("spec");
    let metadata = spec.child("metadata");
    let annotations = object.map("spec.metadata.annotations");
    meta::check_annotations(annotations, &metadata.child("annotations"), errors);
    meta::check_labels(object.map("spec.metadata.labels"), &metadata.child("labels"), errors);
    for (field, shown) in NOT_OF_TEMPLATES {
        if object.has(&format!("spec.metadata.{field}")) {
            errors.forbidden(&metadata.child(shown), "cannot be set");
        }
    }
    if let Some(devices) = object.field("spec.spec.devices") {
        check_devices(devices, &Path::new("spec.spec.devices"), errors);
    }
}

/// A template stays what it is.
pub(crate) fn check_template_update(object: &Value, old: &Value, errors: &mut Errors) {
    if object::same(object, old, "spec") {
        return;
    }
    let shown = internal::show("DeviceClaimTemplateSpec", object.field("spec"));
    errors.invalid(&Path::new("spec"), shown, IMMUTABLE);
}

/// Whether a name is that of a request, or of one of its alternatives.
pub(super) fn knows_request(devices: Option<&Value>, name: &str) -> bool {
    let requests = devices.map_or(&[][..], |devices| devices.items("requests"));
    let (request, alternative) = name.split_once('/').map_or((name, None), |(a, b)| (a, Some(b)));
    let found = requests.iter().find(|r| r.text("name") == request);
    found.is_some_and(|found| {
        alternative.is_none_or(|name| found.items("firstAvailable").iter().any(|a| a.text("name") == name))
    })
}

/// A reference to a request of the claim.
pub(super) fn check_request_ref(name: &str, devices: Option<&Value>, path: &Path, errors: &mut Errors) {
    if name.matches('/').count() > 1 {
        errors.invalid(path, name, NO_REQUEST);
        return;
    }
    for part in name.split('/') {
        errors.label(part, path);
    }
    if !knows_request(devices, name) {
        errors.invalid(path, name, NO_REQUEST);
    }
}

fn check_devices(devices: &Value, path: &Path, errors: &mut Errors) {
    each(devices, ("requests", MAX_ITEMS), path, errors, check_request);
    unique(devices, ("requests", MAX_ITEMS), path, errors, |request| request.text("name"));
    each(devices, ("constraints", MAX_ITEMS), path, errors, |constraint, path, errors| {
        check_refs(constraint, devices, path, errors);
        let attribute = ["matchAttribute", "distinctAttribute"]
            .into_iter()
            .find_map(|field| Some((field, constraint.field(field)?.as_str()?)));
        match attribute {
            Some((field, name)) => check_full_name(name, &path.child(field), errors),
            None => errors.required(
                path,
                "exactly one of \"matchAttribute\" or \"distinctAttribute\" is required, but multiple fields are set",
            ),
        }
    });
    each(devices, ("config", MAX_ITEMS), path, errors, |config, path, errors| {
        check_refs(config, devices, path, errors);
        check_configuration(config, path, errors);
    });
}

fn check_refs(holder: &Value, devices: &Value, path: &Path, errors: &mut Errors) {
    each(holder, ("requests", MAX_ITEMS), path, errors, |name, path, errors| {
        check_request_ref(itself(name), Some(devices), path, errors);
    });
    unique(holder, ("requests", MAX_ITEMS), path, errors, itself);
}

fn check_request(request: &Value, path: &Path, errors: &mut Errors) {
    errors.label(request.text("name"), &path.child("name"));
    let alternatives = !request.items("firstAvailable").is_empty();
    match (request.field("exactly"), alternatives) {
        (None, false) => errors.required(path, EXACTLY_ONE),
        (Some(_), true) => {
            let detail = format!("{EXACTLY_ONE}, but multiple fields are set");
            errors.invalid(path, Shown::raw("null"), &detail);
        }
        (Some(exactly), false) => check_wanted(exactly, &path.child("exactly"), errors),
        (None, true) => {
            each(request, ("firstAvailable", MAX_ALTERNATIVES), path, errors, |wanted, path, errors| {
                errors.label(wanted.text("name"), &path.child("name"));
                check_wanted(wanted, path, errors);
            });
            let alternatives = ("firstAvailable", MAX_ALTERNATIVES);
            unique(request, alternatives, path, errors, |wanted| wanted.text("name"));
        }
    }
}

fn check_wanted(wanted: &Value, path: &Path, errors: &mut Errors) {
    let class = wanted.text("deviceClassName");
    if class.is_empty() {
        errors.required(&path.child("deviceClassName"), "");
    } else {
        errors.subdomain(class, &path.child("deviceClassName"));
    }
    check_selectors(wanted, path, errors);
    let (mode, count) = (wanted.text("allocationMode"), wanted.int("count").unwrap_or(0));
    match mode {
        "All" if count != 0 => {
            let detail = "must not be specified when allocationMode is 'All'";
            errors.invalid(&path.child("count"), count, detail);
        }
        "ExactCount" if count <= 0 => {
            errors.invalid(&path.child("count"), count, "must be greater than zero");
        }
        "All" | "ExactCount" => {}
        other => errors.unsupported(&path.child("allocationMode"), other, &["All", "ExactCount"]),
    }
    for (index, toleration) in wanted.items("tolerations").iter().enumerate() {
        check_toleration(toleration, &path.child("tolerations").index(index), errors);
    }
}
