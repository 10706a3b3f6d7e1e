//! Scale: the number of Pods of a Deployment or ReplicaSet, as an object of its own.

use std::borrow::Cow;

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use wherry_schema::decode::conform;
use wherry_schema::managed::{Owners, Set, Versions, Write};
use wherry_schema::{Schema, Value, patch};

use super::incoming::{self, Expected};
use super::owners::MANAGED_FIELDS;
use super::update::{Part, update};
use super::{Cx, apply, schema, show, update as updates};
use crate::codec;
use crate::error::Failure;
use crate::object::Fields;
use crate::request::negotiate::{Accept, PatchType, Shape};
use crate::request::query::WriteOptions;
use crate::respond;
use crate::table::{self, Column};
use crate::validation::{Errors, Path};

static COLUMNS: &[Column] = &[
    Column::of("Name", "string", "meta.v1.ObjectMeta.name"),
    Column::of("Desired", "integer", "autoscaling.v1.ScaleSpec.replicas"),
    Column::of("Available", "integer", "autoscaling.v1.ScaleStatus.replicas"),
    table::AGE,
];

const API_VERSION: &str = "autoscaling/v1";
const SCALE: Expected<'static> = Expected { group: "autoscaling", version: "v1", kind: "Scale" };

/// Where objects say how many replicas they shall have, unless a definition says otherwise.
const REPLICAS: &str = "spec.replicas";

/// Where objects of a kind say how many replicas they shall have.
pub(super) fn place<'a>(cx: &Cx<'a>) -> &'a str {
    let scale = cx.custom.and_then(|served| served.version().scale.as_ref());
    scale.map_or(REPLICAS, |scale| &scale.wanted)
}

/// The Scale of an object.
pub(crate) fn of(cx: &Cx<'_>, object: &Value) -> Value {
    let mut scale = Value::object();
    scale.put("kind", "Scale");
    scale.put("apiVersion", API_VERSION);
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        let path = format!("metadata.{field}");
        scale.assign(&path, object.field(&path).cloned());
    }
    scale.put("spec", Value::object());
    if let Some(replicas) = object.int(place(cx)).filter(|r| *r != 0) {
        scale.put(REPLICAS, replicas);
    }
    if let Some(places) = cx.custom.and_then(|served| served.version().scale.as_ref()) {
        scale.put("status.replicas", object.int(&places.actual).unwrap_or(0));
        let selector = Some(object.text(&places.selector)).filter(|text| !text.is_empty());
        scale.assign("status.selector", selector.map(Value::from));
        return scale;
    }
    scale.put("status.replicas", object.int("status.replicas").unwrap_or(0));
    // The selector of a ReplicationController is a map of labels.
    let selector = match object.text("kind") {
        "ReplicationController" => table::labels(object, "spec.selector"),
        _ => table::selector(object, "spec.selector"),
    };
    if !matches!(selector.as_str(), "" | "<none>") {
        scale.put("status.selector", selector);
    }
    scale
}

/// The answer that shows the Scale of a stored object.
pub(crate) async fn answer(
    cx: &Cx<'_>,
    code: StatusCode,
    stored: &[u8],
    accept: Accept,
) -> Result<Response, Failure> {
    let object = cx.load("(scale)", stored).await?;
    if !object.has(place(cx)) && cx.custom.is_some() {
        let place = format!(".{}", place(cx));
        return Err(Failure::Internal(format!("the spec replicas field {place:?} does not exist")));
    }
    let scale = of(cx, &object);
    let bytes = codec::encode_loose("Scale", API_VERSION, &scale);
    let bytes: Bytes = match accept.shape {
        Shape::Object | Shape::Lean | Shape::Discovery => bytes,
        Shape::Partial(version) => table::partial(&bytes, version)?,
        Shape::Table(version, _) => {
            let cells = vec![
                table::name(&scale),
                table::number(&scale, "spec.replicas"),
                table::number(&scale, "status.replicas"),
                table::age(&scale, cx.state.clock.now()),
            ];
            let metadata = format!("{{\"resourceVersion\":\"{}\"}}", show::revision_of(stored));
            table::table_of(version, &metadata, (COLUMNS, cells), &bytes)?
        }
    };
    Ok(respond::json(code, bytes, accept.yaml))
}

/// What a client wants of a Scale.
pub(crate) enum Wanted {
    /// This one.
    Put(Value),
    /// The current one with this difference.
    Patch(PatchType, Value),
    /// The current one with this configuration applied.
    Apply(apply::Config),
}

/// A Scale has one version.
struct OneVersion;

