//! Continue tokens: where a page of a list ended. They have upstream's form, so that its clients and tests read them.

use base64::Engine;
use base64::alphabet::URL_SAFE;
use base64::engine::general_purpose::{NO_PAD, URL_SAFE_NO_PAD};
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use serde::Serialize;
use wherry_schema::Value;

use crate::error::Failure;
use crate::object::Fields;

/// Where a page ended.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Token {
    v: &'static str,
    /// The revision of the list; negative stands for the current one.
    pub(crate) rv: i64,
    /// The key to begin at, below the collection's prefix.
    pub(crate) start: String,
}

const VERSION: &str = "meta.k8s.io/v1";

/// Go does not look at the bits that the last letter has too many.
const LENIENT: GeneralPurposeConfig = NO_PAD.with_decode_allow_trailing_bits(true);
const READER: GeneralPurpose = GeneralPurpose::new(&URL_SAFE, LENIENT);

impl Token {
    /// A token that begins right after a key of a list at a revision.
    pub(crate) fn after(revision: u64, key: &str) -> Self {
        Self::new(i64::try_from(revision).unwrap_or(-1), format!("{key}\0"))
    }

    /// A token that begins at a key.
    pub(crate) fn new(rv: i64, start: String) -> Self {
        Self { v: VERSION, rv, start }
    }

    /// The text that clients hand back.
    pub(crate) fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(serde_json::to_vec(self).expect("a token has only string keys"))
    }

    /// Reads what a client handed back.
    pub(crate) fn decode(text: &str) -> Result<Self, Failure> {
        Self::read(text).map_err(|why| {
            Failure::BadRequest(format!("invalid continue token: continue key is not valid: {why}"))
        })
    }

    fn read(text: &str) -> Result<Self, String> {
        let letters: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        let bytes = READER.decode(&letters).map_err(|_| illegal(text))?;
        let token = Value::from_json(&bytes).map_err(|e| e.to_string())?;
        if token.text("v") != VERSION {
            return Err(format!("server does not recognize this encoded version {}", token.text("v")));
        }
        let rv = token.int("rv").unwrap_or_default();
        if rv == 0 {
            return Err(format!("incorrect encoded start resourceVersion (version {VERSION})"));
        }
        let start = token.text("start");
        if start.is_empty() {
            return Err(format!("encoded start key empty (version {VERSION})"));
        }
        if !is_clean(start) {
            return Err(start.to_owned());
        }
        Ok(Self::new(rv, start.trim_start_matches('/').to_owned()))
    }
}

/// Where the text stops being base64, in Go's words.
fn illegal(text: &str) -> String {
    let letter = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'\r' | b'\n');
    let at = text.bytes().position(|b| !letter(&b)).unwrap_or(text.len().saturating_sub(1));
    format!("illegal base64 data at input byte {at}")
}

/// Whether a path has no part that leads elsewhere, so that it stays below the collection it is appended to.
fn is_clean(start: &str) -> bool {
    let parts = start.strip_prefix('/').unwrap_or(start);
    parts.is_empty() || parts.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[test]
    fn a_token_of_upstreams_form_is_read() {
        let token = Token::decode("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhXHUwMDAwIn0").unwrap();
        assert_eq!(token, Token::after(1, "a"));
    }

    #[rstest]
    #[case("abc", "invalid character 'i' looking for beginning of value")]
    #[case("a!c", "illegal base64 data at input byte 1")]
    #[case("abcde", "illegal base64 data at input byte 4")]
    #[case("e30", "server does not recognize this encoded version ")]
    fn a_bad_token_is_told_in_upstreams_words(#[case] text: &str, #[case] why: &str) {
        let told = Token::decode(text).unwrap_err().to_string();
        assert_eq!(told, format!("invalid continue token: continue key is not valid: {why}"));
    }

    #[rstest]
    #[case(0, "a", "incorrect encoded start resourceVersion (version meta.k8s.io/v1)")]
    #[case(1, "", "encoded start key empty (version meta.k8s.io/v1)")]
    #[case(1, "../secrets/a", "../secrets/a")]
    #[case(1, "a/./b", "a/./b")]
    #[case(1, "a//b", "a//b")]
    fn a_token_cannot_climb_out_of_its_collection(#[case] rv: i64, #[case] start: &str, #[case] why: &str) {
        assert_eq!(Token::read(&Token::new(rv, start.to_owned()).encode()).unwrap_err(), why);
    }

    proptest! {
        #[test]
        fn any_text_is_a_token_or_is_refused(text in ".*|[a-zA-Z0-9_-]{0,40}") {
            let _ = Token::decode(&text);
        }

        #[test]
        fn a_token_says_where_to_go_on(revision in 1..u64::MAX, key in "[a-z0-9.-]{1,20}(/[a-z0-9-]{1,20})?") {
            prop_assume!(!matches!(key.as_str(), "." | "..") && !key.starts_with("./") && !key.starts_with("../"));
            let token = Token::after(revision, &key);
            prop_assert_eq!(Token::decode(&token.encode()).unwrap(), token);
        }
    }
}
