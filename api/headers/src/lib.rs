//! Headers of HTTP between two neighbours: which of them a proxy lets go on (RFC 9110, section 7.6.1).
//!
//! Every proxy of Wherry uses this: the API server's, to nodes, Pods and servers of other APIs, and the one of Ingresses and Gateways.
//! What each of them tells the next hop beyond that, or keeps to itself, is its own to know.

use http::header::{CONNECTION, TE, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

/// What is not for anybody behind a neighbour, be it listed in `Connection` or not.
const HOP_BY_HOP: [&str; 9] = [
    "connection",
    "proxy-connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether a header is for one neighbour alone, whatever `Connection` lists.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    HOP_BY_HOP.contains(&name.as_str())
}

/// What a header lists, in all its values.
pub fn listed<'h>(headers: &'h HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'h str> {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim)
}

/// Takes away what is not for the next hop.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> =
        listed(headers, &CONNECTION).filter_map(|name| HeaderName::try_from(name).ok()).collect();
    for name in listed {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Makes the headers of a request those of the next hop. It is asked for what the client asks for: for trailers, and for another
/// protocol if that is to go on.
pub fn forward(headers: &mut HeaderMap, upgrade: bool) {
    let protocol = headers.get(UPGRADE).cloned().filter(|_| upgrade);
    let trailers = listed(headers, &TE).any(|token| token.eq_ignore_ascii_case("trailers"));
    remove_hop_by_hop(headers);
    if let Some(protocol) = protocol {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, protocol);
    }
    if trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(name, value);
        }
        headers
    }

    #[test]
    fn nothing_of_the_hop_goes_on() {
        for name in HOP_BY_HOP {
            let mut all = headers(&[("connection", "close"), ("accept", "*/*")]);
            let name = HeaderName::from_static(name);
            all.append(&name, HeaderValue::from_static("x"));
            assert!(is_hop_by_hop(&name));
            remove_hop_by_hop(&mut all);
            assert_eq!(all, headers(&[("accept", "*/*")]), "{name}");
        }
        let end_to_end = headers(&[("accept", "*/*"), ("x-mine", "1"), ("host", "a")]);
        assert!(end_to_end.keys().all(|name| !is_hop_by_hop(name)));
    }

    #[test]
    fn what_connection_lists_is_of_the_hop() {
        let mut all = headers(&[
            ("connection", "close, X-Mine"),
            ("connection", "x-other ,no name"),
            ("x-mine", "1"),
            ("x-other", "1"),
            ("x-third", "1"),
        ]);
        assert_eq!(listed(&all, &CONNECTION).collect::<Vec<_>>(), ["close", "X-Mine", "x-other", "no name"]);
        remove_hop_by_hop(&mut all);
        assert_eq!(all, headers(&[("x-third", "1")]));
    }

    #[test]
    fn an_upgrade_goes_on_where_it_may_and_trailers_always() {
        let asked = headers(&[
            ("connection", "keep-alive, upgrade"),
            ("upgrade", "websocket"),
            ("te", "gzip, Trailers"),
        ]);
        let trailers = ("te", "trailers");
        for (upgrade, expected) in [
            (true, headers(&[("connection", "Upgrade"), ("upgrade", "websocket"), trailers])),
            (false, headers(&[trailers])),
        ] {
            let mut all = asked.clone();
            forward(&mut all, upgrade);
            assert_eq!(all, expected);
        }
    }
}
