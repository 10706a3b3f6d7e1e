//! Who owns which field: keeps `metadata.managedFields` of what is written.
//!
//! Ownership is settled on the object as the client's version has it, before the kind's rules and admission change
//! anything: what the server sets belongs to nobody.

use std::borrow::Cow;
use std::sync::LazyLock;

use wherry_api::kinds::{self, Kind};
use wherry_schema::managed::{Owners, Set, Versions, Write};
use wherry_schema::{Object, Schema, Schemas, Str, Value};

use super::Cx;
use super::update::Part;
use crate::error::Failure;
use crate::object::Fields;

/// Where the list is.
pub(crate) const MANAGED_FIELDS: &str = "metadata.managedFields";

/// The versions in which a resource is served.
pub(crate) struct Served<'a>(pub(crate) &'a Cx<'a>);

impl Versions for Served<'_> {
    fn convert<'v>(&'v self, object: &'v Value, api_version: &str) -> Option<(Cow<'v, Value>, &'v Schema)> {
        let kind = self.0.kind;
        if let Some(served) = self.0.custom {
            return served.in_version(object, api_version);
        }
        let to = sibling(kind, api_version)?;
        let schema = Schemas::builtin().kind(to.group, to.version, to.kind)?;
        let given = object.text("apiVersion");
        if given == api_version {
            return Some((Cow::Borrowed(object), schema));
        }
        let (from, to) = (Cx::new(self.0.state, sibling(kind, given)?, ""), Cx::new(self.0.state, to, ""));
        Some((Cow::Owned(to.to_served(from.to_stored(object.clone()))), schema))
    }
}

/// The row of a resource in another version of it.
fn sibling(kind: &'static Kind, api_version: &str) -> Option<&'static Kind> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    if (group, version) == (kind.group, kind.version) {
        return Some(kind);
    }
    kinds::by_kind(group, version, kind.kind).filter(|found| found.storage == kind.storage)
}

/// Settles who owns what of a new object.
pub(crate) fn created(cx: &Cx<'_>, object: &mut Value, manager: &str) -> Result<(), Failure> {
    let schema = cx.schema()?;
    settle(cx, Part::Whole, (schema.empty(), object), manager)
}

/// Settles who owns what after `live` became `object`.
pub(crate) fn updated(
    cx: &Cx<'_>,
    part: Part,
    (live, object): (&Value, &mut Value),
    manager: &str,
) -> Result<(), Failure> {
    settle(cx, part, (live, object), manager)
}

/// Runs `change` with what goes into every change of owners.
pub(crate) fn with_write<R>(
    cx: &Cx<'_>,
    part: Part,
    manager: &str,
    change: impl FnOnce(&Write<'_>) -> R,
) -> Result<R, Failure> {
    let (api_version, now) = (cx.kind.api_version(), cx.state.timestamp());
    let write = Write {
        manager,
        api_version: &api_version,
        subresource: part.subresource(),
        schema: cx.schema()?,
        ignored: if cx.custom.is_some() {
            reset_custom_fields(cx.kind, part)
        } else {
            reset_fields(cx.kind, part)
        },
        now: &now,
        versions: &Served(cx),
    };
    Ok(change(&write))
}

fn settle(
    cx: &Cx<'_>,
    part: Part,
    (live, object): (&Value, &mut Value),
    manager: &str,
) -> Result<(), Failure> {
    let sent = object.take(MANAGED_FIELDS);
    let before = live.field(MANAGED_FIELDS);
    let mut owners = Owners::of_write(before, sent.as_ref(), part.subresource());
    let result = with_write(cx, part, manager, |write| owners.update(live, object, write))?;
    let known = cx.custom.is_none_or(|served| served.sibling_failure().is_none());
    match result {
        Ok(()) if known => object.assign(MANAGED_FIELDS, owners.write()),
        // What cannot be compared, such as items without their keys or a version that a webhook does not make, changes
        // no owners.
        Ok(()) | Err(_) => object.assign(MANAGED_FIELDS, before.cloned()),
    }
    Ok(())
}

/// Whether two objects differ in nothing, or only in the times of their owners.
pub(crate) fn same_but_times(a: &Value, b: &Value) -> bool {
    if a == b {
        return true;
    }
    same_but(a.as_object(), b.as_object(), "metadata")
        && same_but(a.map("metadata"), b.map("metadata"), "managedFields")
        && same_entries(a.items(MANAGED_FIELDS), b.items(MANAGED_FIELDS))
}

/// Whether two objects differ in nothing but the field of this name.
fn same_but(a: Option<&Object>, b: Option<&Object>, name: &str) -> bool {
    let (a, b) = (a.map(Object::iter), b.map(Object::iter));
    let is_compared = |(field, _): &(&Str, &Value)| &***field != name;
    a.into_iter().flatten().filter(is_compared).eq(b.into_iter().flatten().filter(is_compared))
}

fn same_entries(a: &[Value], b: &[Value]) -> bool {
    let names = ["manager", "operation", "apiVersion", "subresource", "fieldsV1"];
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| names.iter().all(|name| a.get(name) == b.get(name)))
}

static NOTHING: LazyLock<Set> = LazyLock::new(Set::default);
static STATUS: LazyLock<Set> = LazyLock::new(|| Set::of(&[&["status"]]));
static SPEC: LazyLock<Set> = LazyLock::new(|| Set::of(&[&["spec"]]));
static SPEC_AND_STATUS: LazyLock<Set> = LazyLock::new(|| Set::of(&[&["spec"], &["status"]]));
static SPEC_AND_METADATA: LazyLock<Set> = LazyLock::new(|| Set::of(&[&["spec"], &["metadata"]]));
static SPEC_AND_LABELS: LazyLock<Set> = LazyLock::new(|| Set::of(&[&["spec"], &["metadata", "labels"]]));
static SPEC_AND_CONDITIONS: LazyLock<Set> =
    LazyLock::new(|| Set::of(&[&["spec"], &["status", "conditions"]]));
static POD_STATUS: LazyLock<Set> = LazyLock::new(|| {
    Set::of(&[&["spec"], &["metadata", "deletionTimestamp"], &["metadata", "ownerReferences"]])
});

/// The fields that an endpoint puts back whatever is written to them, so that writing them makes nobody their owner.
fn reset_fields(kind: &Kind, part: Part) -> &'static Set {
    match (kind.kind, part) {
        ("CertificateSigningRequest", Part::Whole) => &SPEC_AND_STATUS,
        (_, Part::Whole) if kind.subresource("status").is_some() => &STATUS,
        ("Namespace", Part::Finalize) => &STATUS,
        ("Pod", Part::Status) => &POD_STATUS,
        ("Deployment", Part::Status) => &SPEC_AND_LABELS,
        ("CertificateSigningRequest", Part::Status) => &SPEC_AND_CONDITIONS,
        (
            "FlowSchema"
            | "PriorityLevelConfiguration"
            | "ServiceCIDR"
            | "ValidatingAdmissionPolicy"
            | "VolumeAttachment"
            | "APIService",
            Part::Status,
        ) => &SPEC_AND_METADATA,
        (_, Part::Status | Part::Approval) => &SPEC,
        (_, Part::Whole | Part::Finalize | Part::Scale | Part::Ephemeral | Part::Resize | Part::Binding) => {
            &NOTHING
        }
    }
}

/// The same, of custom kinds.
fn reset_custom_fields(kind: &Kind, part: Part) -> &'static Set {
    match part {
        Part::Whole if kind.subresource("status").is_some() => &STATUS,
        Part::Status => &SPEC_AND_METADATA,
        _ => &NOTHING,
    }
}
