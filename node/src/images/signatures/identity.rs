//! Whether what a signature calls its image is the image that is wanted.

use serde::Deserialize;

use super::super::reference::ImageReference;

/// What a signature has to call an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", deny_unknown_fields)]
pub(super) enum SignedIdentity {
    /// As it is wanted, with its tag.
    MatchExact,
    /// As it is wanted, with its tag; if it is wanted by its digest, the repository is enough.
    #[default]
    MatchRepoDigestOrExact,
    /// By its repository: what cosign writes.
    MatchRepository,
    /// So.
    #[serde(rename_all = "camelCase")]
    ExactReference {
        /// With a tag or a digest.
        docker_reference: String,
    },
    /// With this repository.
    #[serde(rename_all = "camelCase")]
    ExactRepository {
        /// Without a tag.
        docker_repository: String,
    },
    /// As it is wanted, but somewhere else: images that were copied.
    #[serde(rename_all = "camelCase")]
    RemapIdentity {
        /// Where images are wanted from.
        prefix: String,
        /// What signatures say instead.
        signed_prefix: String,
    },
}

impl SignedIdentity {
    /// Whether an image that a signature calls so is the one that is wanted.
    pub(super) fn accepts(&self, wanted: &ImageReference, signed: &str) -> bool {
        let Ok(said) = ImageReference::parse(signed) else { return false };
        let name = repository(wanted);
        let exactly = |name: &str| {
            let tagged = wanted.tag().map(|tag| format!("{name}:{tag}"));
            is_complete(signed) && wanted.digest().is_none() && tagged == Some(said.full_name())
        };
        let digest_or_exactly =
            |name: &str| if wanted.digest().is_some() { repository(&said) == name } else { exactly(name) };
        match self {
            Self::MatchExact => exactly(&name),
            Self::MatchRepoDigestOrExact => digest_or_exactly(&name),
            Self::MatchRepository => repository(&said) == name,
            Self::ExactReference { docker_reference } => {
                let expected = ImageReference::parse(docker_reference);
                is_complete(signed)
                    && is_complete(docker_reference)
                    && expected.is_ok_and(|expected| expected.full_name() == said.full_name())
            }
            Self::ExactRepository { docker_repository } => {
                let expected = ImageReference::parse(docker_repository);
                expected.is_ok_and(|expected| repository(&expected) == repository(&said))
            }
            Self::RemapIdentity { prefix, signed_prefix } => {
                let rest = name.strip_prefix(prefix.as_str());
                let rest = rest.filter(|rest| rest.is_empty() || rest.starts_with('/'));
                digest_or_exactly(&rest.map_or(name.clone(), |rest| format!("{signed_prefix}{rest}")))
            }
        }
    }
}

/// `registry/repository`.
pub(super) fn repository(reference: &ImageReference) -> String {
    format!("{}/{}", reference.registry(), reference.repository())
}

/// Whether a name says a tag or a digest itself.
fn is_complete(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    last.contains([':', '@'])
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    #[rstest]
    #[case::a_tag(r#"{"type":"matchExact"}"#, "r.example/app:v1", "r.example/app:v1", true)]
    #[case::another_tag(r#"{"type":"matchExact"}"#, "r.example/app:v1", "r.example/app:v2", false)]
    #[case::latest_is_not_meant(r#"{"type":"matchExact"}"#, "r.example/app", "r.example/app", false)]
    #[case::by_digest(r#"{"type":"matchRepoDigestOrExact"}"#, "r.example/app@D", "r.example/app", true)]
    #[case::by_tag(r#"{"type":"matchRepoDigestOrExact"}"#, "r.example/app:v1", "r.example/app", false)]
    #[case::any_tag(r#"{"type":"matchRepository"}"#, "r.example/app:v1", "r.example/app", true)]
    #[case::short_names(r#"{"type":"matchRepository"}"#, "nginx:1", "docker.io/library/nginx", true)]
    #[case::elsewhere(r#"{"type":"matchRepository"}"#, "r.example/app:v1", "s.example/app", false)]
    #[case::what_it_was(
        r#"{"type":"exactReference","dockerReference":"r.example/x:1"}"#,
        "m/app:v1",
        "r.example/x:1",
        true
    )]
    #[case::not_what_it_was(
        r#"{"type":"exactReference","dockerReference":"r.example/x:1"}"#,
        "m/app:v1",
        "r.example/x",
        false
    )]
    #[case::where_it_was(
        r#"{"type":"exactRepository","dockerRepository":"r.example/x"}"#,
        "m/app:v1",
        "r.example/x:7",
        true
    )]
    #[case::copied(
        r#"{"type":"remapIdentity","prefix":"m.example","signedPrefix":"r.example/hub"}"#,
        "m.example/app:v1",
        "r.example/hub/app:v1",
        true
    )]
    #[case::not_below(
        r#"{"type":"remapIdentity","prefix":"m.example/ap","signedPrefix":"r.example"}"#,
        "m.example/app:v1",
        "r.example/p:v1",
        false
    )]
    #[case::no_name(r#"{"type":"matchRepository"}"#, "r.example/app:v1", "R E", false)]
    fn names_are_compared(
        #[case] rule: &str,
        #[case] wanted: &str,
        #[case] signed: &str,
        #[case] accepted: bool,
    ) {
        let rule: SignedIdentity = serde_json::from_str(rule).unwrap();
        let wanted = ImageReference::parse(&wanted.replace("@D", &format!("@{DIGEST}"))).unwrap();
        assert_eq!(rule.accepts(&wanted, signed), accepted);
    }
}
