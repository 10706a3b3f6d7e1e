//! The functions that expressions may call: a file with a table for each library, and which libraries an environment
//! has.

mod addresses;
mod arithmetic;
mod authorization;
mod conversions;
pub(crate) mod format;
mod go_url;
mod insert;
mod json_patch;
mod lists;
mod more_lists;
mod operators;
mod optionals;
mod printing;
mod quantities;
mod quoting;
mod regex;
mod semver;
mod sets;
mod strings;
mod text;
mod times;
mod urls;
mod zones;

pub(crate) use quantities::value as quantity;
pub(crate) use semver::value as version;

pub use authorization::{Authorizer, Check, Decision, Resource, Target};

use crate::env::Row;

/// The language definition's.
pub(crate) const STANDARD: &[&[Row]] =
    &[operators::ROWS, arithmetic::ROWS, conversions::ROWS, text::ROWS, times::ROWS];

/// Those that Kubernetes 1.36 adds to all expressions.
pub(crate) const KUBERNETES: &[&[Row]] = &[
    addresses::ROWS,
    authorization::ROWS,
    format::ROWS,
    insert::ROWS,
    lists::ROWS,
    more_lists::ROWS,
    optionals::ROWS,
    printing::ROWS,
    quantities::ROWS,
    regex::ROWS,
    semver::ROWS,
    sets::ROWS,
    strings::ROWS,
    urls::ROWS,
];

/// Those that it adds to expressions of mutations.
pub(crate) const MUTATIONS: &[&[Row]] = &[json_patch::ROWS];

/// Those that only newer environments have.
pub(crate) const NEWER: &[&[Row]] = &[strings::NEWER];
