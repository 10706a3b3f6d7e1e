//! Rules of CustomResourceDefinitions. Expressions are not compiled yet: only that they are there is checked.
//!
//! What all versions have in common is reported at the top of the spec (`spec.validation`), where older versions of the
//! API had it.

use wherry_api::names;
use wherry_schema::Value;

use super::{fields, openapi};
use crate::object::{self, Fields};
use crate::validation::checks::{IMMUTABLE, show_list, texts};
use crate::validation::{Errors, Path, Shown, internal, webhook};

const APPROVED: &str = "api-approved.kubernetes.io";
const APPROVAL: &str = "https://github.com/kubernetes/enhancements/pull/1111";

/// The parts of a version that all versions may have in common, and where they are reported then.
const COMMON: [(&str, &str); 4] = [
    ("schema", "validation"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

/// The rules every definition keeps.
pub(super) fn check(object: &Value, errors: &mut Errors) {
    let spec = object.field("spec").cloned().unwrap_or(Value::object());
    check_spec(&spec, errors);
    check_stored(object, errors);
    check_approval(object, errors);
    if spec.flag("preserveUnknownFields") {
        let detail = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in \
                      spec.versions[*].schema instead";
        errors.invalid(&Path::new("spec.preserveUnknownFields"), Shown::raw("true"), detail);
    }
}

/// The name says what the definition is of. Neither changes afterwards.
pub(super) fn check_name(object: &Value, errors: &mut Errors) {
    let wanted = format!("{}.{}", object.text("spec.names.plural"), object.text("spec.group"));
    let name = object::name(object);
    if !name.is_empty() && name != wanted {
        errors.invalid(&Path::new("metadata.name"), name, "must be spec.names.plural+\".\"+spec.group");
    }
}

fn check_spec(spec: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    check_group(spec.text("group"), &path.child("group"), errors);
    match spec.text("scope") {
        "" => errors.required(&path.child("scope"), ""),
        scope => errors.one_of(scope, &path.child("scope"), &["Cluster", "Namespaced"]),
    }
    let versions = spec.items("versions");
    for (index, version) in versions.iter().enumerate() {
        if !version.has("schema.openAPIV3Schema") {
            let at = path.child("versions").index(index).child("schema").child("openAPIV3Schema");
            errors.required(&at, "");
        }
    }
    // What is common to all versions is checked once, at the end.
    let common = |part: &str| {
        let first = versions.first().and_then(|version| version.field(part));
        versions.iter().all(|version| version.field(part) == first).then_some(first).flatten()
    };
    let shared = COMMON.map(|(part, place)| (part, place, common(part)));
    let mut own: Vec<Value> = versions.to_vec();
    for version in &mut own {
        for (part, ..) in shared.iter().filter(|(.., value)| value.is_some()) {
            version.take(part);
        }
    }
    check_versions(&own, versions, &path.child("versions"), errors);
    check_first_version(versions, &path.child("version"), errors);
    check_names(spec, &path.child("names"), errors);
    let status = versions.iter().any(|version| version.has("subresources.status"));
    let mut whole = Value::object();
    for (part, _, value) in shared {
        whole.assign(part, value.cloned());
    }
    check_parts(&whole, versions.first(), status, (&path, "validation"), errors);
    check_conversion(spec, &path.child("conversion"), errors);
}

fn check_group(group: &str, path: &Path, errors: &mut Errors) {
    if group.is_empty() {
        errors.required(path, "");
    } else if let Err(reason) = names::dns1123_subdomain(group) {
        errors.invalid(path, group, &reason);
    } else if !group.contains('.') {
        errors.invalid(path, group, "should be a domain with at least one dot");
    }
}

fn check_versions(own: &[Value], versions: &[Value], path: &Path, errors: &mut Errors) {
    let mut unique = true;
    for (index, version) in own.iter().enumerate() {
        let (at, name) = (path.index(index), version.text("name"));
        unique &= !own[..index].iter().any(|other| other.text("name") == name);
        errors.check(names::dns1035_label(name), name, &at.child("name"));
        check_deprecation(version, &at.child("deprecationWarning"), errors);
        let status = versions[index].has("subresources.status");
        check_parts(version, versions.get(index), status, (&at, "schema"), errors);
    }
    let shown = || {
        let each = own.iter().map(|v| internal::show("CustomResourceDefinitionVersion", Some(v)).to_string());
        Shown::raw(format!("[{}]", each.collect::<Vec<_>>().join(",")))
    };
    if !unique {
        errors.invalid(path, shown(), "must contain unique version names");
    }
    if own.iter().filter(|version| version.flag("storage")).count() != 1 {
        errors.invalid(path, shown(), "must have exactly one version marked as storage version");
    }
}

fn check_deprecation(version: &Value, path: &Path, errors: &mut Errors) {
    let Some(warning) = version.field("deprecationWarning").and_then(Value::as_str) else { return };
    if !version.flag("deprecated") {
        errors.invalid(path, warning, "can only be set for deprecated versions");
        return;
    }
    if warning.len() > 256 {
        errors.invalid(path, warning, "must be <= 256 characters long");
    }
    if warning.is_empty() {
        errors.invalid(path, warning, "must not be an empty string");
    }
    if let Some((index, _)) = warning.char_indices().find(|(_, c)| c.is_control()) {
        let detail = format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {index}"
        );
        errors.invalid(path, warning, &detail);
    }
}

/// Upstream keeps the name of the first version twice.
fn check_first_version(versions: &[Value], path: &Path, errors: &mut Errors) {
    if let Some(name) = versions.first().map(|version| version.text("name")).filter(|name| !name.is_empty()) {
        errors.check(names::dns1035_label(name), name, path);
    }
}

/// The schema of a version and what goes with it.
fn check_parts(
    parts: &Value,
    version: Option<&Value>,
    status: bool,
    (path, schema): (&Path, &str),
    errors: &mut Errors,
) {
    if let Some(root) = parts.field("schema.openAPIV3Schema") {
        openapi::check_root(root, status, &path.child(schema).child("openAPIV3Schema"), errors);
    }
    fields::check_subresources(parts, &path.child("subresources"), errors);
    fields::check_columns(parts, &path.child("additionalPrinterColumns"), errors);
    let root = version.and_then(|version| version.field("schema.openAPIV3Schema"));
    fields::check_selectable(parts, root, &path.child("selectableFields"), errors);
}

fn check_names(spec: &Value, path: &Path, errors: &mut Errors) {
    for field in ["plural", "singular", "kind", "listKind"] {
        errors.some_text(spec.text(&format!("names.{field}")), &path.child(field));
    }
    if let Some(names) = spec.field("names") {
        check_name_forms(names, path, errors);
    }
}

fn check_name_forms(names: &Value, path: &Path, errors: &mut Errors) {
    for field in ["plural", "singular"] {
        let text = names.text(field);
        if !text.is_empty() {
            errors.check(names::dns1035_label(text), text, &path.child(field));
        }
    }
    for field in ["kind", "listKind"] {
        let text = names.text(field);
        if let (false, Err(reason)) = (text.is_empty(), names::dns1035_label(&text.to_lowercase())) {
            let detail = format!("may have mixed case, but should otherwise match: {reason}");
            errors.invalid(&path.child(field), text, &detail);
        }
    }
    check_labels(names, "shortNames", path, errors);
    let (kind, list) = (names.text("kind"), names.text("listKind"));
    if !kind.is_empty() && kind == list {
        errors.invalid(&path.child("listKind"), list, "kind and listKind may not be the same");
    }
    check_labels(names, "categories", path, errors);
}

fn check_labels(names: &Value, field: &str, path: &Path, errors: &mut Errors) {
    for (index, text) in texts(names, field).into_iter().enumerate() {
        errors.check(names::dns1035_label(text), text, &path.child(field).index(index));
    }
}

fn check_conversion(spec: &Value, path: &Path, errors: &mut Errors) {
    let Some(conversion) = spec.field("conversion") else { return };
    match conversion.text("strategy") {
        "" => errors.required(&path.child("strategy"), ""),
        strategy => errors.one_of(strategy, &path.child("strategy"), &["None", "Webhook"]),
    }
    let (client, versions) = (path.child("webhookClientConfig"), path.child("conversionReviewVersions"));
    let config = conversion.field("webhook.clientConfig");
    let reviews = texts(conversion, "webhook.conversionReviewVersions");
    if conversion.text("strategy") != "Webhook" {
        let detail = "should not be set when strategy is not set to Webhook";
        if config.is_some() {
            errors.forbidden(&client, detail);
        }
        if !reviews.is_empty() {
            errors.forbidden(&versions, detail);
        }
        return;
    }
    match config {
        None => errors.required(&client, "required when strategy is set to Webhook"),
        Some(config) => webhook::check_client(Some(config), &client, errors),
    }
    if reviews.is_empty() {
        errors.required(&versions, "");
        return;
    }
    for (index, review) in reviews.iter().enumerate() {
        if reviews[..index].contains(review) {
            errors.invalid(&versions.index(index), *review, "duplicate version");
        } else {
            errors.check(names::dns1035_label(review), review, &versions.index(index));
        }
    }
    if !reviews.iter().any(|review| matches!(*review, "v1" | "v1beta1")) {
        let shown = show_list(conversion, "webhook.conversionReviewVersions");
        errors.invalid(&versions, shown, "must include at least one of v1, v1beta1");
    }
}

/// Versions that objects are stored in stay, and the version to store is one of them.
fn check_stored(object: &Value, errors: &mut Errors) {
    let path = Path::new("status.storedVersions");
    let stored = texts(object, "status.storedVersions");
    let shown = || show_list(object, "status.storedVersions");
    if stored.is_empty() {
        errors.invalid(&path, Shown::raw("[]"), "must have at least one stored version");
        return;
    }
    let versions = object.items("spec.versions");
    for version in versions.iter().filter(|version| version.flag("storage")) {
        let name = version.text("name");
        if !stored.contains(&name) {
            errors.invalid(&path, shown(), &format!("must have the storage version {name}"));
        }
    }
    for (index, name) in stored.into_iter().enumerate() {
        if !versions.iter().any(|version| version.text("name") == name) {
            let detail = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions \
                 until a storage migration ensures no data remains persisted in {name} and removes {name} from \
                 status.storedVersions"
            );
            errors.invalid(&path.index(index), name, &detail);
        }
    }
}

