//! What cosign signs: a document of the form "simple signing", which names one manifest and what the image is called.

use serde::Deserialize;

const KIND: &str = "cosign container image signature";

/// What a signature is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Payload {
    /// What the image is called.
    pub(super) reference: String,
    /// The digest of its manifest or index.
    pub(in super::super) digest: String,
}

#[derive(Deserialize)]
struct Document {
    critical: Critical,
}

// Whoever signs something critical that is not known here means something else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Critical {
    identity: Identity,
    image: Image,
    #[serde(rename = "type")]
    kind: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identity {
    #[serde(rename = "docker-reference")]
    reference: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Image {
    #[serde(rename = "docker-manifest-digest")]
    digest: String,
}

impl Payload {
    /// What the document says; `None` if it is not such a one.
    pub(in super::super) fn parse(text: &str) -> Option<Self> {
        let Document { critical } = serde_json::from_str(text).ok()?;
        let (reference, digest) = (critical.identity.reference, critical.image.digest);
        (critical.kind == KIND).then_some(Self { reference, digest })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn document(critical: Value) -> String {
        json!({ "critical": critical, "optional": { "creator": "cosign" } }).to_string()
    }

    fn critical() -> Value {
        json!({ "identity": { "docker-reference": "r.example/app" }, "image": { "docker-manifest-digest": "sha256:d" }, "type": KIND })
    }

    #[test]
    fn a_signature_names_an_image() {
        let expected = Payload { reference: "r.example/app".to_owned(), digest: "sha256:d".to_owned() };
        assert_eq!(Payload::parse(&document(critical())), Some(expected));
    }

    #[rstest]
    #[case::of_another_kind("type", json!("atomic container signature"))]
    #[case::with_something_unknown("expires", json!("2030-01-01"))]
    #[case::without_an_image("image", json!({}))]
    fn what_is_not_understood_in_full_is_nothing(#[case] field: &str, #[case] value: Value) {
        let mut critical = critical();
        critical[field] = value;
        assert_eq!(Payload::parse(&document(critical)), None);
    }

    proptest! {
        #[test]
        fn whatever_somebody_signed_is_read_or_not(text in ".{0,200}", at in 0_usize..200, with in ".{0,3}") {
            let _ = Payload::parse(&text);
            let mut good = document(critical());
            let at = at % good.len();
            good.replace_range(at..=at, &with);
            if let Some(payload) = Payload::parse(&good) {
                prop_assert!(good.contains(KIND) && !payload.digest.contains('"'));
            }
        }
    }
}
