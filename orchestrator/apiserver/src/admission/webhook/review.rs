//! AdmissionReview: what a webhook is asked, and what it answers.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use wherry_schema::{Object, Value};

use super::denied;
use crate::admission::dynamic::seen::Seen;
use crate::error::Failure;
use crate::object::Fields;

const KIND: &str = "AdmissionReview";

/// A version of reviews.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V1,
    V1beta1,
}

impl Version {
    /// The first that a webhook understands and this server too.
    pub(super) fn of(versions: &[Value]) -> Self {
        let known = versions.iter().find_map(|version| match version.as_str() {
            Some("v1") => Some(Self::V1),
            Some("v1beta1") => Some(Self::V1beta1),
            _ => None,
        });
        known.unwrap_or(Self::V1)
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1beta1 => "admission.k8s.io/v1beta1",
        }
    }
}

/// The question about a change that is seen so, under an id.
pub(super) fn of(seen: &Seen<'_>, (uid, version): (&str, Version)) -> Value {
    let mut request = seen.request.clone();
    request.put("uid", uid);
    request.put("object", seen.object.as_deref().cloned().unwrap_or_default());
    request.put("oldObject", seen.old.as_deref().cloned().unwrap_or_default());
    let mut review = Value::object();
    review.put("kind", KIND);
    review.put("apiVersion", version.api_version());
    review.put("request", request);
    review
}

/// What a webhook answered.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) allowed: bool,
    /// What it wants to change: a JSON patch, as it sent it.
    pub(super) patch: Vec<u8>,
    pub(super) patch_type: String,
    pub(super) annotations: Vec<(String, String)>,
    pub(super) warnings: Vec<String>,
    status: Option<Value>,
}

impl Answer {
    /// Reads the answer to a question with this id.
    pub(super) fn read(
        bytes: &[u8],
        (uid, version): (&str, Version),
        mutating: bool,
    ) -> Result<Self, String> {
        let review = Value::from_json(bytes)
            .map_err(|error| format!("couldn't get version/kind; json parse error: {error}"))?;
        let response = review.field("response").ok_or("webhook response was absent")?;
        if version == Version::V1 {
            check_identity(&review, response.text("uid"), uid)?;
        }
        let patch = STANDARD.decode(response.text("patch")).map_err(|error| error.to_string())?;
        let patch_type = response.field("patchType").and_then(Value::as_str);
        if version == Version::V1 {
            check_patch(&patch, patch_type, mutating)?;
        }
        let texts = |map: &Object| -> Vec<(String, String)> {
            map.iter()
                .filter_map(|(key, value)| Some((key.to_string(), value.as_str()?.to_owned())))
                .collect()
        };
        let warnings = response.items("warnings").iter().filter_map(Value::as_str);
        Ok(Self {
            allowed: response.flag("allowed"),
            patch: if mutating { patch } else { Vec::new() },
            patch_type: patch_type.unwrap_or("JSONPatch").to_owned(),
            annotations: response.map("auditAnnotations").map(texts).unwrap_or_default(),
            warnings: warnings.map(str::to_owned).collect(),
            status: response.field("status").cloned(),
        })
    }

    /// The refusal that it is.
    pub(super) fn denial(&self, hook: &str) -> Failure {
        denied(hook, self.status.as_ref())
    }
}

/// An answer is for its question, and is of the same kind.
fn check_identity(review: &Value, answered: &str, uid: &str) -> Result<(), String> {
    if answered != uid {
        return Err(format!("expected response.uid={uid:?}, got {answered:?}"));
    }
    let (version, kind) = (review.text("apiVersion"), review.text("kind"));
    if (version, kind) != (Version::V1.api_version(), KIND) {
        let (group, version) = version.split_once('/').unwrap_or(("", version));
        return Err(format!(
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {group}/{version}, Kind={kind}"
        ));
    }
    Ok(())
}

/// A patch has a type, and only those send one who may change the object.
fn check_patch(patch: &[u8], patch_type: Option<&str>, mutating: bool) -> Result<(), String> {
    let why = match (mutating, patch.is_empty(), patch_type) {
        (false, false, _) => "validating webhook may not return response.patch",
        (false, true, Some(_)) => "validating webhook may not return response.patchType",
        (true, false, None) => "webhook returned response.patch but not response.patchType",
        (true, true, Some(_)) => "webhook returned response.patchType but not response.patch",
        (true, false, Some("")) => "webhook returned invalid response.patchType of \"\"",
        _ => return Ok(()),
    };
    Err(why.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn refusal(review: &str, mutating: bool) -> String {
        Answer::read(review.as_bytes(), ("u", Version::V1), mutating).unwrap_err()
    }

    fn v1(response: &str) -> String {
        format!(r#"{{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","response":{response}}}"#)
    }

    #[rstest]
    #[case("{}", true, "webhook response was absent")]
    #[case(r#"{"response":{"uid":"v"}}"#, true, "expected response.uid=\"u\", got \"v\"")]
    #[case(
        r#"{"apiVersion":"admission.k8s.io/v2","kind":"X","response":{"uid":"u"}}"#,
        true,
        "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got admission.k8s.io/v2, Kind=X"
    )]
    fn an_answer_fits_its_question(#[case] review: &str, #[case] mutating: bool, #[case] text: &str) {
        assert_eq!(refusal(review, mutating), text);
    }

    #[rstest]
    #[case(
        r#"{"uid":"u","patch":"W10="}"#,
        true,
        "webhook returned response.patch but not response.patchType"
    )]
    #[case(
        r#"{"uid":"u","patchType":"JSONPatch"}"#,
        true,
        "webhook returned response.patchType but not response.patch"
    )]
    #[case(
        r#"{"uid":"u","patch":"W10=","patchType":""}"#,
        true,
        "webhook returned invalid response.patchType of \"\""
    )]
    #[case(r#"{"uid":"u","patch":"W10="}"#, false, "validating webhook may not return response.patch")]
    fn a_patch_comes_with_its_type(#[case] response: &str, #[case] mutating: bool, #[case] text: &str) {
        assert_eq!(refusal(&v1(response), mutating), text);
    }

    #[test]
    fn the_first_version_that_both_know_is_spoken() {
        let versions =
            |list: &str| Version::of(Value::from_json(list.as_bytes()).unwrap().as_array().unwrap());
        assert_eq!(versions(r#"["v7","v1beta1","v1"]"#), Version::V1beta1);
        assert_eq!(versions(r#"["v1"]"#), Version::V1);
    }

    proptest! {
        #[test]
        fn any_answer_is_read_or_refused(bytes in "\\PC{0,60}", mutating: bool) {
            let _ = Answer::read(bytes.as_bytes(), ("u", Version::V1), mutating);
            let _ = Answer::read(v1(&bytes).as_bytes(), ("u", Version::V1beta1), mutating);
        }
    }
}
