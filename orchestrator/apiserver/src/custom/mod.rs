//! Custom kinds: what CustomResourceDefinitions add to the API.

pub(crate) mod rules;
pub(crate) mod values;
