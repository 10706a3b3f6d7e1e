//! Selection: which objects of a collection a client wants, decided on extracted attributes without decoding.

use wherry_api::selector::{FieldOp, FieldSelector, LabelSelector};
use wherry_store::Entry;

use super::Cx;
use crate::codec;
use crate::error::Failure;
use crate::request::query::ListOptions;

/// Where the value of a field clause comes from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Name,
    Namespace,
    Attribute(&'static str),
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
                    Source::Name => name,
                    Source::Namespace => namespace,
                    Source::Attribute(attribute) => entry.attributes.get(attribute).unwrap_or_default(),
                };
                (value == wanted) == (*op == FieldOp::Eq)
            })
    }
}

fn sources(cx: &Cx<'_>, selector: &FieldSelector) -> Result<Vec<(Source, FieldOp, String)>, Failure> {
    let source = |field: &str| match field {
        "metadata.name" => Ok(Source::Name),
        "metadata.namespace" if cx.kind.namespaced || cx.rules.fields().is_empty() => Ok(Source::Namespace),
        _ => {
            let known = cx.rules.fields().iter().find(|f| f.name == field);
            known.map(|f| Source::Attribute(f.attribute)).ok_or_else(|| unknown(cx, field))
        }
    };
    let clauses = selector.requirements().iter();
    clauses.map(|r| Ok((source(&r.field)?, r.op, r.value.clone()))).collect()
}

fn unknown(cx: &Cx<'_>, field: &str) -> Failure {
    Failure::BadRequest(if cx.rules.fields().is_empty() {
        format!("{field:?} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
    } else {
        format!("field label not supported: {field}")
    })
}