impl Versions for OneVersion {
    fn convert<'v>(&'v self, object: &'v Value, api_version: &str) -> Option<(Cow<'v, Value>, &'v Schema)> {
        let schema = schema(SCALE.group, SCALE.version, SCALE.kind).ok()?;
        (api_version == API_VERSION).then_some((Cow::Borrowed(object), schema))
    }
}

impl Wanted {
    /// Reads the Scale of an object of this name.
    pub(crate) fn put(
        name: &str,
        bytes: &[u8],
        format: wherry_schema::Format,
        options: &WriteOptions,
    ) -> Result<Self, Failure> {
        let (scale, _) = incoming::read(SCALE, bytes, format, options.validation)?;
        incoming::check_name(&scale, name)?;
        Ok(Self::Put(scale))
    }

    /// Reads a patch of a Scale.
    pub(crate) fn patch(kind: PatchType, bytes: &[u8]) -> Result<Self, Failure> {
        let body =
            Value::from_json(bytes).map_err(|e| Failure::BadRequest(format!("error decoding patch: {e}")))?;
        Ok(Self::Patch(kind, body))
    }

    /// The Scale that is wanted instead of `live`, whose owners change along.
    fn resolve(
        &self,
        live: &Value,
        owners: &mut Owners,
        write: &Write<'_>,
        options: &WriteOptions,
    ) -> Result<Value, Failure> {
        let scale = match self {
            Self::Put(scale) => scale.clone(),
            Self::Patch(kind, body) => patched(live, *kind, body, (write.schema, options))?,
            Self::Apply(config) => {
                let of = (SCALE.group, SCALE.version, SCALE.kind);
                return config.apply_to(live, owners, of, write);
            }
        };
        // What cannot be compared changes no owners.
        let before = owners.clone();
        if owners.update(live, &scale, write).is_err() {
            *owners = before;
        }
        Ok(scale)
    }
}

fn patched(
    live: &Value,
    kind: PatchType,
    body: &Value,
    (schema, options): (&Schema, &WriteOptions),
) -> Result<Value, Failure> {
    let mut scale = live.clone();
    let applied = match kind {
        PatchType::Json => patch::json_patch(&mut scale, body),
        PatchType::Merge => patch::merge_patch(&mut scale, body),
        PatchType::Strategic => patch::strategic_merge(&mut scale, body, schema),
    };
    applied.map_err(|e| Failure::Unprocessable(e.to_string()))?;
    let fitted = conform(&scale, schema, options.validation);
    fitted.map(|(scale, _)| scale).map_err(|e| Failure::BadRequest(e.to_string()))
}

/// Changes the number of Pods and answers the stored object.
pub(crate) async fn scale(
    cx: &Cx<'_>,
    name: &str,
    wanted: &Wanted,
    options: &WriteOptions,
) -> Result<Bytes, Failure> {
    let (nothing, now) = (Set::default(), cx.state.timestamp());
    let write = Write {
        manager: &options.manager,
        api_version: API_VERSION,
        subresource: Part::Scale.subresource(),
        schema: schema(SCALE.group, SCALE.version, SCALE.kind)?,
        ignored: &nothing,
        now: &now,
        versions: &OneVersion,
    };
    let change = &mut |old: &Value| {
        let owners = Owners::read(old.field(MANAGED_FIELDS)).unwrap_or_default();
        let path: Vec<&str> = place(cx).split('.').collect();
        let mut owners_of_scale = owners.of_scale(&path);
        let scale = wanted.resolve(&of(cx, old), &mut owners_of_scale, &write, options)?;
        incoming::check_name(&scale, name)?;
        let replicas = scale.int("spec.replicas").unwrap_or(0);
        check_replicas(name, replicas)?;
        let mut object = old.clone();
        object.put(place(cx), replicas);
        for field in ["metadata.uid", "metadata.resourceVersion"] {
            object.assign(field, scale.field(field).cloned());
        }
        let owners = owners.with_scale(&owners_of_scale, (&cx.kind.api_version(), &path));
        object.assign(MANAGED_FIELDS, owners.write());
        Ok(updates::Wanted::Owned(object))
    };
    update(cx, name, Part::Scale, options, change).await
}

fn check_replicas(name: &str, replicas: i64) -> Result<(), Failure> {
    if replicas >= 0 {
        return Ok(());
    }
    let mut errors = Errors::default();
    errors.invalid(&Path::new("spec.replicas"), replicas, "must be greater than or equal to 0");
    Err(Failure::invalid_named(SCALE.group, SCALE.kind, name, errors))
}
