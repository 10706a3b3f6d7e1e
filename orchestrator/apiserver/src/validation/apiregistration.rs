//! Rules of APIServices.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wherry_api::names;
use wherry_schema::Value;

use super::{Errors, Path, meta};
use crate::object::{self, Fields};

/// The rules every APIService keeps.
pub(crate) fn check(object: &Value, errors: &mut Errors) {
    let spec = Path::new("spec");
    let (group, version) = (object.text("spec.group"), object.text("spec.version"));
    let wanted = format!("{version}.{group}");
    let name = object::name(object);
    if !name.is_empty() && meta::path_segment(name).is_ok() && name != wanted {
        let detail = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
        errors.invalid(&Path::new("metadata.name"), name, &detail);
    }
    if !group.is_empty() {
        errors.subdomain(group, &spec.child("group"));
    } else if version != "v1" {
        let detail = "only v1 may have an empty group and it better be legacy kube";
        errors.required(&spec.child("group"), detail);
    }
    errors.check(names::dns1035_label(version), version, &spec.child("version"));
    let (minimum, priority) = (
        object.int("spec.groupPriorityMinimum").unwrap_or(0),
        object.int("spec.versionPriority").unwrap_or(0),
    );
    if minimum <= 0 || minimum > 20_000 {
        errors.invalid(&spec.child("groupPriorityMinimum"), minimum, "must be positive and less than 20000");
    }
    if priority <= 0 || priority > 1_000 {
        errors.invalid(&spec.child("versionPriority"), priority, "must be positive and less than 1000");
    }
    check_target(object, &spec, errors);
}

fn check_target(object: &Value, spec: &Path, errors: &mut Errors) {
    let bundle = object.text("spec.caBundle");
    let insecure = object.flag("spec.insecureSkipTLSVerify");
    let Some(service) = object.field("spec.service") else {
        if !bundle.is_empty() {
            let size = STANDARD.decode(bundle).map_or(0, |bytes| bytes.len());
            let shown = format!("{size} bytes");
            errors.invalid(&spec.child("caBundle"), &shown, "local APIServices may not have a caBundle");
        }
        if insecure {
            let shown = super::Shown::raw("true");
            let detail = "local APIServices may not have insecureSkipTLSVerify";
            errors.invalid(&spec.child("insecureSkipTLSVerify"), shown, detail);
        }
        return;
    };
    let path = spec.child("service");
    errors.some_text(service.text("namespace"), &path.child("namespace"));
    errors.some_text(service.text("name"), &path.child("name"));
    let port = service.int("port").unwrap_or(443);
    if !(1..=65_535).contains(&port) {
        let detail = "port is not valid: must be between 1 and 65535, inclusive";
        errors.invalid(&path.child("port"), port, detail);
    }
    if insecure && !bundle.is_empty() {
        let shown = super::Shown::raw("true");
        let detail = "may not be true if caBundle is present";
        errors.invalid(&spec.child("insecureSkipTLSVerify"), shown, detail);
    }
}

/// The rules of the status.
pub(crate) fn check_status(object: &Value, errors: &mut Errors) {
    for (index, condition) in object.items("status.conditions").iter().enumerate() {
        let path = Path::new("status.conditions").index(index).child("status");
        errors.one_of(condition.text("status"), &path, &["True", "False", "Unknown"]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_named_after_what_it_serves() {
        for (name, spec, wanted) in [
            ("v1.a.b", r#"{"group":"a.b","version":"v1"}"#, &[][..]),
            ("x", r#"{"group":"a.b","version":"v1"}"#, &["metadata.name"]),
            ("a/b", r#"{"group":"a.b","version":"v1"}"#, &[]),
            ("v1.", r#"{"group":"","version":"v1"}"#, &[]),
            ("v2.", r#"{"group":"","version":"v2"}"#, &["spec.group"]),
            ("v1.B_", r#"{"group":"B_","version":"v1"}"#, &["spec.group"]),
        ] {
            let mut object = Value::object();
            object.put("metadata.name", name);
            object.put("spec", Value::from_json(spec.as_bytes()).unwrap());
            object.put("spec.groupPriorityMinimum", 10);
            object.put("spec.versionPriority", 10);
            let mut errors = Errors::default();
            check(&object, &mut errors);
            let fields: Vec<&str> = errors.causes().iter().map(|cause| cause.field.as_str()).collect();
            assert_eq!(fields, wanted, "{name}");
        }
    }
}
