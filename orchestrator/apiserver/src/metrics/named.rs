//! What is counted under names that are known only while the server runs: those of webhooks, policies and definitions.
//!
//! Nothing of it is counted, and no lock taken, for requests that meet none of them.

use std::collections::BTreeMap;
use std::fmt::Write;

use jiff::SignedDuration;
use parking_lot::Mutex;

/// A family of counters or of durations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Family {
    AdmissionStep,
    WebhookDuration,
    WebhookRejection,
    WebhookFailOpen,
    WebhookRequest,
    ValidatingCheck,
    ValidatingCheckDuration,
    MutatingCheck,
    MutatingCheckDuration,
    ConversionRequest,
    ConversionDuration,
    DefinitionConversionDuration,
}

const STEP_BOUNDS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5];
const WEBHOOK_BOUNDS: &[f64] = &[0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 25.0];
const POLICY_BOUNDS: &[f64] = &[0.000_000_5, 0.001, 0.01, 0.1, 1.0];
const CONVERSION_BOUNDS: &[f64] =
    &[0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 30.0, 45.0, 60.0];
const DEFINITION_BOUNDS: &[f64] = &[
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096, 8.192, 16.384,
];

/// What a page says of a family.
pub(super) struct About {
    pub(super) name: &'static str,
    pub(super) help: &'static str,
    /// Upper bounds of the classes of durations, in seconds; none of a counter.
    pub(super) bounds: Option<&'static [f64]>,
}

impl Family {
    pub(super) const ALL: [Self; 12] = [
        Self::AdmissionStep,
        Self::WebhookDuration,
        Self::WebhookRejection,
        Self::WebhookFailOpen,
        Self::WebhookRequest,
        Self::ValidatingCheck,
        Self::ValidatingCheckDuration,
        Self::MutatingCheck,
        Self::MutatingCheckDuration,
        Self::ConversionRequest,
        Self::ConversionDuration,
        Self::DefinitionConversionDuration,
    ];

    pub(super) fn about(self) -> About {
        let (name, help, bounds) = match self {
            Self::AdmissionStep => (
                "apiserver_admission_step_admission_duration_seconds",
                "[STABLE] Admission sub-step latency histogram in seconds, broken out for each operation and API resource and step type (validate or admit).",
                Some(STEP_BOUNDS),
            ),
            Self::WebhookDuration => (
                "apiserver_admission_webhook_admission_duration_seconds",
                "[STABLE] Admission webhook latency histogram in seconds, identified by name and broken out for each operation and API resource and type (validate or admit).",
                Some(WEBHOOK_BOUNDS),
            ),
            Self::WebhookRejection => (
                "apiserver_admission_webhook_rejection_count",
                "[ALPHA] Admission webhook rejection count, identified by name and broken out for each admission type (validating or admit) and operation. Additional labels specify an error type (calling_webhook_error or apiserver_internal_error if an error occurred; no_error otherwise) and optionally a non-zero rejection code if the webhook rejects the request with an HTTP status code (honored by the apiserver when the code is greater or equal to 400). Codes greater than 600 are truncated to 600, to keep the metrics cardinality bounded.",
                None,
            ),
            Self::WebhookFailOpen => (
                "apiserver_admission_webhook_fail_open_count",
                "[ALPHA] Admission webhook fail open count, identified by name and broken out for each admission type (validating or mutating).",
                None,
            ),
            Self::WebhookRequest => (
                "apiserver_admission_webhook_request_total",
                "[ALPHA] Admission webhook request total, identified by name and broken out for each admission type (validating or mutating) and operation. Additional labels specify whether the request was rejected or not and an HTTP status code. Codes greater than 600 are truncated to 600, to keep the metrics cardinality bounded.",
                None,
            ),
            Self::ValidatingCheck => (
                "apiserver_validating_admission_policy_check_total",
                "[BETA] Validation admission policy check total, labeled by policy and further identified by binding and enforcement action taken.",
                None,
            ),
            Self::ValidatingCheckDuration => (
                "apiserver_validating_admission_policy_check_duration_seconds",
                "[BETA] Validation admission latency for individual validation expressions in seconds, labeled by policy and further including binding and enforcement action taken.",
                Some(POLICY_BOUNDS),
            ),
            Self::MutatingCheck => (
                "apiserver_mutating_admission_policy_check_total",
                "[ALPHA] Mutation admission policy check total, labeled by policy and further identified by binding.",
                None,
            ),
            Self::MutatingCheckDuration => (
                "apiserver_mutating_admission_policy_check_duration_seconds",
                "[ALPHA] Mutation admission latency for individual mutation expressions in seconds, labeled by policy and binding.",
                Some(POLICY_BOUNDS),
            ),
            Self::ConversionRequest => (
                "apiserver_conversion_webhook_request_total",
                "[ALPHA] Counter for conversion webhook requests with success/failure and failure error type",
                None,
            ),
            Self::ConversionDuration => (
                "apiserver_conversion_webhook_duration_seconds",
                "[ALPHA] Conversion webhook request latency",
                Some(CONVERSION_BOUNDS),
            ),
            Self::DefinitionConversionDuration => (
                "apiserver_crd_conversion_webhook_duration_seconds",
                "[ALPHA] CRD webhook conversion duration in seconds",
                Some(DEFINITION_BOUNDS),
            ),
        };
        About { name, help, bounds }
    }
}

