//! Admission that users extend: what webhooks and policies share.

pub(crate) mod conditions;
