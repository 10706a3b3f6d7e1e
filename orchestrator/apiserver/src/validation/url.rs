//! URLs as Go reads them: what is wrong with one is said in Go's words.

use std::fmt;

/// The parts of a URL that rules look at.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Url<'a> {
    /// What is before the colon, in lower case.
    pub(crate) scheme: String,
    /// What is before the `@`.
    pub(crate) user: Option<&'a str>,
    /// Name or address, and port.
    pub(crate) host: &'a str,
    /// What is behind the question mark.
    pub(crate) query: &'a str,
    /// What is behind the hash.
    pub(crate) fragment: &'a str,
}

/// Why a text is no URL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UrlError {
    text: String,
    why: String,
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "parse {:?}: {}", self.text, self.why)
    }
}

impl<'a> Url<'a> {
    /// Reads a URL.
    pub(crate) fn parse(text: &'a str) -> Result<Self, UrlError> {
        let (rest, fragment) = text.split_once('#').unwrap_or((text, ""));
        let failed = |text: &str, why: String| UrlError { text: text.to_owned(), why };
        let url = Self::parts(rest).map_err(|why| failed(rest, why))?;
        check_escapes(fragment).map_err(|why| failed(text, why))?;
        Ok(Self { fragment, ..url })
    }

    fn parts(text: &'a str) -> Result<Self, String> {
        if text.bytes().any(|b| b < b' ' || b == 0x7f) {
            return Err("net/url: invalid control character in URL".to_owned());
        }
        let (scheme, rest) = scheme(text)?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        if !rest.starts_with('/') {
            if !scheme.is_empty() {
                // An opaque URL: nothing of it is a host.
                return Ok(Self { scheme, query, ..Self::default() });
            }
            if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
                return Err("first path segment in URL cannot contain colon".to_owned());
            }
        }
        let authority = rest.strip_prefix("//").filter(|inner| !scheme.is_empty() || !inner.starts_with('/'));
        let Some(rest) = authority else {
            check_escapes(rest)?;
            return Ok(Self { scheme, query, ..Self::default() });
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, host) =
            authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        check_host(host)?;
        if let Some(user) = user {
            check_user(user)?;
        }
        check_escapes(path)?;
        Ok(Self { scheme, user, host, query, fragment: "" })
    }
}

/// What is before the first colon, if it can be a scheme at all.
fn scheme(text: &str) -> Result<(String, &str), String> {
    for (index, c) in text.bytes().enumerate() {
        match c {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if index > 0 => {}
            b':' if index == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok((text[..index].to_ascii_lowercase(), &text[index + 1..])),
            _ => break,
        }
    }
    Ok((String::new(), text))
}

fn check_escapes(text: &str) -> Result<(), String> {
    let bytes = text.as_bytes();
    for (index, _) in bytes.iter().enumerate().filter(|(_, b)| **b == b'%') {
        let escape = &bytes[index..bytes.len().min(index + 3)];
        if escape.len() < 3 || !escape[1..].iter().all(u8::is_ascii_hexdigit) {
            let shown = String::from_utf8_lossy(escape).into_owned();
            return Err(format!("invalid URL escape {shown:?}"));
        }
    }
    Ok(())
}

fn check_host(host: &str) -> Result<(), String> {
    if let Some(inner) = host.strip_prefix('[') {
        let Some((_, port)) = inner.rsplit_once(']') else { return Err("missing ']' in host".to_owned()) };
        return check_port(port);
    }
    if let Some(colon) = host.rfind(':') {
        check_port(&host[colon..])?;
    }
    check_escapes(host)?;
    match host
        .chars()
        .find(|c| c.is_ascii() && !c.is_ascii_alphanumeric() && !"-_.~$&+,/:;=?@!'()*%[]<>\"".contains(*c))
    {
        Some(c) => Err(format!("invalid character {:?} in host name", c.to_string())),
        None => Ok(()),
    }
}

fn check_port(port: &str) -> Result<(), String> {
    let fits = port.is_empty()
        || port.strip_prefix(':').is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
    if fits { Ok(()) } else { Err(format!("invalid port {port:?} after host")) }
}

fn check_user(user: &str) -> Result<(), String> {
    if !user.chars().all(|c| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c)) {
        return Err("net/url: invalid userinfo".to_owned());
    }
    check_escapes(user)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_no_url_is_told_in_gos_words() {
        for (text, wanted) in [
            ("%zz", r#"parse "%zz": invalid URL escape "%zz""#),
            (":x", r#"parse ":x": missing protocol scheme"#),
            ("1x:80/", r#"parse "1x:80/": first path segment in URL cannot contain colon"#),
            ("https://x:abc/y#z", r#"parse "https://x:abc/y": invalid port ":abc" after host"#),
            ("https://[::1", r#"parse "https://[::1": missing ']' in host"#),
            ("https://a b/", r#"parse "https://a b/": invalid character " " in host name"#),
            ("https://a/\u{7f}", r#"parse "https://a/\u{7f}": net/url: invalid control character in URL"#),
        ] {
            assert_eq!(Url::parse(text).unwrap_err().to_string(), wanted);
        }
    }

    #[test]
    fn the_parts_of_a_url() {
        let url = Url::parse("HTTPS://u:p@a.b:1/c?d#e").unwrap();
        let wanted =
            Url { scheme: "https".to_owned(), user: Some("u:p"), host: "a.b:1", query: "d", fragment: "e" };
        assert_eq!(url, wanted);
        assert_eq!(Url::parse("x").unwrap(), Url::default());
        assert_eq!(Url::parse("a:b").unwrap(), Url { scheme: "a".to_owned(), ..Url::default() });
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(text in "\\PC{0,20}|https?://[a-z@:/?#%]{0,10}") {
            let _ = Url::parse(&text).is_ok();
        }
    }
}
