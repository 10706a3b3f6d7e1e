//! Where a request comes from, as its connection and its headers say.

use std::net::IpAddr;

use http::header::{AUTHORIZATION, USER_AGENT};
use http::request::Parts;

use crate::proxy::Peer;

/// The most bytes of a user agent that are recorded.
const LONGEST_AGENT: usize = 1024;

/// The addresses that a request came over, the client's first. All but the last are what others say.
pub(super) fn addresses(parts: &Parts) -> Vec<String> {
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let forwarded = header("x-forwarded-for").unwrap_or_default().split(',');
    let mut found: Vec<IpAddr> = forwarded.filter_map(|one| one.trim().parse().ok()).collect();
    let real: Option<IpAddr> = header("x-real-ip").and_then(|one| one.trim().parse().ok());
    found.extend(real.filter(|real| !found.contains(real)));
    let peer = parts.extensions.get::<Peer>().map(|peer| peer.0);
    found.extend(peer.filter(|peer| found.last() != Some(peer)));
    found.iter().map(IpAddr::to_string).collect()
}

/// What the client calls itself.
pub(super) fn agent(parts: &Parts) -> String {
    let agent = parts.headers.get(USER_AGENT).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mut agent = agent.unwrap_or_default().into_owned();
    if agent.len() > LONGEST_AGENT {
        let end = (0..=LONGEST_AGENT).rev().find(|end| agent.is_char_boundary(*end)).unwrap_or_default();
        agent.truncate(end);
        agent.push_str("...TRUNCATED");
    }
    agent
}

/// What was tried by who is not known.
pub(super) fn attempts(parts: &Parts) -> String {
    let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let scheme = header.and_then(|value| value.trim().split_once(' ')).map(|(scheme, _)| scheme);
    let known = ["basic", "bearer"];
    let tried = scheme.and_then(|scheme| known.into_iter().find(|one| one.eq_ignore_ascii_case(scheme)));
    match tried {
        Some(tried) => format!("Authentication failed, attempted: {tried}"),
        None => "Authentication failed, no credentials provided".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;

    use super::*;

    fn parts(headers: &[(&str, &str)], peer: Option<&str>) -> Parts {
        let mut request = Request::get("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut parts = request.body(()).unwrap().into_parts().0;
        if let Some(peer) = peer {
            parts.extensions.insert(Peer(peer.parse().unwrap()));
        }
        parts
    }

    #[test]
    fn the_address_of_the_connection_is_last_and_told_once() {
        let both = [("x-forwarded-for", "1.1.1.1, nonsense, 2.2.2.2"), ("x-real-ip", "3.3.3.3")];
        assert_eq!(addresses(&parts(&both, Some("4.4.4.4"))), ["1.1.1.1", "2.2.2.2", "3.3.3.3", "4.4.4.4"]);
        assert_eq!(addresses(&parts(&both[..1], Some("2.2.2.2"))), ["1.1.1.1", "2.2.2.2"]);
        assert_eq!(addresses(&parts(&[], Some("::1"))), ["::1"]);
        assert!(addresses(&parts(&[], None)).is_empty());
    }

    #[test]
    fn credentials_are_named_by_kind_alone() {
        let told = attempts(&parts(&[("authorization", "Bearer s3cret")], None));
        assert_eq!(told, "Authentication failed, attempted: bearer");
        assert_eq!(attempts(&parts(&[], None)), "Authentication failed, no credentials provided");
    }

    proptest! {
        #[test]
        fn any_headers_give_addresses_and_a_bounded_agent(forwarded in "[0-9a-f.:, ]{0,60}", agent in "[ -~]{0,1500}") {
            let parts = parts(&[("x-forwarded-for", &forwarded), ("user-agent", &agent)], None);
            for address in addresses(&parts) {
                prop_assert!(address.parse::<IpAddr>().is_ok());
            }
            prop_assert!(super::agent(&parts).len() <= LONGEST_AGENT + 12);
        }
    }
}
