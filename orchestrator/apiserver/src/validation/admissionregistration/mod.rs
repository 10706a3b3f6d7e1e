//! Rules of admission webhooks and policies. Expressions are not compiled yet: only that they are there is checked.

pub(crate) mod policies;
mod rules;
pub(crate) mod webhooks;

const FAILURE_POLICIES: &[&str] = &["Fail", "Ignore"];
const MATCH_POLICIES: &[&str] = &["Equivalent", "Exact"];
