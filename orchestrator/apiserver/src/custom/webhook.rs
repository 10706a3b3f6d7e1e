//! The webhook that makes objects of one version of a definition those of another.
//!
//! # Guarantees
//! All objects of a call are in one ConversionReview. What comes back is of the version asked for and of the same kind,
//! name, namespace and uid; of its metadata, only labels and annotations are taken.

use std::time::Duration;

use jiff::SignedDuration;
use wherry_schema::{Object, Value};

use super::restore::restore;
use crate::error::Failure;
use crate::metrics::Family;
use crate::object::Fields;
use crate::outbound::Endpoint;
use crate::state::State;

const KIND: &str = "ConversionReview";
const TIMEOUT: Duration = Duration::from_secs(30);
/// What metrics call what can go wrong.
const CALL: &str = "conversion_webhook_call_failure";
const MALFORMED: &str = "conversion_webhook_malformed_response_failure";
const INVALID: &str = "conversion_webhook_invalid_converted_object_failure";

/// A version of reviews.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    V1,
    V1beta1,
}

/// A webhook that converts.
pub(super) struct Webhook {
    endpoint: Endpoint,
    /// The first that the webhook understands and this server too.
    version: Option<Version>,
}

impl Webhook {
    /// The webhook that a `conversion` names; none if it names another strategy.
    pub(super) fn of(conversion: &Value) -> Option<Self> {
        if conversion.text("strategy") != "Webhook" {
            return None;
        }
        let versions = conversion.items("webhook.conversionReviewVersions").iter();
        Some(Self {
            endpoint: Endpoint::new(conversion.field("webhook.clientConfig").unwrap_or(&Value::Null)),
            version: versions.filter_map(Value::as_str).find_map(Version::named),
        })
    }

    /// Converts those objects of a definition of this name that are not of this version yet.
    pub(super) async fn convert(
        &self,
        state: &State,
        name: &str,
        (objects, api_version): (&mut [Value], &str),
    ) -> Result<(), Failure> {
        let is_other =
            |object: &&mut Value| object.text("apiVersion") != api_version && says_something(object);
        let mut others: Vec<&mut Value> = objects.iter_mut().filter(is_other).collect();
        let Some(first) = others.first() else { return Ok(()) };
        let from = version_of(first.text("apiVersion")).to_owned();
        let started = state.clock.now();
        let outcome = self.ask(state, &mut others, api_version).await;
        let took = state.clock.now().duration_since(started);
        let error = outcome.as_ref().err().map(|failed| failed.0);
        count(state, error, took);
        let succeeded = if error.is_none() { "true" } else { "false" };
        let labels = [
            ("crd_name", name),
            ("from_version", &*from),
            ("succeeded", succeeded),
            ("to_version", version_of(api_version)),
        ];
        state.metrics.named.took(Family::DefinitionConversionDuration, &labels, took);
        outcome.map_err(|(_, why)| plain(why))
    }

    /// Asks for these objects. An error comes with what metrics call it.
    async fn ask(
        &self,
        state: &State,
        others: &mut [&mut Value],
        api_version: &str,
    ) -> Result<(), (&'static str, String)> {
        let about = format!("conversion webhook for {}", called(others[0]));
        let unsupported = || (CALL, "no supported conversion review versions".to_owned());
        let version = self.version.ok_or_else(unsupported)?;
        let uid = state.new_uid();
        let review = version.review(&uid, api_version, others);
        let answered = self.endpoint.post(state, review.to_json_bytes().into(), TIMEOUT).await;
        let bytes = answered.map_err(|why| (CALL, format!("{about} failed: {why}")))?;
        let converted = version.read(&bytes, &uid, others.len());
        let converted = converted.map_err(|why| (MALFORMED, format!("{about} {why}")))?;
        for (object, converted) in others.iter_mut().zip(converted) {
            let of = called(object);
            restore(object, converted, api_version)
                .map_err(|why| (INVALID, format!("conversion webhook for {of} returned {why}")))?;
        }
        Ok(())
    }
}

/// Counts a call that failed, or did not.
fn count(state: &State, error: Option<&str>, took: SignedDuration) {
    let result = if error.is_none() { "success" } else { "failure" };
    let labels = [("failure_type", error.unwrap_or_default()), ("result", result)];
    state.metrics.named.count(Family::ConversionRequest, &labels);
    state.metrics.named.took(Family::ConversionDuration, &labels, took);
}

/// The version in `group/version`.
fn version_of(api_version: &str) -> &str {
    api_version.rsplit('/').next().unwrap_or_default()
}

/// An error that says no more than its words.
fn plain(why: String) -> Failure {
    Failure::Unversioned(why)
}

