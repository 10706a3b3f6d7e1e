//! The walk along a schema through a JSON text.

use std::collections::HashSet;

use wherry_api::quantity::Quantity;

use super::error::{DecodeError, Mismatch};
use super::report::{Report, Step};
use super::time;
use crate::base64;
use crate::json::{Kind, Parser, SyntaxError};
use crate::schema::{Field, Node, Root, Schema, Schemas, Struct};
use crate::value::{Object, Str, Value};

/// What came of a value: `None` if it was null or did not fit.
type Outcome = Result<Option<Value>, SyntaxError>;

/// Decodes a whole text. A syntax error ends it, everything else goes into the report.
pub(super) fn decode(bytes: &[u8], schema: &Schema, report: Report) -> Result<(Value, Report), DecodeError> {
    let mut walk = Walk { parser: Parser::new(bytes), schemas: Schemas::builtin(), report };
    let value = match schema.root() {
        Root::Builtin(index) => walk.value(Node::Struct(*index))?,
        Root::Custom { .. } => Some(walk.custom()?),
    };
    walk.parser.end()?;
    Ok((value.unwrap_or(Value::object()), walk.report))
}

pub(super) struct Walk<'a> {
    pub(super) parser: Parser<'a>,
    schemas: &'static Schemas,
    pub(super) report: Report,
}

impl Walk<'_> {
    pub(super) fn value(&mut self, node: Node) -> Outcome {
        let kind = self.parser.peek()?;
        match (node, kind) {
            (Node::Any, _) => self.parser.any().map(Some),
            (_, Kind::Null) => self.parser.null().map(|()| None),
            (Node::Struct(index), Kind::Object) => self.structure(index),
            (Node::Map(element), Kind::Object) => self.map(element),
            (Node::List(element), Kind::Array) => self.list(element),
            (Node::String | Node::IntOrString, Kind::String) => self.string(),
            (Node::Bool, Kind::Bool) => Ok(Some(self.parser.boolean()?.into())),
            (Node::Int32 | Node::Int64 | Node::IntOrString | Node::Float, Kind::Number) => self.number(node),
            (Node::Quantity, _) => self.quantity(kind),
            (Node::Time | Node::MicroTime, Kind::String) => self.time(node),
            (Node::Bytes, Kind::String) => self.bytes(),
            _ => self.mismatch(node, kind.name()),
        }
    }

    fn mismatch(&mut self, node: Node, found: &str) -> Outcome {
        self.parser.skip()?;
        self.report.problem(Mismatch::of(found, self.type_name(node)));
        Ok(None)
    }

    /// The type's name in Go.
    fn type_name(&self, node: Node) -> String {
        match node {
            Node::String | Node::Time | Node::MicroTime => "string".to_owned(),
            Node::Int32 | Node::IntOrString => "int32".to_owned(),
            Node::Int64 => "int64".to_owned(),
            Node::Float => "float64".to_owned(),
            Node::Bool => "bool".to_owned(),
            Node::Bytes => "[]uint8".to_owned(),
            Node::Quantity => "resource.Quantity".to_owned(),
            Node::Any => "interface {}".to_owned(),
            Node::Struct(index) => go_name(self.schemas.structure(index).name),
            Node::Map(element) if self.schemas.element(element) == Node::Quantity => {
                "v1.ResourceList".to_owned()
            }
            Node::Map(element) => format!("map[string]{}", self.type_name(self.schemas.element(element))),
            Node::List(element) => format!("[]{}", self.type_name(self.schemas.element(element))),
        }
    }

    fn structure(&mut self, index: u16) -> Outcome {
        let structure = self.schemas.structure(index);
        self.parser.enter()?;
        let (mut fields, mut seen, mut first) = (Vec::new(), 0_u128, true);
        while let Some(key) = self.parser.next_key(&mut first)? {
            let Some(at) = structure.find(&key) else {
                self.report.unknown(&key);
                self.parser.skip()?;
                continue;
            };
            if seen & (1 << at) != 0 {
                self.report.duplicate(&key);
            }
            seen |= 1 << at;
            if let Some(value) = self.field(structure, &structure.fields[at])? {
                fields.push((Str::fixed(structure.fields[at].name), value));
            }
        }
        Ok(Some(Value::Object(Object::from_fields(fields))))
    }

    fn field(&mut self, structure: &'static Struct, field: &'static Field) -> Outcome {
        let mark = self.report.mark();
        let value = self.value(field.node)?;
        self.report.in_field(mark, structure, field.name);
        Ok(value.filter(|value| !(field.omit_zero && is_zero(field.node, value))))
    }

    fn map(&mut self, element: u16) -> Outcome {
        let node = self.schemas.element(element);
        self.fields(|walk, _| Ok(Some(walk.value(node)?.unwrap_or_else(|| zero(node))))).map(Some)
    }

    fn list(&mut self, element: u16) -> Outcome {
        let node = self.schemas.element(element);
        self.parser.enter()?;
        let (mut items, mut first) = (Vec::new(), true);
        while self.parser.next_item(&mut first)? {
            let mark = self.report.mark();
            let value = self.value(node)?;
            self.report.in_place(mark, || Step::Index(items.len()));
            items.push(value.unwrap_or_else(|| zero(node)));
        }
        Ok(Some(Value::Array(items)))
    }

    fn string(&mut self) -> Outcome {
        Ok(Some(self.parser.string()?.as_ref().into()))
    }

    fn number(&mut self, node: Node) -> Outcome {
        let text = self.parser.number()?;
        let value = match node {
            Node::Int64 => text.parse::<i64>().ok().map(Value::from),
            Node::Float => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::Float),
            _ => text.parse::<i32>().ok().map(Value::from),
        };
        if value.is_none() {
            self.report.problem(Mismatch::of(&format!("number {text}"), self.type_name(node)));
        }
        Ok(value)
    }

    fn quantity(&mut self, kind: Kind) -> Outcome {
        let parsed = match kind {
            Kind::String => self.parser.string()?.parse::<Quantity>(),
            _ => self.parser.raw()?.parse::<Quantity>(),
        };
        Ok(self
            .content(parsed.map(|quantity| quantity.to_string().into()).map_err(|error| error.to_string())))
    }

    fn time(&mut self, node: Node) -> Outcome {
        let text = self.parser.string()?;
        let parsed = if node == Node::Time { time::seconds(&text) } else { time::micros(&text) };
        Ok(self.content(parsed.map(Value::from)))
    }

    fn bytes(&mut self) -> Outcome {
        let text = self.parser.string()?;
        let checked = base64::check(&text).map(Value::from);
        Ok(self.content(checked.map_err(|at| format!("illegal base64 data at input byte {at}"))))
    }

    fn content(&mut self, parsed: Result<Value, String>) -> Option<Value> {
        parsed.map_err(|message| self.report.problem(DecodeError::Content(message))).ok()
    }
}

