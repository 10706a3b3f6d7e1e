//! Rules of metadata, which every object keeps.

use wherry_api::kinds::{KINDS, Kind};
use wherry_schema::{Object, Value};

use super::{Errors, Path, Shown, names};
use crate::kinds::Rules;
use crate::object::{self, Fields};

const MAX_ANNOTATIONS: usize = 256 * 1024;
const IMMUTABLE: &str = "field is immutable";

/// Finalizers that need no domain in front.
const STANDARD_FINALIZERS: &[&str] = &["kubernetes", "orphan", "foregroundDeletion"];

/// The rules of a new object's metadata.
pub(crate) fn check(kind: &Kind, rules: &dyn Rules, object: &Value, errors: &mut Errors) {
    let metadata = Path::new("metadata");
    check_names(rules, object, errors);
    let namespace = object::namespace(object);
    if kind.namespaced {
        if namespace.is_empty() {
            errors.required(&metadata.child("namespace"), "");
        } else {
            errors.problems(&metadata.child("namespace"), namespace, names::label(namespace));
        }
    } else if !namespace.is_empty() {
        errors.forbidden(&metadata.child("namespace"), "not allowed on this type");
    }
    check_labels(object.map("metadata.labels"), &metadata.child("labels"), errors);
    check_annotations(object.map("metadata.annotations"), &metadata.child("annotations"), errors);
    check_owners(object.items("metadata.ownerReferences"), &metadata.child("ownerReferences"), errors);
    check_finalizers(object, &metadata.child("finalizers"), errors);
}

fn check_names(rules: &dyn Rules, object: &Value, errors: &mut Errors) {
    let metadata = Path::new("metadata");
    let (name, generate) = (object::name(object), object.text("metadata.generateName"));
    if !generate.is_empty()
        && let Err(reason) = rules.check_name(&names::without_end(generate))
    {
        errors.invalid(&metadata.child("generateName"), generate, &reason);
    }
    if name.is_empty() {
        errors.required(&metadata.child("name"), "name or generateName is required");
    } else if let Err(reason) = path_segment(name).and_then(|()| rules.check_name(name)) {
        errors.invalid(&metadata.child("name"), name, &reason);
    }
}

/// A name is one segment of a URL path.
pub(crate) fn path_segment(name: &str) -> Result<(), String> {
    if name == "." || name == ".." {
        return Err(format!("may not be '{name}'"));
    }
    match name.chars().find(|c| matches!(c, '/' | '%')) {
        Some(c) => Err(format!("may not contain '{c}'")),
        None => Ok(()),
    }
}

/// The rules of labels.
pub(crate) fn check_labels(labels: Option<&Object>, path: &Path, errors: &mut Errors) {
    for (key, value) in labels.into_iter().flat_map(Object::iter) {
        errors.problems(path, key, names::qualified(key));
        let value = value.as_str().unwrap_or_default();
        errors.problems(path, value, names::label_value(value));
    }
}

