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
        made: 0,
        cluster_ips: vec![IpAddr::from([10, 96, 0, 1])],
        external_ips: vec![IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])],
        balancer_ips: vec![IpAddr::from([192, 0, 2, 3])],
        sources: None,
        health_port: None,
        ports: ports.iter().map(port).collect(),
        affinity: None,
        internal: Scope::Cluster,
        external: Scope::Cluster,
    }
}

fn here() -> Place {
    Place { node: "here".to_owned(), zone: Some("north".to_owned()) }
}

fn planned(service: &Service, slices: &[&Slice]) -> Vec<ServicePort> {
    plan(service, slices, &here(), |_, _| true)
}

/// Endpoints by the last number of the address: `r`eady, `e`nding but still serving, `d`own; `*` on this node. Hints go before
/// it: `north/`, `south/` for zones, `here/`, `there/` for nodes with their zone.
fn slice(ports: &[(&str, Protocol, u16)], endpoints: &str) -> Slice {
    let port = |(name, protocol, port): &(&str, Protocol, u16)| SlicePort {
        name: (*name).to_owned(),
        protocol: *protocol,
        port: *port,
    };
    let hinted = |hint: &str| hint.split_whitespace().map(str::to_owned).collect();
    let endpoint = |word: &str| {
        let (hint, word) = word.rsplit_once('/').unwrap_or(("", word));
        let (for_nodes, for_zones) = match hint {
            "here" => (hint, "north"),
            "there" => (hint, "south"),
            zone => ("", zone),
        };
        Endpoint {
            for_nodes: hinted(for_nodes),
            for_zones: hinted(for_zones),
            ip: IpAddr::from([10, 244, 0, word.trim_matches(|c: char| !c.is_ascii_digit()).parse().unwrap()]),
            node: Some(if word.ends_with('*') { "here" } else { "there" }.to_owned()),
            ready: word.starts_with('r'),
            winding_down: word.starts_with('e'),
        }
    };
    Slice {
        service: ObjectKey { namespace: "default".to_owned(), name: "web".to_owned() },
        ports: ports.iter().map(port).collect(),
        endpoints: endpoints.split_whitespace().map(endpoint).collect(),
    }
}

fn numbers(backends: &[SocketAddr]) -> String {
    let number = |ip: IpAddr| ip.to_string().rsplit(['.', ':']).next().unwrap().to_owned();
    let numbers: Vec<String> = backends.iter().map(|backend| number(backend.ip())).collect();
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
    let ports = planned(&service(&[HTTP]), &[&slice(&[HTTP], endpoints)]);
    assert_eq!((numbers(&ports[0].cluster).as_str(), numbers(&ports[0].local).as_str()), (cluster, local));
}

#[rstest]
#[case::of_this_zone("north/r1 south/r2", "1")]
#[case::only_if_all_have_hints("north/r1 r2", "1 2")]
#[case::those_that_are_not_ready_need_none("north/r1 south/r2 d3 e4", "1")]
#[case::none_for_this_zone("south/r1 south/r2", "1 2")]
#[case::none_ready_here("north/d1 south/r2", "2")]
#[case::of_this_node("here/r1 there/r2", "1")]
#[case::of_this_zone_when_none_is_here("there/r1 north/r2", "2")]
#[case::all_end("north/e1 south/e2", "1 2")]
fn hints_say_which_endpoints_are_near(#[case] endpoints: &str, #[case] cluster: &str) {
    let ports = planned(&service(&[HTTP]), &[&slice(&[HTTP], endpoints)]);
    assert_eq!(numbers(&ports[0].cluster), cluster);
}

#[test]
fn a_node_without_a_zone_sends_everywhere() {
    let elsewhere = Place { node: "elsewhere".to_owned(), zone: None };
    let ports = plan(&service(&[HTTP]), &[&slice(&[HTTP], "north/r1 south/r2")], &elsewhere, |_, _| true);
    assert_eq!(numbers(&ports[0].cluster), "1 2");
}