/// `io.k8s.api.core.v1.Pod` as Go names it: `v1.Pod`.
fn go_name(name: &str) -> String {
    let from = name.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
    name[from..].to_owned()
}

/// The names met in a map, looked for in a set only when there are many.
#[derive(Default)]
pub(super) struct Names {
    set: HashSet<String>,
}

impl Names {
    const FEW: usize = 16;

    /// Whether the name is among the fields already.
    pub(super) fn seen(&mut self, fields: &[(Str, Value)], name: &str) -> bool {
        if fields.len() < Self::FEW {
            return fields.iter().any(|(known, _)| known == name);
        }
        if self.set.is_empty() {
            self.set.extend(fields.iter().map(|(known, _)| known.to_string()));
        }
        !self.set.insert(name.to_owned())
    }
}

/// Whether a field that is left out when zero is zero.
fn is_zero(node: Node, value: &Value) -> bool {
    match (node, value) {
        (Node::Map(_), Value::Object(object)) => object.is_empty(),
        (Node::List(_), Value::Array(items)) => items.is_empty(),
        (Node::String | Node::Bytes, Value::String(text)) => text.is_empty(),
        (Node::Int32 | Node::Int64, Value::Int(number)) => *number == 0,
        (Node::Float, Value::Float(number)) => *number == 0.0,
        (Node::Bool, Value::Bool(truth)) => !truth,
        _ => false,
    }
}

/// What stands for null in a map or list, and for what is always written but was not set.
pub(crate) fn zero(node: Node) -> Value {
    match node {
        Node::String | Node::Bytes => Value::fixed(&""),
        Node::Int32 | Node::Int64 | Node::IntOrString => Value::Int(0),
        Node::Float => Value::Float(0.0),
        Node::Bool => Value::Bool(false),
        Node::Quantity => Value::fixed(&"0"),
        Node::Struct(_) => Value::object(),
        Node::Time | Node::MicroTime | Node::Any | Node::Map(_) | Node::List(_) => Value::Null,
    }
}
