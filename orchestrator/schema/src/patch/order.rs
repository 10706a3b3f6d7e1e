//! The order of a merged list: items the patch names come in its order, the others keep theirs, and the two
//! interleave by the order that the list had before.

use super::PatchError;
use super::directives::no_merge_key;
use crate::value::Value;

/// How items are told from each other.
#[derive(Clone, Copy)]
pub(super) enum Identity<'a> {
    /// By their whole value.
    Scalar,
    /// By the value of one field.
    Key(&'a str),
}

impl Identity<'_> {
    /// What identifies the item.
    pub(super) fn of(self, item: &Value) -> Result<&Value, PatchError> {
        match self {
            Self::Scalar => Ok(item),
            Self::Key(key) => match item {
                Value::Object(object) => object.get(key).ok_or_else(|| no_merge_key(object, key)),
                _ => Err(super::directives::strategic("lists of lists are not supported")),
            },
        }
    }

    /// Where in the list the item with this identity is.
    pub(super) fn position(self, list: &[Value], identity: &Value) -> Option<usize> {
        list.iter().position(|item| match self {
            Self::Scalar => item == identity,
            Self::Key(key) => item.get(key) == Some(identity),
        })
    }
}

/// Orders `merged`: items in `wanted` by their place there, the others by their place in `before`.
pub(super) fn arrange(
    merged: Vec<Value>,
    wanted: &[Value],
    before: &[Value],
    identity: Identity<'_>,
) -> Result<Vec<Value>, PatchError> {
    let mut named = Vec::new();
    let mut others = Vec::new();
    for item in merged {
        let key = identity.of(&item)?;
        let place = identity.position(before, key);
        match identity.position(wanted, key) {
            Some(at) => named.push(Placed { at, before: place, item }),
            None => others.push(Placed { at: place.unwrap_or(usize::MAX), before: place, item }),
        }
    }
    named.sort_by_key(|placed| placed.at);
    others.sort_by_key(|placed| placed.at);
    Ok(interleave(others, named))
}

struct Placed {
    at: usize,
    /// The place it had in the list before.
    before: Option<usize>,
    item: Value,
}

/// An item of `others` goes before the next of `named` only if it was before it.
fn interleave(others: Vec<Placed>, named: Vec<Placed>) -> Vec<Value> {
    let mut out = Vec::with_capacity(others.len() + named.len());
    let mut others = others.into_iter().peekable();
    for next in named {
        let is_before = |other: &Placed| matches!((other.before, next.before), (Some(a), Some(b)) if a < b);
        while let Some(other) = others.next_if(is_before) {
            out.push(other.item);
        }
        out.push(next.item);
    }
    out.extend(others.map(|other| other.item));
    out
}
