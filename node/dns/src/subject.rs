//! What a name below the cluster's domain is the name of. Whether there is such a thing, the zone knows.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::Key;

/// What a name is the name of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The domain itself.
    Domain,
    /// `dns-version`: the version of the specification.
    Version,
    /// `ns.dns`: who answers.
    NameServer,
    /// A name that only has others below it.
    Branch,
    /// `NAMESPACE.svc`.
    Namespace(String),
    /// `SERVICE.NAMESPACE.svc`.
    Service(Key),
    /// `_PROTOCOL.SERVICE.NAMESPACE.svc`.
    Protocol(Key, String),
    /// `_PORT._PROTOCOL.SERVICE.NAMESPACE.svc`.
    Port { service: Key, port: String, protocol: String },
    /// `HOST.SERVICE.NAMESPACE.svc`.
    Endpoint(Key, String),
    /// `1-2-3-4.NAMESPACE.pod`.
    Pod(IpAddr),
    /// Nothing that could have a name.
    Nothing,
}

impl Subject {
    /// Reads the labels in front of the domain, in small letters.
    pub(crate) fn of(labels: &[&str]) -> Self {
        let key =
            |name: &str, namespace: &str| Key { namespace: namespace.to_owned(), name: name.to_owned() };
        match *labels {
            [] => Self::Domain,
            ["dns-version"] => Self::Version,
            ["ns", "dns"] => Self::NameServer,
            ["dns" | "svc" | "pod"] | [_, "pod"] => Self::Branch,
            [ip, _, "pod"] => address(ip).map_or(Self::Nothing, Self::Pod),
            [namespace, "svc"] => Self::Namespace(namespace.to_owned()),
            [name, namespace, "svc"] => Self::Service(key(name, namespace)),
            [host, name, namespace, "svc"] => match host.strip_prefix('_') {
                Some(protocol) => Self::Protocol(key(name, namespace), protocol.to_owned()),
                None => Self::Endpoint(key(name, namespace), host.to_owned()),
            },
            [port, protocol, name, namespace, "svc"] => {
                match (port.strip_prefix('_'), protocol.strip_prefix('_')) {
                    (Some(port), Some(protocol)) => Self::Port {
                        service: key(name, namespace),
                        port: port.to_owned(),
                        protocol: protocol.to_owned(),
                    },
                    _ => Self::Nothing,
                }
            }
            _ => Self::Nothing,
        }
    }
}

/// The address that dashes stand in for the separators of.
fn address(dashed: &str) -> Option<IpAddr> {
    let v4 = dashed.replace('-', ".").parse::<Ipv4Addr>().map(IpAddr::V4);
    v4.or_else(|_| dashed.replace('-', ":").parse::<Ipv6Addr>().map(IpAddr::V6)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn subject(name: &str) -> Subject {
        let labels: Vec<&str> = name.split('.').filter(|label| !label.is_empty()).collect();
        Subject::of(&labels)
    }

    fn web() -> Key {
        Key { namespace: "shop".to_owned(), name: "web".to_owned() }
    }

    #[rstest]
    #[case("", Subject::Domain)]
    #[case("dns-version", Subject::Version)]
    #[case("ns.dns", Subject::NameServer)]
    #[case("svc", Subject::Branch)]
    #[case("shop.pod", Subject::Branch)]
    #[case("shop.svc", Subject::Namespace("shop".to_owned()))]
    #[case("web.shop.svc", Subject::Service(web()))]
    #[case("_tcp.web.shop.svc", Subject::Protocol(web(), "tcp".to_owned()))]
    #[case("a.web.shop.svc", Subject::Endpoint(web(), "a".to_owned()))]
    #[case("_http._tcp.web.shop.svc", Subject::Port { service: web(), port: "http".to_owned(), protocol: "tcp".to_owned() })]
    #[case("1-2-3-4.shop.pod", Subject::Pod(IpAddr::from([1, 2, 3, 4])))]
    #[case("fd00--1.shop.pod", Subject::Pod("fd00::1".parse().unwrap()))]
    #[case("1-2-3.shop.pod", Subject::Nothing)]
    #[case("b.a.web.shop.svc", Subject::Nothing)]
    #[case("_http.tcp.web.shop.svc", Subject::Nothing)]
    #[case("web", Subject::Nothing)]
    fn names_of_the_specification(#[case] name: &str, #[case] expected: Subject) {
        assert_eq!(subject(name), expected);
    }

    proptest! {
        #[test]
        fn every_address_has_a_pod_name(octets: [u8; 4]) {
            let ip = IpAddr::from(octets);
            prop_assert_eq!(subject(&format!("{}.shop.pod", ip.to_string().replace('.', "-"))), Subject::Pod(ip));
        }
    }
}
