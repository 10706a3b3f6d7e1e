//! Reading data by dotted paths. What is missing reads as empty.

use crate::data::{Data, Stored};
use crate::quantity::Quantity;

use super::Amounts;

/// The field at a dotted path, unless it is missing or null.
pub(super) fn at<'d>(data: &'d dyn Data, path: &str) -> Option<&'d dyn Data> {
    path.split('.')
        .try_fold(data, |data, name| data.field(name))
        .filter(|found| found.stored() != Stored::Null)
}

/// The string of a value, empty if it is none.
pub(super) fn string(data: &dyn Data) -> &str {
    match data.stored() {
        Stored::String(text) => text,
        _ => "",
    }
}

/// The string at a path, empty if it is missing.
pub(super) fn text<'d>(data: &'d dyn Data, path: &str) -> &'d str {
    at(data, path).map_or("", string)
}

/// The whole number at a path.
pub(super) fn int(data: &dyn Data, path: &str) -> Option<i64> {
    match at(data, path)?.stored() {
        Stored::Int(number) => Some(number),
        _ => None,
    }
}

/// The items of a list at a path.
pub(super) fn items<'d>(data: &'d dyn Data, path: &str) -> impl Iterator<Item = &'d dyn Data> {
    let list = at(data, path);
    let count = match list.map(Data::stored) {
        Some(Stored::List(count)) => count,
        _ => 0,
    };
    (0..count).filter_map(move |index| list.and_then(|list| list.item(index)))
}

/// The amounts of a map at a path. What is no quantity is left out, as is whatever has no such path.
pub(super) fn amounts(data: &dyn Data, path: &str) -> Amounts {
    let map = at(data, path);
    let count = match map.map(Data::stored) {
        Some(Stored::Map(count)) => count,
        _ => 0,
    };
    let entries = (0..count).filter_map(|index| map.and_then(|map| map.entry(index)));
    entries.filter_map(|(name, amount)| Some((name.to_owned(), quantity(amount)?))).collect()
}

/// The amount that a string or a number is.
pub(super) fn quantity(data: &dyn Data) -> Option<Quantity> {
    match data.stored() {
        Stored::String(text) => text.parse().ok(),
        Stored::Int(units) => Some(Quantity::from_units(units)),
        _ => None,
    }
}
