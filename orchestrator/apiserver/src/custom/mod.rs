//! Objects of custom kinds: whether they are what their definition says.
//!
//! What a definition says of its objects is parsed by `wherry_schema`'s `structural`; [`values`] holds objects to it.

pub(crate) mod values;
#[cfg(test)]
mod values_tests;
