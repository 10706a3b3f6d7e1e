//! What the fuzz targets share: reading an input as a few parts.

use wherry_api::kinds::{KINDS, Kind};
use wherry_ingress::{Host, host_of};

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

/// The hosts that a text is about: a letter that says how it is meant (`=`, `*` or `+`; all others mean every host), and a name.
pub fn host(text: &str) -> Option<Host> {
    Some(match text.split_at_checked(1)? {
        ("=", name) => Host::Exactly(host_of(name)?),
        ("*", domain) => Host::LabelBefore(host_of(domain)?),
        ("+", domain) => Host::Below(host_of(domain)?),
        _ => Host::Any,
    })
}