/// What a definition says of who has approved it.
pub(crate) enum Approval {
    /// Nothing; the text says what is needed.
    Missing(String),
    /// Nothing that says anything; the text says what is needed.
    Invalid(String),
    /// That nobody has.
    Unapproved(String),
    /// Where it was.
    Approved(String),
}

/// Who has approved a definition, if it is in one of the groups of Kubernetes' own domains: those are added by
/// Kubernetes' own people.
pub(crate) fn approval(object: &Value) -> Option<Approval> {
    let group = object.text("spec.group");
    let within = |domain: &str| group == domain || group.ends_with(&format!(".{domain}"));
    if !within("k8s.io") && !within("kubernetes.io") {
        return None;
    }
    let value =
        object.map("metadata.annotations").and_then(|a| a.get(APPROVED)?.as_str()).unwrap_or_default();
    let needed = format!("protected groups must have approval annotation {APPROVED:?}");
    Some(if value.is_empty() {
        Approval::Missing(format!("{needed}, see {APPROVAL}"))
    } else if value.starts_with("unapproved") {
        Approval::Unapproved(value.to_owned())
    } else if value.contains("://") {
        Approval::Approved(value.to_owned())
    } else {
        Approval::Invalid(format!(
            "{needed} with either a URL or a reason starting with \"unapproved\", see {APPROVAL}"
        ))
    })
}

