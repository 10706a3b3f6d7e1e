//! Which endpoints are chosen, as tables.

use rstest::rstest;

use super::super::model::{ObjectKey, Port, SlicePort};
use super::*;

fn service(ports: &[(&str, Protocol, u16)]) -> Service {
    let port = |(name, protocol, port): &(&str, Protocol, u16)| Port {
        name: (*name).to_owned(),
        protocol: *protocol,
        number: *port,
        on_node: None,
    };
    Service {
        cluster_ips: vec![Ipv4Addr::new(10, 96, 0, 1)],
        ports: ports.iter().map(port).collect(),
        affinity: None,
        internal: Scope::Cluster,
        external: Scope::Cluster,
    }
}

/// Endpoints by the last number of the address: `r`eady, `e`nding but still serving, `d`own; `*` on this node.
fn slice(ports: &[(&str, Protocol, u16)], endpoints: &str) -> Slice {
    let port = |(name, protocol, port): &(&str, Protocol, u16)| SlicePort {
        name: (*name).to_owned(),
        protocol: *protocol,
        port: *port,
    };
    let endpoint = |word: &str| Endpoint {
        ip: Ipv4Addr::new(10, 244, 0, word.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()),
        node: Some(if word.ends_with('*') { "here" } else { "there" }.to_owned()),
        ready: word.starts_with('r'),
        winding_down: word.starts_with('e'),
    };
    Slice {
        service: ObjectKey { namespace: "default".to_owned(), name: "web".to_owned() },
        ports: ports.iter().map(port).collect(),
        endpoints: endpoints.split_whitespace().map(endpoint).collect(),
    }
}

fn numbers(backends: &[SocketAddrV4]) -> String {
    let numbers: Vec<String> = backends.iter().map(|backend| backend.ip().octets()[3].to_string()).collect();
    numbers.join(" ")
}

const HTTP: (&str, Protocol, u16) = ("http", Protocol::Tcp, 80);

#[rstest]
#[case::none("", "", "")]
#[case::ready_ones("r1 r2* d3 e4", "1 2", "2")]
#[case::none_ready("d1 e2 e3*", "2 3", "3")]
#[case::none_at_all("d1 d2*", "", "")]
#[case::local_ones_end_while_others_are_ready("r1 e2*", "1", "2")]
#[case::in_order("r9 r10* r2", "2 9 10", "10")]
fn endpoints_are_chosen(#[case] endpoints: &str, #[case] cluster: &str, #[case] local: &str) {
    let ports = plan(&service(&[HTTP]), &[&slice(&[HTTP], endpoints)], "here");
    assert_eq!((numbers(&ports[0].cluster).as_str(), numbers(&ports[0].local).as_str()), (cluster, local));
}

#[test]
fn slices_are_joined_and_an_endpoint_counts_once() {
    let slices = [slice(&[HTTP], "r1 r2"), slice(&[HTTP], "r2 r3")];
    let ports = plan(&service(&[HTTP]), &slices.each_ref(), "here");
    assert_eq!(numbers(&ports[0].cluster), "1 2 3");
}

#[test]
fn a_port_is_found_by_name_and_protocol() {
    let tcp = ("dns", Protocol::Tcp, 53);
    let udp = ("dns", Protocol::Udp, 53);
    let slices = [slice(&[("dns", Protocol::Tcp, 8053), ("dns", Protocol::Udp, 9053)], "r1")];
    let ports = plan(&service(&[tcp, udp, HTTP]), &slices.each_ref(), "here");
    assert_eq!(ports[0].cluster, [SocketAddrV4::new(Ipv4Addr::new(10, 244, 0, 1), 8053)]);
    assert_eq!(ports[1].cluster, [SocketAddrV4::new(Ipv4Addr::new(10, 244, 0, 1), 9053)]);
    assert!(ports[2].cluster.is_empty());
}

#[test]
fn replicas_may_listen_on_different_ports() {
    let slices =
        [slice(&[("http", Protocol::Tcp, 8080)], "r1"), slice(&[("http", Protocol::Tcp, 8081)], "r2")];
    let ports = plan(&service(&[HTTP]), &slices.each_ref(), "here");
    let found: Vec<u16> = ports[0].cluster.iter().map(SocketAddrV4::port).collect();
    assert_eq!(found, [8080, 8081]);
}
