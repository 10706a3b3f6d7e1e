//! From bytes to a [`Value`] that fits its schema.
//!
//! One pass over the text, directed by the schema: unknown fields are dropped and reported, duplicates reported, wrong
//! types refused in the words of kube-apiserver, nulls and the zero values it would not write left out, quantities
//! and times made canonical. Names match exactly. YAML takes the same way after being turned into JSON, as there.

mod custom;
mod error;
mod report;
mod time;
pub(crate) mod walk;
mod yaml;

pub use error::{DecodeError, Mismatch};

use crate::json::{self, Parser};
use crate::schema::Schema;
use crate::value::Value;
use report::Report;

/// What the bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// JSON.
    Json,
    /// YAML: one document.
    Yaml,
}

/// What to do about unknown and duplicate fields. They never get into the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldValidation {
    /// Refuse them.
    Strict,
    /// Tell of them.
    Warn,
    /// Say nothing.
    Ignore,
}

/// What an object says it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeMeta {
    /// `apiVersion`, empty if absent.
    pub api_version: String,
    /// `kind`, empty if absent.
    pub kind: String,
}

/// Decodes an object; the texts are warnings for the client (only with [`FieldValidation::Warn`]).
pub fn decode(
    bytes: &[u8],
    format: Format,
    schema: &Schema,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), DecodeError> {
    match format {
        Format::Json => decode_json(bytes, schema, validation, Report::default()),
        Format::Yaml => {
            let mut report = Report::default();
            if validation != FieldValidation::Ignore {
                report.add_messages(yaml::duplicates(bytes));
            }
            decode_json(&yaml::to_value(bytes)?.to_json_bytes(), schema, validation, report)
        }
    }
}

/// Fits a value to its schema as [`decode`] does, for instance after a patch was applied.
pub fn conform(
    value: &Value,
    schema: &Schema,
    validation: FieldValidation,
) -> Result<(Value, Vec<String>), DecodeError> {
    decode_json(&value.to_json_bytes(), schema, validation, Report::default())
}

fn decode_json(
    bytes: &[u8],
    schema: &Schema,
    validation: FieldValidation,
    report: Report,
) -> Result<(Value, Vec<String>), DecodeError> {
    let (mut value, report) = walk::decode(bytes, schema, report)?;
    let mut messages = report.finish()?;
    custom::fit(&mut value, schema, &mut messages)?;
    match validation {
        FieldValidation::Strict if !messages.is_empty() => Err(DecodeError::Strict(messages)),
        FieldValidation::Warn => Ok((value, messages)),
        FieldValidation::Strict | FieldValidation::Ignore => Ok((value, Vec::new())),
    }
}

/// Reads a value without a schema, such as a patch.
pub fn parse(bytes: &[u8], format: Format) -> Result<Value, DecodeError> {
    match format {
        Format::Json => Ok(json::parse(bytes)?),
        Format::Yaml => yaml::to_value(bytes),
    }
}

/// That a YAML text gives a key twice, as kube-apiserver says it.
pub fn duplicate_keys(bytes: &[u8]) -> Option<String> {
    yaml::duplicates(bytes)
}

/// The name of a value's JSON type in errors.
pub fn kind_of(value: &Value) -> &'static str {
    crate::patch::type_name(value)
}

/// Reads only `apiVersion` and `kind`. Of a `null` both are empty; anything else than an object is refused.
pub fn type_meta(bytes: &[u8], format: Format) -> Result<TypeMeta, DecodeError> {
    match format {
        Format::Json => json_type_meta(bytes),
        Format::Yaml => json_type_meta(&yaml::to_value(bytes)?.to_json_bytes()),
    }
}

fn json_type_meta(bytes: &[u8]) -> Result<TypeMeta, DecodeError> {
    let mut meta = TypeMeta::default();
    let mut parser = Parser::new(bytes);
    let kind = parser.peek()?;
    if !matches!(kind, json::Kind::Object | json::Kind::Null) {
        parser.skip()?;
        parser.end()?;
        return Err(DecodeError::NotAnObject(kind.name()));
    }
    if kind == json::Kind::Null {
        parser.skip()?;
        parser.end()?;
        return Ok(meta);
    }
    parser.enter()?;
    let (mut first, mut problem) = (true, None);
    while let Some(key) = parser.next_key(&mut first)? {
        let (target, path) = match &*key {
            "apiVersion" => (&mut meta.api_version, "apiVersion"),
            "kind" => (&mut meta.kind, "kind"),
            _ => {
                parser.skip()?;
                continue;
            }
        };
        match parser.peek()? {
            json::Kind::String => *target = parser.string()?.into_owned(),
            json::Kind::Null => parser.skip()?,
            found => {
                parser.skip()?;
                problem.get_or_insert(DecodeError::Type(Mismatch::plain(found.name(), "string", path)));
            }
        }
    }
    parser.end()?;
    problem.map_or(Ok(meta), Err)
}

#[cfg(test)]
mod tests;
