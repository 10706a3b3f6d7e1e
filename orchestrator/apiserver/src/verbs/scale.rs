//! Scale: the number of Pods of a Deployment or ReplicaSet, as an object of its own.

use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use wherry_schema::decode::conform;
use wherry_schema::{Value, patch};

use super::incoming::{self, Expected};
use super::update::{Part, update};
use super::{Cx, schema, show};
use crate::codec;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::request::negotiate::{Accept, PatchType, Shape};
use crate::request::query::WriteOptions;
use crate::respond;
use crate::table::{self, Column};
use crate::validation::{Errors, Path};

static COLUMNS: &[Column] = &[
    Column::new("Name", "string", "Name of the scaled object"),
    Column::new("Desired", "integer", "Number of Pods wanted"),
    Column::new("Available", "integer", "Number of Pods"),
    Column::new("Age", "string", "Time since the object was created"),
];

const SCALE: Expected<'static> = Expected { group: "autoscaling", version: "v1", kind: "Scale" };

/// The Scale of an object.
pub(crate) fn of(object: &Value) -> Value {
    let mut scale = Value::object();
    scale.put("kind", "Scale");
    scale.put("apiVersion", "autoscaling/v1");
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        let path = format!("metadata.{field}");
        scale.assign(&path, object.field(&path).cloned());
    }
    scale.put("spec", Value::object());
    if let Some(replicas) = object.int("spec.replicas").filter(|r| *r != 0) {
        scale.put("spec.replicas", replicas);
    }
    scale.put("status.replicas", object.int("status.replicas").unwrap_or(0));
    let selector = table::selector(object, "spec.selector");
    if selector != "<none>" {
        scale.put("status.selector", selector);
    }
    scale
}

/// The answer that shows the Scale of a stored object.
pub(crate) fn answer(
    cx: &Cx<'_>,
    code: StatusCode,
    stored: &[u8],
    accept: Accept,
) -> Result<Response, Failure> {
    let scale = of(&codec::decode("(scale)", stored)?);
    let bytes = codec::encode_loose("Scale", "autoscaling/v1", &scale);
    let bytes: Bytes = match accept.shape {
        Shape::Object | Shape::Discovery => bytes,
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
}

impl Wanted {
    /// Reads a Scale.
    pub(crate) fn put(
        bytes: &[u8],
        format: wherry_schema::Format,
        options: &WriteOptions,
    ) -> Result<Self, Failure> {
        Ok(Self::Put(incoming::read(SCALE, bytes, format, options.validation)?.0))
    }

    /// Reads a patch of a Scale.
    pub(crate) fn patch(kind: PatchType, bytes: &[u8]) -> Result<Self, Failure> {
        let body =
            Value::from_json(bytes).map_err(|e| Failure::BadRequest(format!("error decoding patch: {e}")))?;
        Ok(Self::Patch(kind, body))
    }

    fn resolve(&self, old: &Value, options: &WriteOptions) -> Result<Value, Failure> {
        let (kind, body) = match self {
            Self::Put(scale) => return Ok(scale.clone()),
            Self::Patch(kind, body) => (kind, body),
        };
        let mut scale = of(old);
        let schema = schema(SCALE.group, SCALE.version, SCALE.kind)?;
        let applied = match kind {
            PatchType::Json => patch::json_patch(&mut scale, body),
            PatchType::Merge => patch::merge_patch(&mut scale, body),
            PatchType::Strategic => patch::strategic_merge(&mut scale, body, schema),
        };
        applied.map_err(|e| Failure::Unprocessable(e.to_string()))?;
        let fitted = conform(&scale, schema, options.validation);
        fitted.map(|(scale, _)| scale).map_err(|e| Failure::BadRequest(e.to_string()))
    }
}

/// Changes the number of Pods and answers the stored object.
pub(crate) async fn scale(
    cx: &Cx<'_>,
    name: &str,
    wanted: &Wanted,
    options: &WriteOptions,
) -> Result<Bytes, Failure> {
    let change = &mut |old: &Value| {
        let scale = wanted.resolve(old, options)?;
        let given = object::name(&scale);
        if given != name {
            return Err(Failure::BadRequest(format!(
                "the name of the object ({given}) does not match the name on the URL ({name})"
            )));
        }
        let replicas = scale.int("spec.replicas").unwrap_or(0);
        if replicas < 0 {
            let mut errors = Errors::default();
            let path = Path::new("spec.replicas");
            errors.invalid(&path, replicas, "must be greater than or equal to 0");
            return Err(Failure::invalid_named(SCALE.group, SCALE.kind, name, errors));
        }
        let mut object = old.clone();
        object.put("spec.replicas", replicas);
        for field in ["metadata.uid", "metadata.resourceVersion"] {
            object.assign(field, scale.field(field).cloned());
        }
        Ok(object)
    };
    update(cx, name, Part::Scale, options, change).await
}
