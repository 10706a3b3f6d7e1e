//! DeleteOptions: how an object is to go, from the body or the query.

use bytes::Bytes;
use http::HeaderMap;
use wherry_schema::{FieldValidation, Value};

use super::Cx;
use super::incoming::{self, Expected};
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::request::negotiate::BodyFormat;
use crate::request::query::{Query, parse_dry_run};
use crate::validation::{Errors, Path};

/// What happens to the objects owned by the one deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Propagation {
    /// They go first.
    Foreground,
    /// They go afterwards.
    Background,
    /// They stay.
    Orphan,
}

/// How an object is to go.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteOptions {
    /// Do everything but write.
    pub(crate) dry_run: bool,
    /// How long a Pod may take to stop.
    pub(crate) grace_seconds: Option<i64>,
    /// What happens to dependents; none leaves it to the kind.
    pub(crate) propagation: Option<Propagation>,
    /// The older way to say it, which also changes the code of the answer.
    pub(crate) orphan: Option<bool>,
    /// The UID the object must have.
    pub(crate) uid: Option<String>,
    /// The resourceVersion the object must have.
    pub(crate) resource_version: Option<String>,
}

impl DeleteOptions {
    /// Reads the body if there is one, else the query.
    pub(crate) fn parse(body: Bytes, headers: &HeaderMap, query: &Query) -> Result<Self, Failure> {
        let given = if body.is_empty() { from_query(query)? } else { from_body(body, headers)? };
        let mut errors = Errors::default();
        let propagation = propagation(&given, &mut errors);
        let dry_run: Vec<&str> = given.items("dryRun").iter().filter_map(Value::as_str).collect();
        let dry_run = parse_dry_run(&dry_run, &mut errors);
        if !errors.is_empty() {
            return Err(Failure::invalid_named("meta.k8s.io", "DeleteOptions", "", errors));
        }
        let text = |path: &str| given.field(path).and_then(Value::as_str).map(str::to_owned);
        Ok(Self {
            dry_run,
            grace_seconds: given.int("gracePeriodSeconds"),
            propagation,
            orphan: given.field("orphanDependents").and_then(Value::as_bool),
            uid: text("preconditions.uid"),
            resource_version: text("preconditions.resourceVersion"),
        })
    }

    /// Refuses an object that is not the one meant.
    pub(crate) fn check(&self, cx: &Cx<'_>, object: &Value) -> Result<(), Failure> {
        let name = object::name(object);
        let (uid, version) = (object.text("metadata.uid"), object.text("metadata.resourceVersion"));
        if cx.is("", "Namespace") || cx.is("apiextensions.k8s.io", "CustomResourceDefinition") {
            return self.check_before(cx, object);
        }
        if let Some(wanted) = self.uid.as_deref().filter(|w| *w != uid) {
            let why = format!(
                "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might \
                 have been deleted and then recreated"
            );
            return Err(Failure::precondition(cx.kind, name, why));
        }
        if let Some(wanted) = self.resource_version.as_deref().filter(|w| *w != version) {
            let why = format!(
                "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
                 ({version}). The object might have been modified"
            );
            return Err(Failure::precondition(cx.kind, name, why));
        }
        Ok(())
    }
}

/// Namespaces report failed preconditions in words of their own.
impl DeleteOptions {
    fn check_before(&self, cx: &Cx<'_>, object: &Value) -> Result<(), Failure> {
        let checks =
            [("UID", &self.uid, "uid"), ("ResourceVersion", &self.resource_version, "resourceVersion")];
        for (what, wanted, field) in checks {
            let found = object.text(&format!("metadata.{field}"));
            if let Some(wanted) = wanted.as_deref().filter(|w| *w != found) {
                let why = format!(
                    "Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {found}"
                );
                return Err(Failure::conflict(cx.kind, object::name(object), why));
            }
        }
        Ok(())
    }
}

fn from_body(body: Bytes, headers: &HeaderMap) -> Result<Value, Failure> {
    let expected = Expected { group: "meta.k8s.io", version: "v1", kind: "DeleteOptions" };
    let (body, format) = BodyFormat::of(headers)?.text(body)?;
    // Clients send the options in the version of the resource, or of the core group; the fields are the same.
    let mut value = wherry_schema::decode::parse(&body, format)
        .map_err(|e| Failure::BadRequest(format!("the delete options cannot be read: {e}")))?;
    if let Some(object) = value.as_object_mut() {
        object.remove("apiVersion");
        object.remove("kind");
    }
    let bytes = value.to_json_bytes();
    let (options, _) =
        incoming::read(expected, &bytes, wherry_schema::Format::Json, FieldValidation::Ignore)?;
    Ok(options)
}

fn from_query(query: &Query) -> Result<Value, Failure> {
    let mut options = Value::object();
    let dry_run = query.all("dryRun");
    if !dry_run.is_empty() {
        options.put("dryRun", dry_run);
    }
    if let Some(seconds) = query.number("gracePeriodSeconds")? {
        options.put("gracePeriodSeconds", seconds);
    }
    if let Some(policy) = query.get("propagationPolicy") {
        options.put("propagationPolicy", policy);
    }
    if query.get("orphanDependents").is_some() {
        options.put("orphanDependents", query.flag("orphanDependents"));
    }
    Ok(options)
}

fn propagation(options: &Value, errors: &mut Errors) -> Option<Propagation> {
    let path = Path::new("propagationPolicy");
    if options.has("orphanDependents") && options.has("propagationPolicy") {
        errors.invalid(
            &path,
            options.text("propagationPolicy"),
            "orphanDependents and deletionPropagation cannot be both set",
        );
    }
    if let Some(orphan) = options.field("orphanDependents").and_then(Value::as_bool) {
        return Some(if orphan { Propagation::Orphan } else { Propagation::Background });
    }
    match options.field("propagationPolicy").and_then(Value::as_str) {
        None => None,
        Some("Foreground") => Some(Propagation::Foreground),
        Some("Background") => Some(Propagation::Background),
        Some("Orphan") => Some(Propagation::Orphan),
        Some(other) => {
            errors.unsupported(&path, other, &["Foreground", "Background", "Orphan", "nil"]);
            None
        }
    }
}