/// What is counted under one set of labels.
#[derive(Debug, Clone, Default)]
pub(super) struct Sample {
    pub(super) count: u64,
    pub(super) seconds: f64,
    /// How many took at most as long as each bound, and longer than the one before.
    pub(super) classes: Vec<u64>,
}

/// All that is counted so.
#[derive(Debug, Default)]
pub(crate) struct Named(Mutex<BTreeMap<(Family, String), Sample>>);

impl Named {
    /// Counts one.
    pub(crate) fn count(&self, family: Family, labels: &[(&str, &str)]) {
        self.0.lock().entry((family, text(labels))).or_default().count += 1;
    }

    /// Counts one that took so long.
    pub(crate) fn took(&self, family: Family, labels: &[(&str, &str)], duration: SignedDuration) {
        let (bounds, seconds) = (family.about().bounds.unwrap_or_default(), duration.as_secs_f64());
        let class = bounds.iter().position(|bound| seconds <= *bound);
        let mut all = self.0.lock();
        let sample = all.entry((family, text(labels))).or_default();
        sample.classes.resize(bounds.len(), 0);
        sample.count += 1;
        sample.seconds += seconds;
        if let Some(class) = class {
            sample.classes[class] += 1;
        }
    }

    /// The samples of a family, by their labels.
    pub(super) fn samples(&self, family: Family) -> Vec<(String, Sample)> {
        let all = self.0.lock();
        let own = all.iter().filter(|((of, _), _)| *of == family);
        own.map(|((_, labels), sample)| (labels.clone(), sample.clone())).collect()
    }
}

/// Labels as pages write them.
fn text(labels: &[(&str, &str)]) -> String {
    let mut text = String::with_capacity(labels.len() * 32);
    for (at, (name, value)) in labels.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        write!(text, "{comma}{name}=\"{}\"", value.escape_default()).expect("a String takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told_apart_by_labels() {
        let named = Named::default();
        named.count(Family::WebhookFailOpen, &[("name", "a"), ("type", "admit")]);
        named.count(Family::WebhookFailOpen, &[("name", "a"), ("type", "admit")]);
        named.count(Family::WebhookFailOpen, &[("name", "b\""), ("type", "admit")]);
        let samples = named.samples(Family::WebhookFailOpen);
        let counts: Vec<_> = samples.iter().map(|(labels, sample)| (&**labels, sample.count)).collect();
        assert_eq!(counts, [("name=\"a\",type=\"admit\"", 2), ("name=\"b\\\"\",type=\"admit\"", 1)]);
        assert!(named.samples(Family::WebhookDuration).is_empty());
    }

    #[test]
    fn durations_are_in_the_class_of_their_bound() {
        let named = Named::default();
        for milliseconds in [5, 6, 60_000] {
            named.took(Family::WebhookDuration, &[], SignedDuration::from_millis(milliseconds));
        }
        let (_, sample) = named.samples(Family::WebhookDuration).remove(0);
        assert_eq!((&sample.classes[..3], sample.count), (&[1, 1, 0][..], 3));
        assert!((sample.seconds - 60.011).abs() < 1e-9);
    }
}