#[test]
fn addresses_that_others_have_are_left_out() {
    let first = IpAddr::from([192, 0, 2, 1]);
    let ports = plan(&service(&[HTTP]), &[], &here(), |ip, port| ip != first && port.number == 80);
    assert_eq!(ports[0].external_ips, [IpAddr::from([192, 0, 2, 2])]);
    assert_eq!(ports[0].balancer_ips, [IpAddr::from([192, 0, 2, 3])]);
}

#[test]
fn ready_endpoints_of_this_node_are_counted_once() {
    let slices = [slice(&[HTTP], "r1* r2 e3* d4*"), slice(&[("other", Protocol::Tcp, 1)], "r1* r5*")];
    assert_eq!(ready_on(&slices.each_ref(), "here"), 2);
}

#[test]
fn slices_are_joined_and_an_endpoint_counts_once() {
    let slices = [slice(&[HTTP], "r1 r2"), slice(&[HTTP], "r2 r3")];
    let ports = planned(&service(&[HTTP]), &slices.each_ref());
    assert_eq!(numbers(&ports[0].cluster), "1 2 3");
}

#[test]
fn a_port_is_found_by_name_and_protocol() {
    let tcp = ("dns", Protocol::Tcp, 53);
    let udp = ("dns", Protocol::Udp, 53);
    let slices = [slice(&[("dns", Protocol::Tcp, 8053), ("dns", Protocol::Udp, 9053)], "r1")];
    let ports = planned(&service(&[tcp, udp, HTTP]), &slices.each_ref());
    assert_eq!(ports[0].cluster, [SocketAddr::from(([10, 244, 0, 1], 8053))]);
    assert_eq!(ports[1].cluster, [SocketAddr::from(([10, 244, 0, 1], 9053))]);
    assert!(ports[2].cluster.is_empty());
}

#[test]
fn replicas_may_listen_on_different_ports() {
    let slices =
        [slice(&[("http", Protocol::Tcp, 8080)], "r1"), slice(&[("http", Protocol::Tcp, 8081)], "r2")];
    let ports = planned(&service(&[HTTP]), &slices.each_ref());
    let found: Vec<u16> = ports[0].cluster.iter().map(SocketAddr::port).collect();
    assert_eq!(found, [8080, 8081]);
}

#[test]
fn a_service_of_both_families_has_each_of_them_apart() {
    let port = [("http", Protocol::Tcp, 80)];
    let mut service = service(&port);
    service.cluster_ips.push("fd00:96::1".parse().unwrap());
    service.external_ips = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    service.sources = Some(vec!["192.0.2.0/24".parse().unwrap()]);
    let four = slice(&[("http", Protocol::Tcp, 8080)], "r1* r2");
    let mut six = four.clone();
    for (at, endpoint) in six.endpoints.iter_mut().enumerate() {
        endpoint.ip = IpAddr::from([0xfd00, 0x244, 0, 0, 0, 0, 0, u16::try_from(at).unwrap() + 1]);
    }
    let [four_port, six_port] = &planned(&service, &[&four, &six])[..] else { panic!("a port of each") };
    assert_eq!((four_port.family, six_port.family), (IpFamily::V4, IpFamily::V6));
    let texts = |port: &ServicePort| {
        let ips = [&port.cluster_ips[..], &port.external_ips, &port.balancer_ips].concat();
        let ips = ips.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        let backends = port.cluster.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        (ips, backends, port.local.len(), port.sources.as_ref().map(Vec::len))
    };
    let expected = ("10.96.0.1 192.0.2.1 192.0.2.3", "10.244.0.1:8080 10.244.0.2:8080");
    assert_eq!(texts(four_port), (expected.0.to_owned(), expected.1.to_owned(), 1, Some(1)));
    let expected = ("fd00:96::1 2001:db8::1", "[fd00:244::1]:8080 [fd00:244::2]:8080");
    // Ranges of the other family let nobody in.
    assert_eq!(texts(six_port), (expected.0.to_owned(), expected.1.to_owned(), 1, Some(0)));
    assert_eq!(ready_on(&[&four, &six], "here"), 1, "an endpoint with two addresses is one");
}
