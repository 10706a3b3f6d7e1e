//! Fields, keys and indices of what an operand is, also through optionals.

use super::{Machine, Outcome, Step};
use crate::error::Error;
use crate::value::Value;

impl<'a> Machine<'a, '_> {
    pub(super) fn select(&mut self, operand: &'a Step, field: &str) -> Outcome<'a> {
        let operand = self.run(operand)?;
        self.charge(1)?;
        if let Value::Optional(inner) = operand {
            return match inner {
                Some(inner) => optional(field_of(&inner, field)),
                None => Ok(Value::Optional(None)),
            };
        }
        field_of(&operand, field).unwrap_or_else(|| Err(Error::NoSuchKey(field.to_owned())))
    }

    pub(super) fn has(&mut self, operand: &'a Step, field: &str) -> Outcome<'a> {
        let operand = self.run(operand)?;
        let inside = match &operand {
            Value::Optional(Some(inner)) => inner,
            other => other,
        };
        match field_of(inside, field) {
            Some(Err(Error::CostLimit)) => Err(Error::CostLimit),
            found => Ok(Value::Bool(found.is_some())),
        }
    }

    pub(super) fn optional_select(&mut self, operand: &'a Step, field: &str) -> Outcome<'a> {
        let operand = self.run(operand)?;
        self.charge(1)?;
        match &operand {
            Value::Optional(None) => Ok(operand),
            Value::Optional(Some(inner)) => optional(field_of(inner, field)),
            other => optional(field_of(other, field)),
        }
    }

    /// The optional, or the other side if it is empty.
    pub(super) fn or_else(&mut self, sides: &'a [Step; 2], unwrap: bool) -> Outcome<'a> {
        let [optional, other] = sides;
        match self.run(optional)? {
            Value::Optional(Some(inner)) if unwrap => Ok((*inner).clone()),
            some @ Value::Optional(Some(_)) => Ok(some),
            Value::Optional(None) => self.run(other),
            _ => Err(Error::no_overload()),
        }
    }

    pub(super) fn index(&mut self, operand: &'a Step, index: &'a Step, asked: bool) -> Outcome<'a> {
        let operand = self.run(operand)?;
        let index = self.run(index)?;
        self.charge(1)?;
        match &operand {
            Value::Optional(None) => Ok(operand),
            Value::Optional(Some(inner)) => optional_item(inner, &index),
            other if asked => optional_item(other, &index),
            other => item_of(other, &index),
        }
    }
}

fn field_of<'a>(operand: &Value<'a>, field: &str) -> Option<Outcome<'a>> {
    match operand {
        Value::Map(map) => map.field(field),
        Value::Message(message) => message.fields.get(field).cloned().map(Ok),
        _ => None,
    }
}

/// What was found as an optional.
fn optional(found: Option<Outcome<'_>>) -> Outcome<'_> {
    Ok(match found {
        Some(value) => Value::some(value?),
        None => Value::Optional(None),
    })
}

fn optional_item<'a>(operand: &Value<'a>, index: &Value<'a>) -> Outcome<'a> {
    match item_of(operand, index) {
        Err(Error::NoSuchKey(_) | Error::OutOfBounds(_)) => Ok(Value::Optional(None)),
        found => optional(Some(found)),
    }
}

fn item_of<'a>(operand: &Value<'a>, index: &Value<'a>) -> Outcome<'a> {
    match (operand, index) {
        (Value::Map(map), key) => map.get(key).unwrap_or_else(|| Err(Error::NoSuchKey(shown(key)))),
        (Value::Message(message), Value::String(name)) => {
            message.fields.get(&**name).cloned().ok_or_else(|| Error::NoSuchKey(name.to_string()))
        }
        (Value::List(list), index) => {
            let at = whole(index)?;
            let item = usize::try_from(at).ok().and_then(|at| list.get(at));
            item.unwrap_or(Err(Error::OutOfBounds(at)))
        }
        _ => Err(Error::no_overload()),
    }
}

/// The index of a list that a number is.
pub(crate) fn whole(index: &Value<'_>) -> Result<i64, Error> {
    match index {
        Value::Int(at) => Ok(*at),
        Value::Uint(at) => i64::try_from(*at).map_err(|_| Error::OutOfBounds(i64::MAX)),
        #[expect(clippy::cast_possible_truncation, reason = "only whole numbers of that range are cast")]
        Value::Double(at) if at.fract() == 0.0 && at.abs() < 9e15 => Ok(*at as i64),
        other => Err(Error::other(format!("unsupported index type '{}' in list", other.type_of().name()))),
    }
}

/// A key as errors show it.
pub(crate) fn shown(key: &Value<'_>) -> String {
    match key {
        Value::String(text) => text.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => number.to_string(),
        Value::Bool(truth) => truth.to_string(),
        other => other.type_of().to_string(),
    }
}
