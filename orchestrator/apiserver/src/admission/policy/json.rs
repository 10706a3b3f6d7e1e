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
