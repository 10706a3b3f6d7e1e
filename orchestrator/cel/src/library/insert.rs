//! What the macros `transformMap` and `transformMapEntry` expand to; the evaluator changes the accumulator in place.

use crate::env::Row;
use crate::error::Error;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    ("cel.@mapInsert", "@mapInsert_map_key_value", "(map(K, V), K, V) -> map(K, V)", elsewhere),
    ("cel.@mapInsert", "@mapInsert_map_map", "(map(K, V), map(K, V)) -> map(K, V)", elsewhere),
];

fn elsewhere<'a>(_: &[Value<'a>]) -> Result<Value<'a>, Error> {
    Err(Error::no_overload())
}
