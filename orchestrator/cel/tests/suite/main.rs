//! Expressions and what they give, by tables.

mod common;
mod errors;
mod estimates;
mod language;
mod never_panics;
mod objects;
