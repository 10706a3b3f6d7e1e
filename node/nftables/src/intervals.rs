//! Ranges of values as the elements of a set: where each begins, and where what is none begins again.

use crate::syntax::Value;

/// A place in the order of values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) key: Vec<u8>,
    /// Whether those before it are in the set, and it is not.
    pub(crate) is_end: bool,
}

/// The edges of these values, which all are of `length` bytes. Those that touch or overlap become one.
pub(crate) fn edges(values: &[Value], length: usize) -> Vec<Edge> {
    let mut ranges: Vec<_> = values.iter().map(Value::range).collect();
    ranges.sort_unstable();
    let mut merged: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    for (first, last) in ranges {
        match merged.last_mut() {
            Some((_, end)) if next(end).is_none_or(|next| first <= next) => {
                if last > *end {
                    *end = last;
                }
            }
            _ => merged.push((first, last)),
        }
    }
    let mut edges = Vec::new();
    // As `nft` has it, so that the order begins with what is none.
    if merged.first().is_some_and(|(first, _)| first.iter().any(|byte| *byte != 0)) {
        edges.push(Edge { key: vec![0; length], is_end: true });
    }
    for (first, last) in merged {
        edges.push(Edge { key: first, is_end: false });
        edges.extend(next(&last).map(|key| Edge { key, is_end: true }));
    }
    edges
}

impl Value {
    /// The first and the last.
    fn range(&self) -> (Vec<u8>, Vec<u8>) {
        match self {
            Self::One(value) => (value.clone(), value.clone()),
            Self::Range(first, last) => (first.clone(), last.clone()),
            Self::Prefix(value, length) => {
                let mask = mask(value.len(), *length);
                let first: Vec<u8> = value.iter().zip(&mask).map(|(byte, mask)| byte & mask).collect();
                let last = first.iter().zip(&mask).map(|(byte, mask)| byte | !mask).collect();
                (first, last)
            }
        }
    }
}

/// So many bytes, of which so many bits are set.
pub(crate) fn mask(bytes: usize, mut bits: usize) -> Vec<u8> {
    (0..bytes)
        .map(|_| {
            let here = bits.min(8);
            bits -= here;
            if here == 0 { 0 } else { u8::MAX << (8 - here) }
        })
        .collect()
}

/// The value after this one.
fn next(value: &[u8]) -> Option<Vec<u8>> {
    let mut value = value.to_vec();
    for byte in value.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<u8>().prop_map(|value| Value::One(vec![value])),
            (any::<u8>(), 0_usize..=8).prop_map(|(value, length)| Value::Prefix(vec![value], length)),
            (any::<u8>(), any::<u8>())
                .prop_map(|(one, other)| Value::Range(vec![one.min(other)], vec![one.max(other)])),
        ]
    }

    proptest! {
        /// Edges are in order, by turns, and have exactly those values between them.
        #[test]
        fn edges_enclose_the_values(values in proptest::collection::vec(value(), 1..6)) {
            let edges = edges(&values, 1);
            prop_assert!(edges.windows(2).all(|pair| pair[0].key < pair[1].key && pair[0].is_end != pair[1].is_end));
            for key in 0..=u8::MAX {
                let key = [key];
                let is_in = values.iter().any(|value| {
                    let (first, last) = value.range();
                    first[..] <= key[..] && key[..] <= last[..]
                });
                let before = edges.iter().rev().find(|edge| edge.key[..] <= key[..]);
                prop_assert_eq!(before.is_some_and(|edge| !edge.is_end), is_in);
            }
        }
    }
}
