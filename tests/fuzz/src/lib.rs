//! What the fuzz targets share: reading an input as a few parts.

use wherry_api::kinds::{KINDS, Kind};

/// The kind the first byte of an input chooses, and the rest.
pub fn kind(input: &[u8]) -> Option<(&'static Kind, &[u8])> {
    let (first, rest) = input.split_first()?;
    Some((&KINDS[usize::from(*first) % KINDS.len()], rest))
}

/// An input cut in two at its first zero byte.
pub fn halves(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let cut = input.iter().position(|byte| *byte == 0)?;
    Some((&input[..cut], &input[cut + 1..]))
}
