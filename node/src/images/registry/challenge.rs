//! What a registry wants to see: the header `WWW-Authenticate` (RFC 9110, section 11.6.1).

use http::{HeaderMap, header};

/// What helps against a 401.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    /// The account itself.
    Basic,
    /// A token that somebody gives out.
    Bearer {
        /// Where.
        realm: String,
        /// For which registry.
        service: Option<String>,
        /// For what in it.
        scope: Option<String>,
    },
}

impl Challenge {
    /// The best of those in an answer.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let all = headers.get_all(header::WWW_AUTHENTICATE).iter();
        let known: Vec<Self> = all.filter_map(|value| Self::parse(value.to_str().ok()?)).collect();
        let bearer = known.iter().find(|challenge| matches!(challenge, Self::Bearer { .. }));
        bearer.or(known.first()).cloned()
    }

    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.trim_start().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let (mut realm, mut service, mut scope) = (None, None, None);
        let mut rest = rest;
        while let Some((name, value, after)) = parameter(rest) {
            rest = after;
            match name.to_ascii_lowercase().as_str() {
                "realm" => realm = Some(value),
                "service" => service = Some(value),
                "scope" => scope = Some(value),
                _ => {}
            }
        }
        Some(Self::Bearer { realm: realm.filter(|realm| !realm.is_empty())?, service, scope })
    }
}

/// The first parameter of a list, and what follows it.
fn parameter(list: &str) -> Option<(&str, String, &str)> {
    let (name, rest) = list.trim_start_matches([' ', '\t', ',']).split_once('=')?;
    let rest = rest.trim_start();
    let (value, rest) = if let Some(quoted) = rest.strip_prefix('"') {
        unquote(quoted)
    } else {
        let end = rest.find([',', ' ']).unwrap_or(rest.len());
        (rest[..end].to_owned(), &rest[end..])
    };
    Some((name.trim(), value, rest))
}

/// A text up to its closing quote, and what follows that.
fn unquote(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &text[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) }
    }

    #[test]
    fn challenges_are_read() {
        let parse = Challenge::parse;
        assert_eq!(parse("Basic realm=\"x\""), Some(Challenge::Basic));
        assert_eq!(
            parse("Bearer realm=\"https://a.io/token\",service=\"a.io\",scope=\"repository:b/c:pull,push\""),
            Some(bearer("https://a.io/token", Some("a.io"), Some("repository:b/c:pull,push")))
        );
        assert_eq!(parse("bearer Realm=https://a.io/t, error=x"), Some(bearer("https://a.io/t", None, None)));
        assert_eq!(parse("Bearer realm=\"a\\\"b\""), Some(bearer("a\"b", None, None)));
        for none in ["", "Bearer", "Bearer service=\"a\"", "Bearer realm=\"\"", "Negotiate"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }

    #[test]
    fn a_token_is_preferred() {
        let mut headers = HeaderMap::new();
        assert_eq!(Challenge::of(&headers), None);
        for value in ["Negotiate", "Basic realm=\"x\"", "Bearer realm=\"y\""] {
            headers.append(header::WWW_AUTHENTICATE, value.parse().unwrap());
        }
        assert_eq!(Challenge::of(&headers), Some(bearer("y", None, None)));
    }

    proptest! {
        #[test]
        fn any_header_is_read(text: String, list in "[Bb]earer ([a-z]{0,8}=\"?[ -~]{0,8}\"?,?){0,4}") {
            Challenge::parse(&text);
            Challenge::parse(&list);
        }

        #[test]
        fn what_is_quoted_is_found_again(realm in "[ -~]{1,20}", scope in "[ -~]{0,20}") {
            let quote = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("Bearer scope=\"{}\",realm=\"{}\"", quote(&scope), quote(&realm));
            prop_assert_eq!(Challenge::parse(&header), Some(bearer(&realm, None, Some(&scope))));
        }
    }
}
