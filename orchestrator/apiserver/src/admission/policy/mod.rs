//! Admission policies: what users decide about writes by expressions.
//!
//! Reading order: `types` (what expressions may name), [`expression`] (how they compile), [`input`] (what they are
//! told, and how they are evaluated), `asker` (how they ask about who may do what).

mod asker;
pub(crate) mod expression;
pub(crate) mod input;
mod types;
