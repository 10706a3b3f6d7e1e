//! Headers: which of them go on, and what is told to the next hop.

use http::header::{CONTENT_LENGTH, EXPECT, HOST, TE};
use http::{HeaderMap, HeaderName, HeaderValue};
use wherry_headers::{is_hop_by_hop, remove_hop_by_hop};

use crate::backend::Protocol;
use crate::proxy::Client;

/// What is told of the client. Servers that hand headers on in variables do not tell hyphens, underscores and dots apart.
const TOLD: [&str; 6] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-proto",
    "x-real-ip",
];

/// Whether a header says how a message is framed, where it goes or what is meant for one neighbour: the proxy's own to set.
pub(crate) fn is_of_the_hop(name: &HeaderName) -> bool {
    is_hop_by_hop(name) || [HOST, CONTENT_LENGTH, EXPECT].contains(name)
}

/// Makes the headers of a request those of the next hop. What the client says of itself is not believed.
pub(crate) fn forward(headers: &mut HeaderMap, host: &HeaderValue, client: &Client, upgrade: bool) {
    wherry_headers::forward(headers, upgrade);
    headers.remove(EXPECT);
    let told = |name: &HeaderName| TOLD.contains(&name.as_str().replace(['_', '.'], "-").as_str());
    let told: Vec<HeaderName> = headers.keys().filter(|name| told(name)).cloned().collect();
    for name in told {
        headers.remove(name);
    }
    headers.insert(HOST, host.clone());
    headers.insert("x-forwarded-host", host.clone());
    headers.insert("x-forwarded-proto", HeaderValue::from_static(client.scheme()));
    headers.insert("x-forwarded-port", client.port.into());
    if let Ok(address) = HeaderValue::try_from(client.address.to_string()) {
        headers.insert("x-forwarded-for", address.clone());
        headers.insert("x-real-ip", address);
    }
}

/// What only one of both protocols has.
pub(crate) fn suit(headers: &mut HeaderMap, protocol: Protocol) {
    match protocol {
        Protocol::Http1 | Protocol::Https => headers.remove(TE),
        // There the authority of the target says it.
        Protocol::Http2 => headers.remove(HOST),
    };
}

/// Makes the headers of an answer those of this server.
pub(crate) fn back(headers: &mut HeaderMap) {
    remove_hop_by_hop(headers);
}

#[cfg(test)]
mod tests {
    use http::header::{CONNECTION, UPGRADE};
    use rstest::rstest;

    use super::*;

    fn forwarded(sent: &[(&str, &str)], upgrade: bool) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(name.parse::<HeaderName>().unwrap(), value.parse().unwrap());
        }
        let client = Client { address: [192, 0, 2, 7].into(), port: 443, is_secure: true };
        forward(&mut headers, &HeaderValue::from_static("a.example"), &client, upgrade);
        headers
    }

    #[rstest]
    #[case("connection", "x-mine, close")]
    #[case("x-mine", "1")]
    #[case("keep-alive", "timeout=5")]
    #[case("proxy-authorization", "Basic eA==")]
    #[case("proxy-connection", "keep-alive")]
    #[case("transfer-encoding", "chunked")]
    #[case("trailer", "x-checksum")]
    #[case("upgrade", "websocket")]
    #[case("expect", "100-continue")]
    #[case("forwarded", "for=10.0.0.1")]
    #[case("x_forwarded_for", "10.0.0.1")]
    #[case("x-forwarded_proto", "http")]
    fn what_is_not_for_the_next_hop_stays(#[case] name: &str, #[case] value: &str) {
        let headers = forwarded(&[("connection", "x-mine"), (name, value), ("accept", "*/*")], false);
        assert!(!headers.contains_key(name), "{headers:?}");
        assert_eq!(headers["accept"], "*/*");
    }

    #[test]
    fn the_next_hop_is_told_of_the_client() {
        let sent = [("x-forwarded-for", "10.0.0.1"), ("x-real-ip", "10.0.0.1"), ("x-forwarded-host", "b")];
        let headers = forwarded(&sent, false);
        let told = [
            "host",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-port",
            "x-forwarded-proto",
            "x-real-ip",
        ];
        let found: Vec<&str> = told.iter().map(|name| headers[*name].to_str().unwrap()).collect();
        assert_eq!(found, ["a.example", "192.0.2.7", "a.example", "443", "https", "192.0.2.7"]);
        assert_eq!(headers.len(), told.len());
    }

    #[test]
    fn an_upgrade_goes_on_where_it_is_wanted() {
        let headers =
            forwarded(&[("connection", "Upgrade, x-mine"), ("upgrade", "websocket"), ("x-mine", "1")], true);
        assert_eq!(
            (&headers[CONNECTION], &headers[UPGRADE]),
            (&"Upgrade".parse().unwrap(), &"websocket".parse().unwrap())
        );
        assert!(!headers.contains_key("x-mine"));
    }

    #[test]
    fn trailers_are_for_http2_alone() {
        let mut headers = forwarded(&[("te", "gzip, trailers")], false);
        suit(&mut headers, Protocol::Http2);
        assert_eq!(headers.get(TE), Some(&HeaderValue::from_static("trailers")));
        assert!(!headers.contains_key(HOST));
        suit(&mut headers, Protocol::Http1);
        assert!(!headers.contains_key(TE));
    }
}
