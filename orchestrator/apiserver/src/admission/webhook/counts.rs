//! What is counted of calls of webhooks.

use jiff::SignedDuration;

use super::Stopped;
use super::hook::Hook;
use crate::admission::dynamic::attributes::Write;
use crate::admission::dynamic::conditions::FailurePolicy;
use crate::error::Failure;
use crate::metrics::Family;

/// What a webhook may do, as it is counted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Sort {
    Mutating,
    Validating,
}

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Self::Mutating => "admit",
            Self::Validating => "validating",
        }
    }
}

/// How a call ended.
struct End {
    rejected: bool,
    code: u16,
    /// What is said of the error; none of an answer that allows.
    error: Option<&'static str>,
}

impl End {
    fn of(hook: &Hook, stopped: Option<&Stopped>) -> Self {
        match stopped {
            None => Self { rejected: false, code: 200, error: None },
            Some(Stopped::Uncalled(_)) => {
                let rejected = hook.failure == FailurePolicy::Fail;
                Self { rejected, code: 503, error: Some("calling_webhook_error") }
            }
            Some(Stopped::Refused(failure)) => match &**failure {
                Failure::Told(told) => {
                    Self { rejected: true, code: told.code.min(600), error: Some("no_error") }
                }
                _ => Self { rejected: true, code: 0, error: Some("apiserver_internal_error") },
            },
        }
    }
}

/// Counts a call that took so long.
pub(super) fn count(
    hook: &Hook,
    write: &Write<'_>,
    sort: Sort,
    (took, stopped): (SignedDuration, Option<&Stopped>),
) {
    let named = &write.state.metrics.named;
    let (name, operation, sort) = (hook.name.as_str(), write.operation.name(), sort.name());
    let end = End::of(hook, stopped);
    let (code, rejected) = (end.code.to_string(), if end.rejected { "true" } else { "false" });
    let labels = [("name", name), ("operation", operation), ("rejected", rejected), ("type", sort)];
    named.took(Family::WebhookDuration, &labels, took);
    let [first, more @ ..] = labels;
    let [operation, rejected, sort] = more;
    named.count(Family::WebhookRequest, &[("code", &code), first, operation, rejected, sort]);
    match end.error {
        Some(error) if end.rejected => {
            let labels = [("error_type", error), first, operation, ("rejection_code", &code), sort];
            named.count(Family::WebhookRejection, &labels);
        }
        Some(_) => named.count(Family::WebhookFailOpen, &[first, sort]),
        None => {}
    }
}