/// Whether there is anything in an object that a webhook could make something else of.
fn says_something(object: &Value) -> bool {
    let mut fields = object.as_object().into_iter().flat_map(Object::keys);
    fields.any(|name| !matches!(name.as_str(), "apiVersion" | "kind"))
}

/// What kind of object this is, as messages say it.
fn called(object: &Value) -> String {
    format!("{}, Kind={}", object.text("apiVersion"), object.text("kind"))
}

impl Version {
    fn named(name: &str) -> Option<Self> {
        match name {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1beta1),
            _ => None,
        }
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "apiextensions.k8s.io/v1",
            Self::V1beta1 => "apiextensions.k8s.io/v1beta1",
        }
    }

    /// The question about objects, under an id.
    fn review(self, uid: &str, wanted: &str, objects: &[&mut Value]) -> Value {
        let mut request = Value::object();
        request.put("uid", uid);
        request.put("desiredAPIVersion", wanted);
        let objects: Vec<Value> = objects.iter().map(|object| (**object).clone()).collect();
        request.put("objects", Value::Array(objects));
        let mut review = Value::object();
        review.put("kind", KIND);
        review.put("apiVersion", self.api_version());
        review.put("request", request);
        review
    }

    /// The objects in the answer to a question with this id about so many. An error says what it did.
    fn read(self, bytes: &[u8], uid: &str, count: usize) -> Result<Vec<Value>, String> {
        let mut review = Value::from_json(bytes)
            .map_err(|error| format!("failed: couldn't get version/kind; json parse error: {error}"))?;
        self.check(&review, uid).map_err(|why| format!("failed: {why}"))?;
        let objects = match review.take("response.convertedObjects") {
            Some(Value::Array(objects)) => objects,
            _ => Vec::new(),
        };
        if objects.len() == count {
            Ok(objects)
        } else {
            Err(format!("returned {} objects, expected {count}", objects.len()))
        }
    }

    /// An answer is for its question, and says that it is one.
    fn check(self, review: &Value, uid: &str) -> Result<(), String> {
        let response = review.field("response");
        if self == Self::V1 {
            if (review.text("apiVersion"), review.text("kind")) != (self.api_version(), KIND) {
                let expected = format!("{}, Kind={KIND}", self.api_version());
                return Err(format!("expected webhook response of {expected}, got {}", called(review)));
            }
            let answered = response.map(|response| response.text("uid"));
            if answered.is_some_and(|answered| answered != uid) {
                return Err(format!("expected response.uid={uid:?}, got {:?}", answered.unwrap_or_default()));
            }
        }
        let result = response.ok_or("no response provided")?;
        match (result.text("result.status"), result.text("result.message")) {
            ("Success", _) => Ok(()),
            (status, "") => Err(format!("response.result.status was '{status}', not 'Success'")),
            (_, message) => Err(message.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn v1(response: &str) -> String {
        format!(
            r#"{{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","response":{response}}}"#
        )
    }

    #[rstest]
    #[case(
        r#"{"kind":"X","apiVersion":"a/v2"}"#.to_owned(),
        "failed: expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got a/v2, Kind=X"
    )]
    #[case(v1("null"), "failed: no response provided")]
    #[case(v1(r#"{"uid":"v"}"#), "failed: expected response.uid=\"u\", got \"v\"")]
    #[case(v1(r#"{"uid":"u"}"#), "failed: response.result.status was '', not 'Success'")]
    #[case(v1(r#"{"uid":"u","result":{"status":"Failure","message":"no"}}"#), "failed: no")]
    fn an_answer_that_is_none_is_told(#[case] review: String, #[case] text: &str) {
        assert_eq!(Version::V1.read(review.as_bytes(), "u", 1).unwrap_err(), text);
    }

    #[test]
    fn the_first_version_that_both_know_is_spoken() {
        let of = |versions: &str| {
            let text = format!(
                r#"{{"strategy":"Webhook","webhook":{{"clientConfig":{{"url":"https://a/b"}},"conversionReviewVersions":{versions}}}}}"#
            );
            Webhook::of(&Value::from_json(text.as_bytes()).unwrap()).unwrap().version
        };
        assert_eq!(of(r#"["v7","v1beta1","v1"]"#), Some(Version::V1beta1));
        assert_eq!(of(r#"["v1"]"#), Some(Version::V1));
        assert_eq!(of(r#"["v7"]"#), None);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(text in "\\PC{0,60}", count in 0usize..3) {
            for version in [Version::V1, Version::V1beta1] {
                let _ = version.read(text.as_bytes(), "u", count);
                let _ = version.read(v1(&text).as_bytes(), "u", count);
            }
        }
    }
}
