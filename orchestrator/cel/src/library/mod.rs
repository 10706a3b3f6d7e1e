//! The functions that expressions may call: a file with a table for each library, and which libraries an environment
//! has.

mod arithmetic;
mod conversions;
mod operators;
mod text;
mod times;
mod zones;

use crate::env::Row;

/// The language definition's.
pub(crate) const STANDARD: &[&[Row]] =
    &[operators::ROWS, arithmetic::ROWS, conversions::ROWS, text::ROWS, times::ROWS];

/// Those of Kubernetes 1.36.
pub(crate) const KUBERNETES: &[&[Row]] = STANDARD;

/// All of this crate's.
pub(crate) const EXTENDED: &[&[Row]] = STANDARD;
