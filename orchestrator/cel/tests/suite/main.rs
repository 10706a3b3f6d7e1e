//! Expressions and what they give, by tables.

mod authorization;
mod common;
mod errors;
mod estimates;
mod language;
mod libraries;
mod lists;
mod never_panics;
mod objects;
mod optionals;
mod strings;
