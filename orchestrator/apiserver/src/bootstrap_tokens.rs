//! Bootstrap tokens: how a machine that is nobody yet asks for its first certificate.
//!
//! A token `ID.SECRET` is kept in the Secret `kube-system/bootstrap-token-ID` of type `bootstrap.kubernetes.io/token`.
//! Its user is `system:bootstrap:ID` in `system:bootstrappers` and the groups the Secret adds. It counts only until it
//! expires, and only if it is meant for authentication.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use wherry_schema::Value;

use crate::auth::{Refused, UserInfo};
use crate::codec;
use crate::object::Fields;
use crate::state::State;

/// The group of everybody who has such a token.
const BOOTSTRAPPERS: &str = "system:bootstrappers";
/// The type of the Secrets that hold tokens.
const SECRET_TYPE: &str = "bootstrap.kubernetes.io/token";
const ID_LENGTH: usize = 6;
const SECRET_LENGTH: usize = 16;

/// The user of a token; none if it has not the form of a bootstrap token, or these do not count here.
pub(crate) fn user(state: &State, token: &str) -> Option<Result<UserInfo, Refused>> {
    if !state.authentication.takes_bootstrap_tokens() {
        return None;
    }
    let (id, secret) = parse(token)?;
    let kind = wherry_api::kinds::by_kind("", "v1", "Secret").expect("the kinds table has Secret");
    let key = codec::key(kind, "kube-system", &format!("bootstrap-token-{id}"));
    let found = state.find(&key).ok().flatten();
    let found = found.filter(|object| object.text("type") == SECRET_TYPE);
    let found = found.filter(|object| !object.has("metadata.deletionTimestamp"));
    Some(found.ok_or(Refused::Unknown).and_then(|object| of(&object, (id, secret), state.clock.now())))
}

/// Id and secret of a token in this form.
fn parse(token: &str) -> Option<(&str, &str)> {
    let (id, secret) = token.split_once('.')?;
    let simple = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    let fits = id.len() == ID_LENGTH && secret.len() == SECRET_LENGTH && simple(id) && simple(secret);
    fits.then_some((id, secret))
}

fn of(object: &Value, (id, secret): (&str, &str), now: Timestamp) -> Result<UserInfo, Refused> {
    let data = |name: &str| -> String {
        let encoded = object.get("data").and_then(|data| data.get(name)).and_then(Value::as_str);
        let bytes = encoded.and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default();
        String::from_utf8(bytes).unwrap_or_default()
    };
    // Digests are compared, so that the time it takes tells nothing of the secret.
    let same = Sha256::digest(data("token-secret")) == Sha256::digest(secret);
    let meant = data("usage-bootstrap-authentication") == "true";
    if !same || data("token-id") != id || !meant {
        return Err(Refused::Unknown);
    }
    let expiration = data("expiration");
    let expired = |at: &str| at.parse::<Timestamp>().map_or(true, |at| at < now);
    if !expiration.is_empty() && expired(&expiration) {
        return Err(Refused::Unknown);
    }
    let mut user = UserInfo::new(&format!("system:bootstrap:{id}"), &[BOOTSTRAPPERS]);
    for group in data("auth-extra-groups").split(',').filter(|group| !group.is_empty()) {
        if !may_be_added(group) {
            return Err(Refused::Unknown);
        }
        user.join(group);
    }
    Ok(user)
}

/// Whether a Secret may put its token into the group: one below [`BOOTSTRAPPERS`].
fn may_be_added(group: &str) -> bool {
    let Some(name) = group.strip_prefix(BOOTSTRAPPERS).and_then(|rest| rest.strip_prefix(':')) else {
        return false;
    };
    let simple = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 256
        && name.bytes().all(|byte| simple(byte) || matches!(byte, b':' | b'-'))
        && name.bytes().last().is_some_and(simple)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("abc123.0123456789abcdef", true)]
    #[case("ABC123.0123456789abcdef", false)]
    #[case("abc12.0123456789abcdef", false)]
    #[case("abc123.0123456789abcde", false)]
    #[case("abc123.0123456789.bcdef", false)]
    #[case("abc1230123456789abcdef", false)]
    fn a_token_has_an_id_and_a_secret(#[case] token: &str, #[case] fits: bool) {
        assert_eq!(parse(token).is_some(), fits);
    }

    #[rstest]
    #[case("system:bootstrappers:workers", true)]
    #[case("system:bootstrappers:a:b-c", true)]
    #[case("system:bootstrappers:", false)]
    #[case("system:bootstrappers", false)]
    #[case("system:bootstrappers:a-", false)]
    #[case("system:masters", false)]
    fn groups_stay_below_that_of_bootstrappers(#[case] group: &str, #[case] fits: bool) {
        assert_eq!(may_be_added(group), fits);
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_none(text: String) {
            prop_assert!(parse(&text).is_none_or(|(id, secret)| [id, secret].join(".") == text));
        }
    }
}