fn check_approval(object: &Value, errors: &mut Errors) {
    let path = Path::new("metadata.annotations").key(APPROVED);
    match approval(object) {
        Some(Approval::Missing(detail)) => errors.required(&path, &detail),
        Some(Approval::Invalid(detail)) => {
            let value = object.map("metadata.annotations").and_then(|a| a.get(APPROVED)?.as_str());
            errors.invalid(&path, value.unwrap_or_default(), &detail);
        }
        Some(Approval::Unapproved(_) | Approval::Approved(_)) | None => {}
    }
}

/// What of a definition may not change.
pub(super) fn check_update(object: &Value, old: &Value, errors: &mut Errors) {
    let established = old
        .items("status.conditions")
        .iter()
        .any(|condition| condition.text("type") == "Established" && condition.text("status") == "True");
    let fixed: &[&str] = if established { &["spec.scope", "spec.names.kind"] } else { &[] };
    for field in fixed.iter().chain(&["spec.group", "spec.names.plural"]) {
        if !object::same(object, old, field) {
            errors.invalid(&Path::new(field), object.text(field), IMMUTABLE);
        }
    }
}

/// The rules of the status.
pub(super) fn check_status(object: &Value, errors: &mut Errors) {
    if let Some(names) = object.field("status.acceptedNames") {
        check_name_forms(names, &Path::new("status.acceptedNames"), errors);
    }
}
