//! Front proxies: who knows a user already, and says by headers who it is.
//!
//! # Guarantees
//! Headers count only on a connection whose certificate the proxies' own authority signed and whose name is allowed;
//! whoever else sends them is who they are without. A certificate of that authority alone makes nobody a user.

use http::HeaderMap;
use percent_encoding::percent_decode_str;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::auth::UserInfo;

/// Which front proxies are believed, and in which headers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestHeaders {
    /// Who signs the certificates of proxies (PEM).
    pub client_ca: Vec<u8>,
    /// The common names that they may have; any where there are none.
    pub allowed_names: Vec<String>,
    /// Headers with the user's name; the first that has one counts.
    pub username_headers: Vec<String>,
    /// Headers with the user's uid.
    pub uid_headers: Vec<String>,
    /// Headers with the user's groups, one in each.
    pub group_headers: Vec<String>,
    /// How the names of headers with other values begin.
    pub extra_prefixes: Vec<String>,
}

impl RequestHeaders {
    /// Proxies that this authority vouches for, with customary headers.
    pub fn new(client_ca: Vec<u8>) -> Self {
        let one = |name: &str| vec![name.to_owned()];
        Self {
            client_ca,
            allowed_names: Vec::new(),
            username_headers: one("x-remote-user"),
            uid_headers: Vec::new(),
            group_headers: one("x-remote-group"),
            extra_prefixes: one("x-remote-extra-"),
        }
    }

    /// Whether a certificate, whose chain has been verified, is one of a proxy.
    pub(crate) fn admits(&self, der: &[u8]) -> bool {
        if self.allowed_names.is_empty() {
            return true;
        }
        let Ok((_, certificate)) = X509Certificate::from_der(der) else { return false };
        let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        name.is_some_and(|name| self.allowed_names.iter().any(|allowed| allowed == name))
    }

    /// The user that headers name, and none of the headers that say so any more; none if they name nobody.
    pub(crate) fn take(&self, headers: &mut HeaderMap) -> Option<UserInfo> {
        let name = first(headers, &self.username_headers)?;
        let uid = first(headers, &self.uid_headers).unwrap_or_default();
        let groups = self.group_headers.iter().flat_map(|header| all(headers, header)).collect();
        let mut user = UserInfo { name, uid, groups, ..UserInfo::default() };
        let mut gone: Vec<String> = [&self.username_headers, &self.uid_headers, &self.group_headers]
            .into_iter()
            .flatten()
            .map(|header| header.to_ascii_lowercase())
            .collect();
        for header in headers.keys().map(http::HeaderName::as_str) {
            let Some(key) = self.extra_prefixes.iter().find_map(|prefix| strip(header, prefix)) else {
                continue;
            };
            let key = percent_decode_str(key).decode_utf8_lossy().into_owned();
            user.extra.entry(key).or_default().extend(all(headers, header));
            gone.push(header.to_owned());
        }
        for header in gone {
            headers.remove(header);
        }
        Some(user)
    }
}

/// What follows the prefix of a header, which is in small letters.
fn strip<'h>(header: &'h str, prefix: &str) -> Option<&'h str> {
    let head = header.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &header[prefix.len()..])
}

fn all(headers: &HeaderMap, name: &str) -> Vec<String> {
    let values = headers.get_all(name).iter();
    values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned()).collect()
}

/// The first value there is in any of the headers.
fn first(headers: &HeaderMap, names: &[String]) -> Option<String> {
    names.iter().find_map(|name| all(headers, name).into_iter().next().filter(|value| !value.is_empty()))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use proptest::prelude::*;

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn headers_say_who_it_is_and_are_taken_off() {
        let mut headers = map(&[
            ("X-Remote-User", "ann"),
            ("X-Remote-Group", "dev"),
            ("X-Remote-Group", "ops"),
            ("X-Remote-Extra-Example.com%2fteam", "a"),
            ("X-Remote-Extra-Scopes", "b"),
            ("X-Remote-Extra-Scopes", "c"),
            ("X-Remote-Uid", "u"),
            ("Accept", "*/*"),
        ]);
        let mut proxies = RequestHeaders::new(Vec::new());
        proxies.uid_headers = vec!["X-Remote-Uid".to_owned()];
        let user = proxies.take(&mut headers).unwrap();
        assert_eq!((&*user.name, &*user.uid), ("ann", "u"));
        assert_eq!(user.groups, ["dev", "ops"]);
        assert_eq!(
            (&user.extra["example.com/team"], &user.extra["scopes"]),
            (&vec!["a".into()], &vec!["b".into(), "c".into()])
        );
        assert_eq!(headers.keys().collect::<Vec<_>>(), ["accept"]);
    }

    #[test]
    fn groups_without_a_name_are_nobody() {
        let mut headers = map(&[("X-Remote-Group", "system:masters"), ("X-Remote-User", "")]);
        assert_eq!(RequestHeaders::new(Vec::new()).take(&mut headers), None);
    }

    proptest! {
        #[test]
        fn any_headers_name_somebody_or_nobody(
            pairs in prop::collection::vec(("x-remote-(user|group|uid|extra-[a-z%]{0,5})", "[ -~]{0,20}"), 0..6),
        ) {
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let user = RequestHeaders::new(Vec::new()).take(&mut map(&pairs));
            prop_assert!(user.is_none_or(|user| !user.name.is_empty()));
        }
    }
}
