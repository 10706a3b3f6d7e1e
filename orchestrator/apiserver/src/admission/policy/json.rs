//! What expressions made, as JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use wherry_cel::{Message, Value as Cel};
use wherry_schema::{Object, Value};

/// The value as JSON; the error says what has no form in JSON.
pub(super) fn of(value: &Cel<'_>) -> Result<Value, String> {
    Ok(match value {
        Cel::Null => Value::Null,
        Cel::Bool(truth) => Value::from(*truth),
        Cel::Int(number) => Value::from(*number),
        #[expect(clippy::cast_precision_loss, reason = "JSON has no larger numbers for a client to read")]
        Cel::Uint(number) => i64::try_from(*number).map_or(Value::Float(*number as f64), Value::from),
        Cel::Double(number) => Value::Float(*number),
        Cel::String(text) => Value::from(&**text),
        Cel::Bytes(bytes) => Value::from(STANDARD.encode(bytes)),
        Cel::List(list) => {
            let items = (0..list.len()).filter_map(|at| list.get(at));
            Value::Array(
                items.map(|item| of(&item.map_err(|error| error.to_string())?)).collect::<Result<_, _>>()?,
            )
        }
        Cel::Map(map) => {
            let mut object = Object::new();
            for (key, value) in map.iter() {
                let Cel::String(key) = &key else {
                    return Err(format!("map key is of type {}, not string", key.type_of().declared()));
                };
                object.insert(&**key, of(&value.map_err(|error| error.to_string())?)?);
            }
            Value::Object(object)
        }
        Cel::Message(message) => fields(message)?,
        other => return Err(format!("unsupported type: {}", other.type_of().declared())),
    })
}

/// The fields that a message gives, as an object.
fn fields(message: &Message<'_>) -> Result<Value, String> {
    let mut object = Object::new();
    for (name, value) in &message.fields {
        object.insert(&**name, of(value)?);
    }
    Ok(Value::Object(object))
}

/// What is wrong with the types of messages in a value, which must be named as the fields they are in are:
/// `Object.spec` for the field `spec` of an `Object`.
pub(super) fn misnamed(value: &Cel<'_>, path: &str) -> Vec<String> {
    match value {
        Cel::Message(message) => {
            let mut wrong = Vec::new();
            if &*message.name != path {
                wrong.push(format!(
                    "unexpected type name {:?}, expected {path:?}, which matches field name path from root Object type",
                    &*message.name
                ));
            }
            let below = message.fields.iter();
            wrong.extend(below.flat_map(|(name, value)| misnamed(value, &format!("{path}.{name}"))));
            wrong
        }
        Cel::List(list) => {
            let items = (0..list.len()).filter_map(|at| list.get(at)?.ok());
            items.flat_map(|item| misnamed(&item, path)).collect()
        }
        Cel::Map(map) => map.iter().filter_map(|(_, v)| v.ok()).flat_map(|v| misnamed(&v, path)).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use wherry_cel::{Env, Value as Cel};
    use wherry_schema::Value;

    use super::{misnamed, of};

    fn values() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(serde_json::Value::Null),
            any::<bool>().prop_map(Into::into),
            any::<i64>().prop_map(Into::into),
            ".{0,8}".prop_map(Into::into),
        ];
        leaf.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Into::into),
                prop::collection::btree_map(".{0,4}", inner, 0..4)
                    .prop_map(|entries| serde_json::Value::Object(entries.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_expressions_read_is_what_they_give_back(json in values()) {
            let value = Value::from_json(json.to_string().as_bytes()).expect("it is JSON");
            let read = Cel::view(&value, None).expect("it can be read");
            prop_assert_eq!(of(&read), Ok(value.clone()));
            prop_assert!(misnamed(&read, "Object").is_empty());
        }
    }

    fn made(text: &str) -> Result<Value, String> {
        let program = Env::kubernetes().compile(text).expect("it compiles");
        let variables: [(&str, Cel<'_>); 0] = [];
        of(&program.evaluate(&variables, 1_000_000).result.expect("it can be evaluated"))
    }

    #[test]
    fn what_expressions_make_has_its_form_in_json() {
        let value = made("{'a': [dyn(1), 2u, 1.5, b'x', {}]}").expect("it has a form");
        assert_eq!(value.to_json_bytes(), br#"{"a":[1,2,1.5,"eA==",{}]}"#);
        assert_eq!(made("{1: 'a'}"), Err("map key is of type int, not string".to_owned()));
        assert_eq!(made("[quantity('1')]"), Err("unsupported type: kubernetes.Quantity".to_owned()));
    }
}
