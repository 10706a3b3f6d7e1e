//! Objects of custom kinds: read as they are, but for their metadata, and then fitted to the schema of their definition.

use super::error::DecodeError;
use super::report::Step;
use super::walk::{Names, Walk};
use crate::json::{Kind, SyntaxError};
use crate::schema::{Root, Schema, Schemas};
use crate::value::{Object, Str, Value};

impl Walk<'_> {
    /// Reads an object whose metadata is that of every object and whose other fields may hold anything.
    pub(super) fn custom(&mut self) -> Result<Value, SyntaxError> {
        if self.parser.peek()? != Kind::Object {
            return self.free();
        }
        self.fields(|walk, name| match (name, Schemas::metadata().node()) {
            ("metadata", Some(node)) => walk.value(node),
            _ => walk.free().map(Some),
        })
    }

    /// Reads a value, whatever it is, and reports names given twice.
    fn free(&mut self) -> Result<Value, SyntaxError> {
        match self.parser.peek()? {
            Kind::Object => self.fields(|walk, _| walk.free().map(Some)),
            Kind::Array => self.items(),
            Kind::Null | Kind::Bool | Kind::Number | Kind::String => self.parser.any(),
        }
    }

    /// Reads an object each of whose fields is read so; those of none are left out.
    pub(super) fn fields(
        &mut self,
        mut read: impl FnMut(&mut Self, &str) -> Result<Option<Value>, SyntaxError>,
    ) -> Result<Value, SyntaxError> {
        self.parser.enter()?;
        let (mut fields, mut first) = (Vec::<(Str, Value)>::new(), true);
        let mut names = Names::default();
        while let Some(key) = self.parser.next_key(&mut first)? {
            if names.seen(&fields, &key) {
                self.report.duplicate(&key);
            }
            let mark = self.report.mark();
            let value = read(self, &key)?;
            self.report.in_place(mark, || Step::Name(key.clone().into_owned()));
            fields.extend(value.map(|value| (Str::from(&*key), value)));
        }
        Ok(Value::Object(Object::from_fields(fields)))
    }

    fn items(&mut self) -> Result<Value, SyntaxError> {
        self.parser.enter()?;
        let (mut items, mut first) = (Vec::new(), true);
        while self.parser.next_item(&mut first)? {
            let mark = self.report.mark();
            let item = self.free()?;
            self.report.in_place(mark, || Step::Index(items.len()));
            items.push(item);
        }
        Ok(Value::Array(items))
    }
}

/// Fits what was read to its definition. Unknown fields are told after all else: those of the metadata, those of the
/// object, those of the metadata of objects within.
pub(super) fn fit(
    object: &mut Value,
    schema: &Schema,
    messages: &mut Vec<String>,
) -> Result<(), DecodeError> {
    let Root::Custom { structural, embeds } = schema.root() else { return Ok(()) };
    messages.sort_by_key(|message| message.starts_with("unknown field"));
    let mut unknown = structural.prune(object);
    structural.drop_nulls(object);
    if *embeds {
        unknown.extend(structural.read_embedded(object)?);
    }
    messages.extend(unknown.into_iter().map(|path| format!("unknown field \"{path}\"")));
    Ok(())
}
