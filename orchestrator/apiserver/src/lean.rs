//! Objects without their managed fields, for clients that do not read them: a quarter of what a Pod weighs.
//!
//! An extension of Wherry's: `Accept: application/json;managedFields=omit`. A client that may talk to other servers lists
//! `application/json` behind it.

use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::error::Failure;

const NAME: &str = "\"managedFields\":";

#[derive(Deserialize)]
struct Object<'a> {
    #[serde(borrow)]
    metadata: Metadata<'a>,
}

#[derive(Deserialize)]
struct Metadata<'a> {
    #[serde(borrow, rename = "managedFields")]
    managed_fields: Option<&'a RawValue>,
}

/// The object, written without spaces, without its managed fields.
pub(crate) fn lean(object: &Bytes) -> Result<Bytes, Failure> {
    let text = std::str::from_utf8(object).map_err(|e| Failure::corrupt("(managed fields)", &e))?;
    let parsed: Object<'_> =
        serde_json::from_str(text).map_err(|e| Failure::corrupt("(managed fields)", &e))?;
    let Some(fields) = parsed.metadata.managed_fields else { return Ok(object.clone()) };
    let at = fields.get().as_ptr().addr() - text.as_ptr().addr();
    let (mut before, mut after) = (&text[..at], &text[at + fields.get().len()..]);
    before = before.strip_suffix(NAME).unwrap_or(before);
    // The comma of one of the neighbours goes, too.
    match after.strip_prefix(',') {
        Some(rest) => after = rest,
        None => before = before.strip_suffix(',').unwrap_or(before),
    }
    let mut out = BytesMut::with_capacity(before.len() + after.len());
    out.put_slice(before.as_bytes());
    out.put_slice(after.as_bytes());
    Ok(out.freeze())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let names = prop_oneof![Just("managedFields".to_owned()), "[a-z\"\\\\]{1,3}"];
        let leaves = prop_oneof![
            Just(Value::Null),
            Just(json!("\"managedFields\":[")),
            any::<i32>().prop_map(Value::from),
            ".{0,6}".prop_map(Value::from),
        ];
        leaves.prop_recursive(3, 24, 4, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(names.clone(), inner, 0..4)
                    .prop_map(|fields| fields.into_iter().collect::<Value>()),
            ]
        })
    }

    proptest! {
        #[test]
        fn only_the_managed_fields_go(
            before in values(), mut metadata in prop::collection::btree_map("[a-z]{1,12}", values(), 0..4), after in values(),
            managed in prop::option::of(prop::collection::vec(values(), 0..3)),
        ) {
            if let Some(managed) = managed {
                metadata.insert("managedFields".to_owned(), managed.into());
            }
            let mut object = json!({"data": before, "metadata": metadata, "spec": after});
            let lean = lean(&Bytes::from(object.to_string())).unwrap();
            object["metadata"].as_object_mut().unwrap().remove("managedFields");
            prop_assert_eq!(serde_json::from_slice::<Value>(&lean).unwrap(), object);
        }
    }
}
