//! Headers: which of them go on.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, CONNECTION};
use http::{HeaderMap, HeaderName, HeaderValue};
use wherry_headers::{listed, remove_hop_by_hop};

/// What a backend may not say of who can read answers of this server.
const CORS: [&str; 4] = [
    "access-control-allow-credentials",
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
];
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Whether a request asks to speak another protocol.
pub(crate) fn wants_upgrade(headers: &HeaderMap) -> bool {
    listed(headers, &CONNECTION).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

/// Takes away what lets the caller in here, and what would make somebody else of the caller behind: servers that hand
/// headers on in variables do not tell hyphens, underscores and dots apart.
pub(crate) fn keep_secrets(headers: &mut HeaderMap) {
    headers.remove(AUTHORIZATION);
    let own = |name: &HeaderName| {
        let name = name.as_str().replace(['_', '.'], "-");
        name == "authorization" || ["impersonate-", "x-remote-"].iter().any(|prefix| name.starts_with(prefix))
    };
    let own: Vec<HeaderName> = headers.keys().filter(|name| own(name)).cloned().collect();
    for name in own {
        headers.remove(name);
    }
}

/// Makes the headers of a request those of the next hop, which is told whom it is for.
pub(crate) fn forward(headers: &mut HeaderMap, upgrade: bool, peer: Option<IpAddr>) {
    wherry_headers::forward(headers, upgrade);
    if let Some(peer) = peer {
        let before = listed(headers, &FORWARDED_FOR).collect::<Vec<_>>().join(", ");
        let all = if before.is_empty() { peer.to_string() } else { format!("{before}, {peer}") };
        if let Ok(all) = HeaderValue::try_from(all) {
            headers.insert(FORWARDED_FOR, all);
        }
    }
}

/// Makes the headers of an answer those of this server.
pub(crate) fn clean(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
    for name in CORS {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn what_is_this_hops_own_does_not_go_on() {
        let mut all = headers(&[
            ("connection", "close, X-Mine"),
            ("x-mine", "1"),
            ("keep-alive", "5"),
            ("te", "trailers, deflate"),
            ("x-forwarded-for", "10.0.0.1"),
            ("accept", "*/*"),
        ]);
        forward(&mut all, false, Some("10.0.0.2".parse().unwrap()));
        let expected =
            headers(&[("te", "trailers"), ("x-forwarded-for", "10.0.0.1, 10.0.0.2"), ("accept", "*/*")]);
        assert_eq!(all, expected);
    }

    #[test]
    fn credentials_stay_here() {
        let mut all = headers(&[
            ("authorization", "Bearer secret"),
            ("impersonate-user", "root"),
            ("x_remote_user", "root"),
            ("impersonate.user", "root"),
            ("x-remote-group", "system:masters"),
            ("cookie", "mine=1"),
        ]);
        keep_secrets(&mut all);
        assert_eq!(all, headers(&[("cookie", "mine=1")]));
    }

    #[test]
    fn an_upgrade_goes_on_if_both_hops_can() {
        let asked = [("connection", "keep-alive, Upgrade"), ("upgrade", "websocket")];
        assert!(wants_upgrade(&headers(&asked)));
        let mut all = headers(&asked);
        forward(&mut all, true, None);
        assert_eq!(all, headers(&[("connection", "Upgrade"), ("upgrade", "websocket")]));
        let mut none = headers(&asked);
        forward(&mut none, false, None);
        assert!(none.is_empty());
    }
}
