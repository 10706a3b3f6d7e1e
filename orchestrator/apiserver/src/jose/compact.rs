//! [`Compact`]: a token taken apart.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

/// Tokens of this server have less than 2 KiB, those of others with many groups some more.
const LONGEST: usize = 64 * 1024;

/// A token in its compact form, taken apart. Nothing of it is to be believed before its signature was checked.
#[derive(Debug)]
pub(crate) struct Compact<'t> {
    /// The algorithm that its header names.
    pub(crate) algorithm: String,
    /// The key that its header names; empty if none.
    pub(crate) key: String,
    /// What it says.
    pub(crate) payload: Vec<u8>,
    /// What is signed.
    pub(super) signed: &'t str,
    pub(super) signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    #[serde(default)]
    kid: String,
    /// Extensions that whoever reads the token must understand; none is understood here.
    #[serde(default)]
    crit: Option<serde_json::Value>,
}

impl<'t> Compact<'t> {
    /// Takes a token apart; none if it is none.
    pub(crate) fn parse(token: &'t str) -> Option<Self> {
        if token.len() > LONGEST {
            return None;
        }
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, payload) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        let (payload, signature) = (decode(payload)?, decode(signature)?);
        let understood = header.crit.is_none();
        let parts = Self { algorithm: header.alg, key: header.kid, payload, signed, signature };
        understood.then_some(parts)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(header: &str) -> String {
        format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode("{}"))
    }

    #[test]
    fn a_token_has_a_header_that_names_an_algorithm() {
        let text = token(r#"{"alg":"RS256","kid":"k","typ":"JWT"}"#);
        let parts = Compact::parse(&text).unwrap();
        assert_eq!((&*parts.algorithm, &*parts.key, &*parts.payload), ("RS256", "k", &b"{}"[..]));
        assert!(Compact::parse(&token("{}")).is_none());
        assert!(Compact::parse(&token(r#"{"alg":"RS256","crit":["x"]}"#)).is_none());
        assert!(Compact::parse(&"a".repeat(LONGEST + 1)).is_none());
    }

    proptest! {
        #[test]
        fn any_text_is_taken_apart_or_refused(
            text in "\\PC*|[A-Za-z0-9_-]{0,40}(\\.[A-Za-z0-9_-]{0,40}){0,4}|eyJhbGciOiJub25lIn0\\.[A-Za-z0-9_-]{0,9}\\.[A-Za-z0-9_-]{0,9}"
        ) {
            if let Some(parts) = Compact::parse(&text) {
                prop_assert!(text.starts_with(parts.signed));
            }
        }
    }
}
