//! Resource quantities.

use std::any::Any;
use std::cmp::Ordering;

use wherry_api::quantity::Quantity;

use crate::env::Row;
use crate::error::Error;
use crate::value::{Opaque, Value};

type Result<T> = std::result::Result<T, Error>;

pub(super) const ROWS: &[Row] = &[
    ("quantity", "string_to_quantity", "(string) -> kubernetes.Quantity", quantity),
    ("isQuantity", "is_quantity_string", "(string) -> bool", is_quantity),
    ("sign", "quantity_sign", "(kubernetes.Quantity) -> int", sign),
    (
        "isGreaterThan",
        "quantity_is_greater_than",
        "kubernetes.Quantity.(kubernetes.Quantity) -> bool",
        greater,
    ),
    ("isLessThan", "quantity_is_less_than", "kubernetes.Quantity.(kubernetes.Quantity) -> bool", less),
    ("compareTo", "quantity_compare_to", "kubernetes.Quantity.(kubernetes.Quantity) -> int", compare),
    ("asApproximateFloat", "quantity_get_float", "kubernetes.Quantity.() -> double", as_float),
    ("asInteger", "quantity_get_int", "kubernetes.Quantity.() -> int", as_integer),
    ("isInteger", "quantity_is_integer", "kubernetes.Quantity.() -> bool", is_integer),
    ("add", "quantity_add", "kubernetes.Quantity.(kubernetes.Quantity) -> kubernetes.Quantity", add),
    ("add", "quantity_add_int", "kubernetes.Quantity.(int) -> kubernetes.Quantity", add),
    ("sub", "quantity_sub", "kubernetes.Quantity.(kubernetes.Quantity) -> kubernetes.Quantity", subtract),
    ("sub", "quantity_sub_int", "kubernetes.Quantity.(int) -> kubernetes.Quantity", subtract),
];

/// A quantity as a value.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Amount(Quantity);

impl Opaque for Amount {
    fn type_name(&self) -> &'static str {
        "kubernetes.Quantity"
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        (other as &dyn Any).downcast_ref() == Some(self)
    }
}

/// A quantity as a value.
pub(crate) fn value<'a>(quantity: Quantity) -> Value<'a> {
    Value::opaque(Amount(quantity))
}

fn quantity<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::String(text)] = args else { return Err(Error::no_overload()) };
    text.parse()
        .map(|quantity| Value::opaque(Amount(quantity)))
        .map_err(|error| Error::other(format!("{error}")))
}

fn is_quantity<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let [Value::String(text)] = args else { return Err(Error::no_overload()) };
    Ok(Value::Bool(text.parse::<Quantity>().is_ok()))
}

fn of(args: &[Value<'_>]) -> Result<Quantity> {
    args.first().and_then(Value::as_opaque).map(|Amount(quantity)| *quantity).ok_or_else(Error::no_overload)
}

/// The second argument, which may be a whole number.
fn operand(args: &[Value<'_>]) -> Result<Quantity> {
    match args {
        [_, Value::Int(number)] => Ok(Quantity::from_units(*number)),
        [_, other] => of(std::slice::from_ref(other)),
        _ => Err(Error::no_overload()),
    }
}

fn compared(args: &[Value<'_>]) -> Result<Ordering> {
    Ok(of(args)?.cmp(&operand(args)?))
}

fn sign<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    let sign = of(args)?.cmp(&Quantity::default());
    Ok(Value::Int(i64::from(sign as i8)))
}

fn greater<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    compared(args).map(|order| Value::Bool(order.is_gt()))
}

fn less<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    compared(args).map(|order| Value::Bool(order.is_lt()))
}

fn compare<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    compared(args).map(|order| Value::Int(i64::from(order as i8)))
}

#[expect(clippy::cast_precision_loss, reason = "the nearest float is what is asked for")]
fn as_float<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(Value::Double(of(args)?.as_nanos() as f64 / 1e9))
}

/// The whole number that a quantity is. What was cut off at the largest number is none.
fn integer(quantity: Quantity) -> Option<i64> {
    let whole = i64::try_from(quantity.value()).ok()?;
    (whole.unsigned_abs() != i64::MAX.unsigned_abs() && Quantity::from_units(whole) == quantity)
        .then_some(whole)
}

fn as_integer<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    integer(of(args)?).map(Value::Int).ok_or_else(|| Error::other("cannot convert value to integer"))
}

fn is_integer<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(Value::Bool(integer(of(args)?).is_some()))
}

fn add<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(Value::opaque(Amount(of(args)? + operand(args)?)))
}

fn subtract<'a>(args: &[Value<'a>]) -> Result<Value<'a>> {
    Ok(Value::opaque(Amount(of(args)? - operand(args)?)))
}
