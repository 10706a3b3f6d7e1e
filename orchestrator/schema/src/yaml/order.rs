//! The order of keys: numbers in them count as numbers, and letters come after all else.

use std::cmp::Ordering;

use crate::value::{Object, Value};

/// The fields of an object in order. Most are in order already.
pub(super) fn sorted(fields: &Object) -> Vec<(&str, &Value)> {
    let mut sorted: Vec<(Vec<char>, (&str, &Value))> = Vec::with_capacity(fields.len());
    for (key, value) in fields.iter() {
        let letters: Vec<char> = key.chars().collect();
        let before = sorted.iter().rev().position(|(known, _)| compare(known, &letters).is_le());
        let at = before.map_or(0, |after| sorted.len() - after);
        sorted.insert(at, (letters, (key.as_ref(), value)));
    }
    sorted.into_iter().map(|(_, field)| field).collect()
}

/// Which of two keys comes first.
pub(super) fn compare(one: &[char], other: &[char]) -> Ordering {
    match (0..one.len().min(other.len())).find(|at| one[*at] != other[*at]) {
        Some(at) => compare_at(one, other, at),
        None => one.len().cmp(&other.len()),
    }
}

/// Compares two keys at the first place where they differ.
fn compare_at(one: &[char], other: &[char], at: usize) -> Ordering {
    let (a, b) = (one[at], other[at]);
    // A number that ends is less than one that goes on.
    let in_number = at > 0 && one[at - 1].is_numeric();
    match (a.is_alphabetic(), b.is_alphabetic()) {
        (true, true) => return a.cmp(&b),
        (true, false) => return if in_number { Ordering::Less } else { Ordering::Greater },
        (false, true) => return if in_number { Ordering::Greater } else { Ordering::Less },
        (false, false) => {}
    }
    // A zero after other digits is part of a number, not before one.
    let digits_before = one[..at].iter().rev().take_while(|letter| letter.is_ascii_digit());
    let continues = (a == '0' || b == '0') && digits_before.into_iter().any(|digit| *digit != '0');
    let (a_number, a_end) = number(one, at, continues);
    let (b_number, b_end) = number(other, at, continues);
    a_number.cmp(&b_number).then(a_end.cmp(&b_end)).then(a.cmp(&b))
}

/// The number that is at a place, and where it ends.
fn number(key: &[char], at: usize, continues: bool) -> (i64, usize) {
    let digits = key[at..].iter().map_while(|letter| letter.to_digit(10));
    let (mut number, mut end) = (i64::from(continues), at);
    for digit in digits {
        number = number.wrapping_mul(10).wrapping_add(i64::from(digit));
        end += 1;
    }
    (number, end)
}
