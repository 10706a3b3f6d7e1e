//! Paths: what of a URL is the proxy's and what is passed on.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// What is written as it is in a path that is passed on.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b',')
    .remove(b'/')
    .remove(b':')
    .remove(b';')
    .remove(b'=')
    .remove(b'@');

/// Where in the URL the proxy ends and the path to pass on begins.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// What the proxy is reached by: `/api/v1/namespaces/a/pods/b/proxy`.
    pub(super) prefix: String,
    /// What is passed on, without `.`, `..` and doubled slashes; empty if nothing follows the proxy.
    pub(super) path: String,
}

impl Place {
    /// Splits the path of a URL. What is passed on begins after the segment `proxy`.
    pub(super) fn of(url: &str, namespaced: bool) -> Self {
        let decoded = percent_decode_str(url).decode_utf8_lossy();
        let before = if namespaced { 7 } else { 5 };
        let segments: Vec<&str> = url.trim_matches('/').split('/').collect();
        let tail = segments.get(before..).unwrap_or_default().join("/");
        let tail = percent_decode_str(&tail).decode_utf8_lossy();
        let ends = decoded.ends_with('/');
        let path = match tail.as_ref() {
            "" if ends => "/".to_owned(),
            "" => String::new(),
            tail => {
                let slash = if ends && !tail.ends_with('/') { "/" } else { "" };
                join("", &format!("/{}{slash}", tail.strip_prefix('/').unwrap_or(tail)))
            }
        };
        let prefix = decoded.strip_suffix(path.as_str()).unwrap_or(&decoded).to_owned();
        Self { prefix, path }
    }

    /// The path as it goes on.
    pub(super) fn escaped(&self) -> String {
        let path = if self.path.is_empty() { "/" } else { &self.path };
        utf8_percent_encode(path, ESCAPED).to_string()
    }

    /// The prefix as links contain it.
    pub(super) fn escaped_prefix(&self) -> String {
        utf8_percent_encode(&self.prefix, ESCAPED).to_string()
    }

    /// What the backend is told of the path that the client asked for.
    pub(super) fn forwarded(&self) -> String {
        join(&self.prefix, &self.escaped())
    }
}

/// Two paths as one, cleaned; it ends with a slash if the second does.
pub(super) fn join(first: &str, second: &str) -> String {
    let mut out = clean(&format!("{first}/{second}"));
    if second.ends_with('/') && !out.ends_with('/') {
        out.push('/');
    }
    out
}

/// A path from the root without `.`, `..` and doubled slashes.
fn clean(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    const PREFIX: &str = "/api/v1/namespaces/a/pods/b/proxy";

    #[rstest]
    #[case("", "")]
    #[case("/", "/")]
    #[case("/x", "/x")]
    #[case("/x/", "/x/")]
    #[case("/x//y", "/x/y")]
    #[case("/x/../../../y", "/y")]
    #[case("/x%2Fy%20z", "/x/y z")]
    fn what_follows_the_proxy_is_passed_on(#[case] tail: &str, #[case] path: &str) {
        assert_eq!(Place::of(&format!("{PREFIX}{tail}"), true).path, path);
    }

    #[test]
    fn the_prefix_is_what_is_left() {
        assert_eq!(Place::of(&format!("{PREFIX}/x/y"), true).prefix, PREFIX);
        assert_eq!(Place::of("/api/v1/nodes/n/proxy/logs/", false).prefix, "/api/v1/nodes/n/proxy");
        assert_eq!(
            Place::of("/api/v1/nodes/n/proxy/logs/", false).forwarded(),
            "/api/v1/nodes/n/proxy/logs/"
        );
    }

    proptest! {
        #[test]
        fn what_is_passed_on_never_leaves_the_root(tail in "(/(\\.|\\.\\.|%2e%2e|%2F|[a-z%]{0,3})){0,8}") {
            let place = Place::of(&format!("{PREFIX}{tail}"), true);
            prop_assert!(place.path.is_empty() || place.path.starts_with('/'));
            prop_assert!(!place.path.split('/').any(|segment| segment == ".."), "{}", place.path);
            prop_assert!(http::Uri::try_from(place.escaped()).is_ok());
        }
    }
}
