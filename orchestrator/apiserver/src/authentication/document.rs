//! `AuthenticationConfiguration` as files say it (apiserver.config.k8s.io/v1, v1beta1).

use serde::Deserialize;
use wherry_schema::Format;

use super::AuthenticationError;

const KIND: &str = "AuthenticationConfiguration";
const VERSIONS: [&str; 2] = ["apiserver.config.k8s.io/v1", "apiserver.config.k8s.io/v1beta1"];

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Document {
    pub(super) api_version: String,
    pub(super) kind: String,
    pub(super) jwt: Vec<Authenticator>,
    pub(super) anonymous: Option<Anonymous>,
}

/// Whether those may ask who do not say who they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Anonymous {
    pub(super) enabled: bool,
    pub(super) conditions: Vec<Condition>,
}

/// A path they may ask for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Condition {
    pub(super) path: String,
}

/// An issuer, whose tokens count, and who they are about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Authenticator {
    pub(super) issuer: Issuer,
    pub(super) claim_validation_rules: Vec<ClaimRule>,
    pub(super) claim_mappings: Mappings,
    pub(super) user_validation_rules: Vec<UserRule>,
}

/// Who made a token, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Issuer {
    pub(super) url: String,
    #[serde(rename = "discoveryURL")]
    pub(super) discovery_url: String,
    pub(super) certificate_authority: String,
    pub(super) audiences: Vec<String>,
    pub(super) audience_match_policy: String,
    pub(super) egress_selector_type: String,
}

/// What must hold of what a token says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ClaimRule {
    pub(super) claim: String,
    pub(super) required_value: String,
    pub(super) expression: String,
    pub(super) message: String,
}

/// What the user is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Mappings {
    pub(super) username: Prefixed,
    pub(super) groups: Prefixed,
    pub(super) uid: ClaimOrExpression,
    pub(super) extra: Vec<Extra>,
}

/// A claim with something before it, or an expression.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Prefixed {
    pub(super) claim: String,
    pub(super) prefix: Option<String>,
    pub(super) expression: String,
}

/// A claim or an expression.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct ClaimOrExpression {
    pub(super) claim: String,
    pub(super) expression: String,
}

/// What else is known of the user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct Extra {
    pub(super) key: String,
    pub(super) value_expression: String,
}

/// What must hold of the user.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(super) struct UserRule {
    pub(super) expression: String,
    pub(super) message: String,
}

impl Document {
    /// Reads a file, YAML or JSON.
    pub(super) fn parse(text: &[u8]) -> Result<Self, AuthenticationError> {
        let malformed = AuthenticationError::Malformed;
        if text.iter().all(u8::is_ascii_whitespace) {
            return Err(malformed("empty config data".to_owned()));
        }
        let value = wherry_schema::decode::parse(text, Format::Yaml);
        let value = value.map_err(|error| malformed(error.to_string()))?;
        let document = serde_json::from_value(value.into());
        let document: Self = document.map_err(|error| malformed(error.to_string()))?;
        if document.kind != KIND || !VERSIONS.contains(&&*document.api_version) {
            let Self { api_version, kind, .. } = &document;
            return Err(malformed(format!("no kind {kind:?} is registered for version {api_version:?}")));
        }
        Ok(document)
    }
}

impl Anonymous {
    /// Whether a path may be asked for.
    pub(super) fn admits(&self, path: &str) -> bool {
        self.enabled && (self.conditions.is_empty() || self.conditions.iter().any(|one| one.path == path))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_file_is_read_strictly() {
        let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n";
        let document = Document::parse(format!("{head}anonymous:\n  enabled: true\n").as_bytes()).unwrap();
        assert!(document.anonymous.unwrap().admits("/x"));
        for (text, why) in [
            (format!("{head}jwts: []\n"), "unknown field `jwts`"),
            (head.replace("v1", "v2"), "is registered for version \"apiserver.config.k8s.io/v2\""),
            (String::new(), "empty config data"),
        ] {
            let error = Document::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }

    #[test]
    fn conditions_name_the_paths_that_anybody_may_ask_for() {
        let conditions = vec![Condition { path: "/livez".to_owned() }];
        let anonymous = Anonymous { enabled: true, conditions };
        assert!(anonymous.admits("/livez"));
        assert!(!anonymous.admits("/livez/ping"));
        assert!(!Anonymous::default().admits("/livez"));
    }

    proptest! {
        #[test]
        fn any_text_is_a_configuration_or_is_refused(text in "\\PC*|(jwt|anonymous|kind|apiVersion|  - issuer|\\{|\\}|:| |\n){0,12}") {
            let _ = Document::parse(text.as_bytes());
        }
    }
}
