//! What expressions of JSON patches need.

use crate::env::Row;
use crate::error::Error;
use crate::value::Value;

pub(super) const ROWS: &[Row] =
    &[("jsonpatch.escapeKey", "string_jsonpatch_escapeKey_string", "(string) -> string", escape_key)];

/// A key as a JSON pointer (RFC 6901) writes it.
fn escape_key<'a>(args: &[Value<'a>]) -> Result<Value<'a>, Error> {
    let [Value::String(key)] = args else { return Err(Error::no_overload()) };
    Ok(Value::from(key.replace('~', "~0").replace('/', "~1")))
}
