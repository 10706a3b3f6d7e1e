//! Selection: which objects of a collection a client wants, decided on extracted attributes without decoding.

use std::borrow::Cow;

use wherry_api::selector::{FieldOp, FieldSelector, LabelSelector};
use wherry_schema::Value;
use wherry_store::Entry;

use super::Cx;
use crate::codec;
use crate::custom::Path;
use crate::error::Failure;
use crate::request::query::ListOptions;

/// Where the value of a field clause comes from.
#[derive(Debug, Clone)]
enum Source {
    Name,
    Namespace,
    Attribute(&'static str),
    /// A field of a custom object.
    Field(Path),
}

/// Which objects are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Selection {
    labels: LabelSelector,
    fields: Vec<(Source, FieldOp, String)>,
}

impl Selection {
    /// The selection a list or watch asks for.
    pub(crate) fn new(cx: &Cx<'_>, options: &ListOptions) -> Result<Self, Failure> {
        Ok(Self { labels: options.labels.clone(), fields: sources(cx, &options.fields)? })
    }

    /// Whether everything is wanted.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_empty() && self.fields.is_empty()
    }

    /// The key of the only object that can be wanted, if its name is demanded and its namespace known.
    pub(crate) fn key(&self, cx: &Cx<'_>) -> Option<String> {
        if cx.stored.namespaced && cx.namespace.is_empty() {
            return None;
        }
        let named = |(source, op, _): &&(Source, FieldOp, String)| {
            matches!(source, Source::Name) && *op == FieldOp::Eq
        };
        self.fields.iter().find(named).map(|(_, _, name)| cx.key(name))
    }

    /// Whether an object is wanted.
    pub(crate) fn matches(&self, cx: &Cx<'_>, entry: &Entry) -> bool {
        self.labels.matches(|key| entry.attributes.get(key))
            && self.fields.iter().all(|(source, op, wanted)| {
                let (namespace, name) = codec::split_key(cx.stored, &entry.key);
                let value = match source {
                    Source::Name => Cow::Borrowed(name),
                    Source::Namespace => Cow::Borrowed(namespace),
                    Source::Attribute(attribute) => {
                        Cow::Borrowed(entry.attributes.get(attribute).unwrap_or_default())
                    }
                    Source::Field(path) => Cow::Owned(field(path, entry)),
                };
                (value == wanted.as_str()) == (*op == FieldOp::Eq)
            })
    }
}

/// A field of a custom object as selectors see it: what is missing is empty.
fn field(path: &Path, entry: &Entry) -> String {
    let object = codec::decode(&entry.key, &entry.value).ok();
    match object.as_ref().and_then(|object| path.first(object)) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.to_string(),
        Some(other) => other.to_string(),
    }
}

fn sources(cx: &Cx<'_>, selector: &FieldSelector) -> Result<Vec<(Source, FieldOp, String)>, Failure> {
    let source = |field: &str| match field {
        "metadata.name" => Ok(Source::Name),
        "metadata.namespace" if cx.kind.namespaced => Ok(Source::Namespace),
        _ if cx.custom.is_some() => custom_field(cx, field),
        "metadata.namespace" if cx.rules.fields().is_empty() => Ok(Source::Namespace),
        _ => {
            let known = cx.rules.fields().iter().find(|f| f.name == field);
            known.map(|f| Source::Attribute(f.attribute)).ok_or_else(|| unknown(cx, field))
        }
    };
    let clauses = selector.requirements().iter();
    clauses.map(|r| Ok((source(&r.field)?, r.op, r.value.clone()))).collect()
}

fn custom_field(cx: &Cx<'_>, field: &str) -> Result<Source, Failure> {
    let mut fields = cx.custom.into_iter().flat_map(|served| &served.version().selectable);
    let known = fields.find(|(name, _)| name == field);
    known.map(|(_, path)| Source::Field(path.clone())).ok_or_else(|| unknown(cx, field))
}

fn unknown(cx: &Cx<'_>, field: &str) -> Failure {
    Failure::BadRequest(if cx.custom.is_none() && cx.rules.fields().is_empty() {
        format!("{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
    } else {
        format!("field label not supported: {field}")
    })
}