/// The rules of annotations.
pub(crate) fn check_annotations(annotations: Option<&Object>, path: &Path, errors: &mut Errors) {
    let mut size = 0;
    for (key, value) in annotations.into_iter().flat_map(Object::iter) {
        errors.problems(path, key, names::qualified(&key.to_lowercase()));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > MAX_ANNOTATIONS {
        errors.too_long(path, MAX_ANNOTATIONS);
    }
}

fn check_owners(owners: &[Value], path: &Path, errors: &mut Errors) {
    for owner in owners {
        check_owner(owner, path, errors);
    }
    let mut controllers = owners.iter().filter(|o| o.flag("controller"));
    if let (Some(first), Some(second)) = (controllers.next(), controllers.next()) {
        let name = |o: &Value| format!("{}/{}", o.text("kind"), o.text("name"));
        errors.invalid(
            path,
            Shown::raw(show_owners(owners)),
            &format!(
                "Only one reference can have Controller set to true. Found \"true\" in references for {} and {}",
                name(first),
                name(second)
            ),
        );
    }
}

fn check_owner(owner: &Value, path: &Path, errors: &mut Errors) {
    let (api_version, kind) = (owner.text("apiVersion"), owner.text("kind"));
    let version = match api_version.split('/').collect::<Vec<_>>().as_slice() {
        [version] | [_, version] => version,
        _ => "",
    };
    if version.is_empty() {
        errors.invalid(&path.child("apiVersion"), api_version, "version must not be empty");
    }
    for field in ["kind", "name", "uid"] {
        if owner.text(field).is_empty() {
            errors.invalid(&path.child(field), "", "must not be empty");
        }
    }
    if (api_version, kind) == ("v1", "Event") {
        let detail = "/v1, Kind=Event is disallowed from being an owner";
        errors.invalid(path, Shown::raw(show_owner(owner)), detail);
    }
}

/// Owner references as error texts show them.
fn show_owners(owners: &[Value]) -> String {
    let shown: Vec<String> = owners.iter().map(show_owner).collect();
    format!("[{}]", shown.join(","))
}

/// An owner reference with its fields in the order of the type.
fn show_owner(owner: &Value) -> String {
    let fields: Vec<String> = ["apiVersion", "kind", "name", "uid", "controller", "blockOwnerDeletion"]
        .iter()
        .filter_map(|name| owner.field(name).map(|value| format!("{name:?}:{value}")))
        .collect();
    format!("{{{}}}", fields.join(","))
}

fn check_finalizers(object: &Value, path: &Path, errors: &mut Errors) {
    let finalizers = object.items("metadata.finalizers");
    let unqualified = !finalizers.is_empty() && allows_unqualified(object.text("apiVersion"));
    let texts: Vec<&str> = finalizers.iter().filter_map(Value::as_str).collect();
    for (index, finalizer) in texts.iter().enumerate() {
        if unqualified {
            errors.problems(&path.index(index), finalizer, names::qualified(finalizer));
        } else {
            check_finalizer(finalizer, &path.index(index), errors);
        }
    }
    if texts.contains(&"orphan") && texts.contains(&"foregroundDeletion") {
        let shown = Shown::from(&Value::Array(finalizers.to_vec()));
        errors.invalid(path, shown, "finalizer orphan and foregroundDeletion cannot be both set");
    }
}

/// Whether finalizers of objects of this version need no domain: those of definitions and of what they define do not.
fn allows_unqualified(api_version: &str) -> bool {
    let (group, _) = api_version.split_once('/').unwrap_or_default();
    group == "apiextensions.k8s.io" || (group.contains('.') && !KINDS.iter().any(|kind| kind.group == group))
}

/// The rules of one finalizer.
pub(crate) fn check_finalizer(finalizer: &str, path: &Path, errors: &mut Errors) {
    let problems = names::qualified(finalizer);
    if !problems.is_empty() {
        errors.problems(path, finalizer, problems);
    } else if !finalizer.contains('/') && !STANDARD_FINALIZERS.contains(&finalizer) {
        errors.invalid(
            path,
            finalizer,
            "name is neither a standard finalizer name nor is it fully qualified",
        );
    }
}

/// What an update may not change in metadata, and the rules of what it may.
pub(crate) fn check_update(object: &Value, old: &Value, errors: &mut Errors) {
    let metadata = Path::new("metadata");
    check_finalizers(object, &metadata.child("finalizers"), errors);
    if object::terminating(old) {
        check_no_new_finalizers(object, old, &metadata.child("finalizers"), errors);
    }
    for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let path = format!("metadata.{field}");
        if !object::same(object, old, &path) {
            let shown = object.field(&path).map_or(Shown::raw("null"), Shown::from);
            errors.invalid(&metadata.child(field), shown, IMMUTABLE);
        }
    }
    check_labels(object.map("metadata.labels"), &metadata.child("labels"), errors);
    check_annotations(object.map("metadata.annotations"), &metadata.child("annotations"), errors);
    check_owners(object.items("metadata.ownerReferences"), &metadata.child("ownerReferences"), errors);
}

fn check_no_new_finalizers(object: &Value, old: &Value, path: &Path, errors: &mut Errors) {
    let known = object::finalizers(old);
    let new: Vec<String> = object::finalizers(object)
        .into_iter()
        .filter(|f| !known.contains(f))
        .map(|f| format!("{f:?}"))
        .collect();
    if !new.is_empty() {
        let list = new.join(", ");
        errors.forbidden(
            path,
            &format!("no new finalizers can be added if the object is being deleted, found new finalizers []string{{{list}}}"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owners_have_a_version_and_are_no_events() {
        for (json, wanted) in [
            (r#"{"apiVersion":"a/b","kind":"K","name":"n","uid":"u"}"#, ""),
            (
                r#"{"apiVersion":"a/b/c","kind":"K","name":"n","uid":"u"}"#,
                "owners.apiVersion: Invalid value: \"a/b/c\": version must not be empty",
            ),
            (
                r#"{"apiVersion":"a/","kind":"K","name":"n","uid":"u"}"#,
                "owners.apiVersion: Invalid value: \"a/\": version must not be empty",
            ),
            (
                r#"{"apiVersion":"v1","kind":"Event","name":"n","uid":"u"}"#,
                "owners: Invalid value: {\"apiVersion\":\"v1\",\"kind\":\"Event\",\"name\":\"n\",\"uid\":\"u\"}: /v1, \
                 Kind=Event is disallowed from being an owner",
            ),
        ] {
            let mut errors = Errors::default();
            let owner = Value::from_json(json.as_bytes()).unwrap();
            check_owner(&owner, &Path::new("owners"), &mut errors);
            let told = if errors.is_empty() { String::new() } else { errors.to_string() };
            assert_eq!(told, wanted);
        }
    }
}
