//! What a request must be before anything is made of it: one host, and nothing by which two servers could read it as two things.
//!
//! Of the framing, hyper is the judge: two lengths, a length that is no number, an encoding other than chunks, folded lines and chunks
//! of no size end in 400 or in the end of the connection. A request with both a length and chunks is read by its chunks, goes on
//! without the length, and is the last of its connection (RFC 9112, 6.3).

use http::header::{CONNECTION, HOST, UPGRADE};
use http::request::Parts;
use http::{HeaderMap, Method, Version};

/// Why a request is answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It says for whom it is in no way, or in two.
    #[error("the request names no host, or more than one")]
    Host,
    /// Its host is none.
    #[error("the request's host is not the name or address of one")]
    HostName,
    /// It asks for a tunnel to anywhere.
    #[error("CONNECT is not served")]
    Connect,
    /// Taking away what it says is for the next hop alone would make another request of it.
    #[error("the header Connection names a header that is not for the next hop alone")]
    Hop,
}

/// What is never between two neighbours only, whatever `Connection` says.
const END_TO_END: [&str; 8] = [
    "host",
    "authorization",
    "cookie",
    "content-length",
    "content-type",
    "forwarded",
    "x-real-ip",
    "cache-control",
];

/// Checks the head of a request; its host in lower case, without a port.
pub fn check(head: &Parts) -> Result<String, Refusal> {
    if head.method == Method::CONNECT {
        return Err(Refusal::Connect);
    }
    if connection_options(&head.headers).any(|option| is_end_to_end(&option)) {
        return Err(Refusal::Hop);
    }
    let mut named = head.headers.get_all(HOST).iter();
    let named = match (named.next(), named.next()) {
        (_, Some(_)) => return Err(Refusal::Host),
        (first, None) => first.map(|host| host.to_str().map_err(|_| Refusal::HostName)).transpose()?,
    };
    let authority = head.uri.authority().map(http::uri::Authority::as_str);
    // A target with an authority counts alone (RFC 9112, 3.2.2), but in HTTP/2 both have to agree (RFC 9113, 8.3.1).
    let differ = authority.zip(named).is_some_and(|(a, b)| host_of(a) != host_of(b));
    if differ && head.version == Version::HTTP_2 {
        return Err(Refusal::Host);
    }
    host_of(authority.or(named).ok_or(Refusal::Host)?).ok_or(Refusal::HostName)
}

/// The port that a request names.
pub(crate) fn port_of(head: &Parts) -> Option<u16> {
    let named = head.headers.get(HOST).and_then(|host| host.to_str().ok());
    let authority = head.uri.authority().map(http::uri::Authority::as_str).or(named)?;
    authority.rsplit_once(':')?.1.parse().ok()
}

/// The host of an authority, in lower case, without a port and a dot at its end.
pub fn host_of(authority: &str) -> Option<String> {
    let host = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            port.strip_prefix(':').unwrap_or(port).parse::<u16>().ok().or(port.is_empty().then_some(0))?;
            return Some(format!("[{}]", address.to_ascii_lowercase()));
        }
        None => match authority.split_once(':') {
            Some((host, port)) => {
                // "" is no number, but a port that is left out (RFC 3986, 3.2.3).
                port.parse::<u16>().ok().or(port.is_empty().then_some(0))?;
                host
            }
            None => authority,
        },
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let of_a_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let is_name = !host.is_empty()
        && host.len() <= 253
        && host.split('.').all(|label| !label.is_empty() && label.bytes().all(of_a_name));
    is_name.then(|| host.to_ascii_lowercase())
}

/// Whether it asks to speak another protocol, which HTTP/1.1 alone can.
pub(crate) fn wants_upgrade(head: &Parts) -> bool {
    let to = head.headers.get(UPGRADE).and_then(|value| value.to_str().ok());
    // To HTTP/2 nobody behind is led: requests would go there unseen.
    to.is_some_and(|to| !to.to_ascii_lowercase().contains("h2c"))
        && head.version == Version::HTTP_11
        && connection_options(&head.headers).any(|option| option == "upgrade")
}

/// What `Connection` lists, in lower case.
fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = String> {
    wherry_headers::listed(headers, &CONNECTION).map(str::to_ascii_lowercase)
}

fn is_end_to_end(name: &str) -> bool {
    END_TO_END.contains(&name) || name.starts_with("x-forwarded-")
}

#[cfg(test)]
mod tests {
    use http::Request;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn head(uri: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[rstest]
    #[case("/", &[("host", "A.Example:80")], Ok("a.example"))]
    #[case("/", &[("host", "a.example.")], Ok("a.example"))]
    #[case("/", &[("host", "a.example:")], Ok("a.example"))]
    #[case("/", &[("host", "127.0.0.1:7080")], Ok("127.0.0.1"))]
    #[case("/", &[("host", "[::1]:7080")], Ok("[::1]"))]
    #[case("http://b.example/", &[("host", "a.example")], Ok("b.example"))]
    #[case("/", &[], Err(Refusal::Host))]
    #[case("/", &[("host", "a"), ("host", "a")], Err(Refusal::Host))]
    #[case("/", &[("host", "")], Err(Refusal::HostName))]
    #[case("/", &[("host", "a..b")], Err(Refusal::HostName))]
    #[case("/", &[("host", "user@a")], Err(Refusal::HostName))]
    #[case("/", &[("host", "a b")], Err(Refusal::HostName))]
    #[case("/", &[("host", "a/b")], Err(Refusal::HostName))]
    #[case("/", &[("host", "a:80:80")], Err(Refusal::HostName))]
    #[case("/", &[("host", "a:http")], Err(Refusal::HostName))]
    #[case("/", &[("host", "[::1")], Err(Refusal::HostName))]
    #[case("/", &[("host", "a"), ("connection", "close, X-Forwarded-For")], Err(Refusal::Hop))]
    #[case("/", &[("host", "a"), ("connection", "host")], Err(Refusal::Hop))]
    #[case("/", &[("host", "a"), ("connection", "close"), ("connection", "Content-Length")], Err(Refusal::Hop))]
    #[case("/", &[("host", "a"), ("connection", "keep-alive, Upgrade, X-Mine")], Ok("a"))]
    fn requests_name_one_host(
        #[case] uri: &str,
        #[case] headers: &[(&str, &str)],
        #[case] expected: Result<&str, Refusal>,
    ) {
        assert_eq!(check(&head(uri, headers)), expected.map(str::to_owned));
    }

    #[test]
    fn hosts_of_http2_agree() {
        let mut request = head("http://a.example/", &[("host", "b.example")]);
        request.version = Version::HTTP_2;
        assert_eq!(check(&request), Err(Refusal::Host));
        request.headers.insert(HOST, "A.example:80".parse().unwrap());
        assert_eq!(check(&request).as_deref(), Ok("a.example"));
    }

    #[test]
    fn tunnels_are_for_protocols_that_stay_visible() {
        let asks = |to: &str| wants_upgrade(&head("/", &[("connection", "upgrade"), ("upgrade", to)]));
        assert!(asks("websocket") && !asks("h2c") && !asks("websocket, H2C"));
        assert!(!wants_upgrade(&head("/", &[("upgrade", "websocket")])));
    }

    proptest! {
        #[test]
        fn a_host_is_its_own_host(text in ".{0,40}") {
            if let Some(host) = host_of(&text) {
                prop_assert_eq!(host_of(&host), Some(host.clone()));
                prop_assert!(!host.contains(char::is_whitespace) && !host.contains(['/', '@', ',']));
            }
        }
    }
}
