//! Patch: an update said as a difference, tried again when another writer was faster.

use wherry_schema::decode::conform;
use wherry_schema::{Value, patch};

use super::{Cx, incoming};
use crate::error::Failure;
use crate::request::negotiate::PatchType;
use crate::request::query::WriteOptions;
use crate::validation::{Errors, Path, Shown};

/// A patch, parsed once.
pub(crate) struct Patch {
    kind: PatchType,
    body: Value,
}

impl Patch {
    /// Reads a patch.
    pub(crate) fn parse(kind: PatchType, bytes: &[u8]) -> Result<Self, Failure> {
        let body =
            Value::from_json(bytes).map_err(|e| Failure::BadRequest(format!("error decoding patch: {e}")))?;
        Ok(Self { kind, body })
    }

    /// The object after the patch, fitted to its schema and completed.
    pub(crate) fn apply(
        &self,
        cx: &Cx<'_>,
        old: &Value,
        options: &WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Value, Failure> {
        let mut object = old.clone();
        let schema = cx.schema()?;
        let applied = match self.kind {
            PatchType::Json => patch::json_patch(&mut object, &self.body),
            PatchType::Merge => patch::merge_patch(&mut object, &self.body),
            PatchType::Strategic => patch::strategic_merge(&mut object, &self.body, schema),
        };
        applied.map_err(|e| refuse(&e))?;
        let (mut object, found) =
            conform(&object, schema, options.validation).map_err(|e| self.unfit(cx, &e))?;
        *warnings = found;
        incoming::complete(cx, &mut object);
        Ok(object)
    }

    /// A patch whose result is no object of the kind.
    fn unfit(&self, cx: &Cx<'_>, error: &wherry_schema::DecodeError) -> Failure {
        if let (PatchType::Strategic, wherry_schema::DecodeError::Type(mismatch)) = (self.kind, error) {
            return invalid_patch(&self.body, &mismatch.conversion_message());
        }
        let kind = cx.kind.kind;
        Failure::BadRequest(format!(
            "{kind} in version {:?} cannot be handled as a {kind}: {error}",
            cx.kind.version
        ))
    }
}

fn invalid_patch(body: &Value, detail: &str) -> Failure {
    let mut errors = Errors::default();
    let shown = Shown::raw(format!("{:?}", show(body)));
    errors.invalid(&Path::new("patch"), shown, detail);
    Failure::invalid_named("", "", "", errors)
}

/// A value as Go prints a map.
fn show(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let fields: Vec<String> = object.iter().map(|(k, v)| format!("{k}:{}", show(v))).collect();
            format!("map[{}]", fields.join(" "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(show).collect();
            format!("[{}]", items.join(" "))
        }
        Value::String(text) => text.to_string(),
        Value::Null => "<nil>".to_owned(),
        other => other.to_string(),
    }
}

fn refuse(error: &patch::PatchError) -> Failure {
    match error {
        patch::PatchError::Operation { .. } => Failure::Unprocessable(
            "the server rejected our request due to an error in our request".to_owned(),
        ),
        patch::PatchError::Shape { .. } => Failure::BadRequest(error.to_string()),
        patch::PatchError::Strategic(text) => Failure::Unversioned(text.clone()),
    }
}
