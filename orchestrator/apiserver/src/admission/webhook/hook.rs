//! One webhook, compiled: which changes it wants to see, and how it is asked.

use std::time::Duration;

use wherry_api::kinds::Kind;
use wherry_schema::Value;

use super::Stopped;
use super::review::{self, Answer, Version};
use crate::admission::dynamic::attributes::Write;
use crate::admission::dynamic::conditions::{Conditions, FailurePolicy};
use crate::admission::dynamic::rules::Matcher;
use crate::admission::dynamic::seen::Seen;
use crate::error::Failure;
use crate::object::Fields;
use crate::outbound::Endpoint;

const DEFAULT_SECONDS: u64 = 10;

/// One webhook.
pub(super) struct Hook {
    /// The name of its configuration.
    pub(super) configuration: String,
    pub(super) name: String,
    pub(super) failure: FailurePolicy,
    /// Whether it is asked again if the object changes after it was asked.
    pub(super) reinvocable: bool,
    matcher: Matcher,
    conditions: Conditions,
    /// Whether it changes nothing but its answer where nothing is to be written.
    dry: bool,
    timeout: Duration,
    version: Version,
    endpoint: Endpoint,
}

impl Hook {
    pub(super) fn new(configuration: &str, webhook: &Value) -> Self {
        let seconds = webhook.int("timeoutSeconds").and_then(|seconds| u64::try_from(seconds).ok());
        Self {
            configuration: configuration.to_owned(),
            name: webhook.text("name").to_owned(),
            failure: FailurePolicy::of(webhook),
            reinvocable: webhook.text("reinvocationPolicy") == "IfNeeded",
            matcher: Matcher::of_webhook(webhook),
            conditions: Conditions::new(webhook.items("matchConditions")),
            dry: matches!(webhook.text("sideEffects"), "None" | "NoneOnDryRun"),
            timeout: Duration::from_secs(seconds.unwrap_or(DEFAULT_SECONDS)),
            version: Version::of(webhook.items("admissionReviewVersions")),
            endpoint: Endpoint::new(webhook.field("clientConfig").unwrap_or(&Value::Null)),
        }
    }

    /// What tells it from all others.
    pub(super) fn id(&self) -> String {
        format!("{}/{}", self.configuration, self.name)
    }

    /// The row of the kinds table that the webhook knows what is changed by; none if it does not want to see the change.
    pub(super) fn wants(&self, write: &Write<'_>) -> Result<Option<&'static Kind>, Failure> {
        self.matcher.matches(write)
    }

    /// Whether its conditions hold of a change that it sees so.
    pub(super) fn holds(&self, write: &Write<'_>, seen: &Seen<'_>) -> Result<bool, Failure> {
        self.conditions.hold(seen.bare(write), self.failure).map_err(|why| write.forbidden(&why))
    }

    /// Asks the webhook. What it says besides its decision is noted.
    pub(super) async fn ask(
        &self,
        write: &Write<'_>,
        seen: &Seen<'_>,
        mutating: bool,
    ) -> Result<Answer, Stopped> {
        if write.dry_run && !self.dry {
            let text = format!("admission webhook {:?} does not support dry run", self.name);
            return Err(Stopped::refused(Failure::BadRequest(text)));
        }
        let uid = write.state.new_uid();
        let review = review::of(seen, (&uid, self.version));
        let answered = self.endpoint.post(write.state, review.to_json_bytes().into(), self.timeout).await;
        let bytes = answered.map_err(|why| Stopped::uncalled(format!("failed to call webhook: {why}")))?;
        let answer = Answer::read(&bytes, (&uid, self.version), mutating)
            .map_err(|why| Stopped::uncalled(format!("received invalid webhook response: {why}")))?;
        for (key, value) in &answer.annotations {
            write.notes.annotate(format!("{}/{key}", self.name), value.clone());
        }
        for warning in &answer.warnings {
            write.notes.warn(warning.as_str());
        }
        if answer.allowed { Ok(answer) } else { Err(Stopped::refused(answer.denial(&self.name))) }
    }

    /// What a call that failed comes to.
    pub(super) fn failed(&self, stopped: Stopped) -> Result<(), Failure> {
        match stopped {
            Stopped::Refused(failure) => Err(*failure),
            Stopped::Uncalled(why) => {
                let why = format!("failed calling webhook {:?}: {why}", self.name);
                if self.failure == FailurePolicy::Fail {
                    return Err(Failure::Internal(why));
                }
                tracing::warn!(webhook = self.name, error = why, "a webhook that may be ignored failed");
                Ok(())
            }
        }
    }
}
