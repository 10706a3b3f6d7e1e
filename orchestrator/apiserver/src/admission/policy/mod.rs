//! Admission policies: what users decide about writes by expressions.
//!
//! Reading order: `types` (what expressions may name), [`expression`] (how they compile), [`input`] (what they are
//! told, and how they are evaluated), `asker` (how they ask about who may do what), `common` (what policies and bindings have), `params`, `validating` (what one policy decides), `mutating` (what
//! one policy changes, with `json`), `registry` (all of them), `validate` and `mutate` (asking them all), `typing` and `status` (what is told about them).

mod asker;
mod common;
pub(crate) mod expression;
pub(crate) mod input;
mod json;
mod mutate;
mod mutating;
mod namespace;
mod params;
mod registry;
mod status;
mod types;
mod typing;
mod validate;
mod validating;

pub(crate) use mutate::mutate;
pub(crate) use registry::Policies;
pub(crate) use status::mark;
pub(crate) use validate::validate;
