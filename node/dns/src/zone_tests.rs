//! Names of a small cluster and their records, beside the examples of the specification.

use std::str::FromStr;

use rstest::rstest;

use super::*;
use crate::{Endpoint, Port};

fn key(name: &str) -> Key {
    Key { namespace: "shop".to_owned(), name: name.to_owned() }
}

fn port(name: &str, protocol: &str, number: u16) -> Port {
    Port { name: name.to_owned(), protocol: protocol.to_owned(), number }
}

fn service(face: Face, ports: Vec<Port>) -> Arc<Service> {
    Arc::new(Service { face, ports })
}

fn slice(service: &str, ports: Vec<Port>, endpoints: &[(&str, Option<&str>)]) -> Arc<Slice> {
    let endpoint = |(ip, hostname): &(&str, Option<&str>)| Endpoint {
        ip: ip.parse().unwrap(),
        hostname: hostname.map(str::to_owned),
    };
    Arc::new(Slice { service: key(service), ports, endpoints: endpoints.iter().map(endpoint).collect() })
}

fn cluster(ip: &str) -> Face {
    Face::Cluster(vec![ip.parse().unwrap()])
}

fn empty() -> Zone {
    let ranges = ["10.3.0.0/24", "172.17.0.0/16"].map(|range| range.parse().unwrap());
    Zone::new(
        "cluster.local",
        vec!["10.3.0.10".parse().unwrap(), "fd00:3::a".parse().unwrap()],
        ranges.into(),
    )
    .unwrap()
}

fn zone() -> Zone {
    let mut zone = empty();
    let https = || vec![port("https", "tcp", 443)];
    zone.set_service(&key("kubernetes"), Some(service(cluster("10.3.0.1"), https())));
    zone.set_slice(&key("kubernetes-1"), Some(slice("kubernetes", https(), &[("172.17.0.2", Some("api"))])));
    zone.set_service(&key("headless"), Some(service(Face::Headless, https())));
    let endpoints = [("172.17.0.3", Some("my-pet")), ("172.17.0.4", Some("my-pet-2")), ("172.17.0.5", None)];
    zone.set_slice(&key("headless-1"), Some(slice("headless", https(), &endpoints)));
    zone.set_service(&key("lonely"), Some(service(Face::Headless, https())));
    zone.set_service(
        &key("both"),
        Some(service(cluster("10.3.0.2"), vec![port("dns", "udp", 53), port("dns", "tcp", 53)])),
    );
    zone.set_service(&key("foo"), Some(service(Face::Alias("www.Example.com".to_owned()), Vec::new())));
    zone.set_service(
        &key("second"),
        Some(service(Face::Alias("kubernetes.shop.svc.cluster.local".to_owned()), Vec::new())),
    );
    zone.set_service(
        &key("circle"),
        Some(service(Face::Alias("circle.shop.svc.cluster.local".to_owned()), Vec::new())),
    );
    zone
}

fn ask(zone: &Zone, name: &str, wanted: &str) -> Answer {
    zone.answer(&Name::from_ascii(name).unwrap(), RecordType::from_str(wanted).unwrap(), 0)
}

/// `TYPE DATA` of each record.
fn told(records: &[Record]) -> Vec<String> {
    let text = |record: &Record| format!("{} {}", record.record_type(), record.data);
    let mut told: Vec<String> = records.iter().map(text).collect();
    told.sort();
    told
}

#[rstest]
#[case("dns-version.cluster.local.", "TXT", &["TXT 1.1.0"])]
#[case("kubernetes.shop.svc.cluster.local.", "A", &["A 10.3.0.1"])]
#[case("KUBERNETES.Shop.svc.Cluster.LOCAL.", "A", &["A 10.3.0.1"])]
#[case("_https._tcp.kubernetes.shop.svc.cluster.local.", "SRV", &["SRV 0 100 443 kubernetes.shop.svc.cluster.local."])]
#[case("_dns._udp.both.shop.svc.cluster.local.", "SRV", &["SRV 0 100 53 both.shop.svc.cluster.local."])]
#[case("1.0.3.10.in-addr.arpa.", "PTR", &["PTR kubernetes.shop.svc.cluster.local."])]
#[case("headless.shop.svc.cluster.local.", "A", &["A 172.17.0.3", "A 172.17.0.4", "A 172.17.0.5"])]
#[case("my-pet.headless.shop.svc.cluster.local.", "A", &["A 172.17.0.3"])]
#[case("172-17-0-5.headless.shop.svc.cluster.local.", "A", &["A 172.17.0.5"])]
#[case("api.kubernetes.shop.svc.cluster.local.", "A", &["A 172.17.0.2"])]
#[case("_https._tcp.headless.shop.svc.cluster.local.", "SRV", &[
    "SRV 0 100 443 172-17-0-5.headless.shop.svc.cluster.local.",
    "SRV 0 100 443 my-pet-2.headless.shop.svc.cluster.local.",
    "SRV 0 100 443 my-pet.headless.shop.svc.cluster.local.",
])]
#[case("3.0.17.172.in-addr.arpa.", "PTR", &["PTR my-pet.headless.shop.svc.cluster.local."])]
#[case("5.0.17.172.in-addr.arpa.", "PTR", &["PTR 172-17-0-5.headless.shop.svc.cluster.local."])]
#[case("2.0.17.172.in-addr.arpa.", "PTR", &["PTR api.kubernetes.shop.svc.cluster.local."])]
#[case("foo.shop.svc.cluster.local.", "CNAME", &["CNAME www.example.com."])]
#[case("second.shop.svc.cluster.local.", "A", &["A 10.3.0.1", "CNAME kubernetes.shop.svc.cluster.local."])]
#[case("1-2-3-4.shop.pod.cluster.local.", "A", &["A 1.2.3.4"])]
#[case("cluster.local.", "NS", &["NS ns.dns.cluster.local."])]
#[case("ns.dns.cluster.local.", "A", &["A 10.3.0.10"])]
#[case("ns.dns.cluster.local.", "AAAA", &["AAAA fd00:3::a"])]
fn records_of_the_specification(#[case] name: &str, #[case] wanted: &str, #[case] expected: &[&str]) {
    let answer = ask(&zone(), name, wanted);
    assert_eq!(
        (told(&answer.records), answer.code),
        (expected.iter().map(ToString::to_string).collect(), ResponseCode::NoError)
    );
    assert_eq!((answer.authority, answer.elsewhere), (None, None));
}

#[rstest]
#[case::other_type("kubernetes.shop.svc.cluster.local.", "AAAA", ResponseCode::NoError)]
#[case::no_endpoints("lonely.shop.svc.cluster.local.", "A", ResponseCode::NoError)]
#[case::namespace("shop.svc.cluster.local.", "A", ResponseCode::NoError)]
#[case::protocol("_tcp.kubernetes.shop.svc.cluster.local.", "SRV", ResponseCode::NoError)]
#[case::domain("cluster.local.", "A", ResponseCode::NoError)]
#[case::services("svc.cluster.local.", "A", ResponseCode::NoError)]
#[case::pods("shop.pod.cluster.local.", "A", ResponseCode::NoError)]
#[case::no_service("nothing.shop.svc.cluster.local.", "A", ResponseCode::NXDomain)]
#[case::no_namespace("sho.svc.cluster.local.", "A", ResponseCode::NXDomain)]
#[case::no_port("_http._tcp.kubernetes.shop.svc.cluster.local.", "SRV", ResponseCode::NXDomain)]
#[case::no_protocol("_udp.kubernetes.shop.svc.cluster.local.", "SRV", ResponseCode::NXDomain)]
#[case::no_host("pet.headless.shop.svc.cluster.local.", "A", ResponseCode::NXDomain)]
#[case::no_pod("1-2-3.shop.pod.cluster.local.", "A", ResponseCode::NXDomain)]
#[case::wildcard("*.shop.svc.cluster.local.", "A", ResponseCode::NXDomain)]
#[case::no_address("9.0.3.10.in-addr.arpa.", "PTR", ResponseCode::NXDomain)]
#[case::search_of_a_name("example.com.svc.cluster.local.", "A", ResponseCode::NXDomain)]
fn what_has_no_records_says_whether_it_exists(
    #[case] name: &str,
    #[case] wanted: &str,
    #[case] code: ResponseCode,
) {
    let answer = ask(&zone(), name, wanted);
    assert_eq!((told(&answer.records), answer.code, answer.elsewhere), (Vec::new(), code, None));
    let authority = answer.authority.expect("a start of authority tells how long that may be kept");
    let RData::SOA(soa) = &authority.data else { panic!("{authority}") };
    assert_eq!(
        (authority.name.to_string().as_str(), authority.ttl, soa.minimum),
        ("cluster.local.", TTL, TTL)
    );
}

#[rstest]
#[case("example.com.", "example.com.", 0)]
#[case("local.", "local.", 0)]
#[case("1.1.168.192.in-addr.arpa.", "1.1.168.192.in-addr.arpa.", 0)]
#[case("3.10.in-addr.arpa.", "3.10.in-addr.arpa.", 0)]
#[case("foo.shop.svc.cluster.local.", "www.example.com.", 1)]
fn other_names_are_for_others_to_say(#[case] name: &str, #[case] elsewhere: &str, #[case] aliases: usize) {
    let answer = ask(&zone(), name, "A");
    assert_eq!(answer.elsewhere.unwrap().to_string(), elsewhere);
    assert_eq!((answer.records.len(), answer.code), (aliases, ResponseCode::NoError));
}

#[test]
fn aliases_in_a_circle_fail() {
    assert_eq!(ask(&zone(), "circle.shop.svc.cluster.local.", "A").code, ResponseCode::ServFail);
}

#[test]
fn the_addresses_of_targets_come_with_them() {
    let answer = ask(&zone(), "_https._tcp.headless.shop.svc.cluster.local.", "SRV");
    assert_eq!(told(&answer.additional), ["A 172.17.0.3", "A 172.17.0.4", "A 172.17.0.5"]);
}

#[test]
fn endpoints_take_turns() {
    let zone = zone();
    let first = |turn| {
        let answer =
            zone.answer(&Name::from_ascii("headless.shop.svc.cluster.local.").unwrap(), RecordType::A, turn);
        answer.records[0].data.to_string()
    };
    assert_eq!(
        [first(0), first(1), first(2), first(3)],
        ["172.17.0.3", "172.17.0.4", "172.17.0.5", "172.17.0.3"]
    );
}

#[test]
fn a_change_counts_at_once_and_leaves_nothing_behind() {
    let mut zone = zone();
    zone.set_slice(
        &key("headless-1"),
        Some(slice("headless", vec![port("https", "tcp", 443)], &[("172.17.0.9", None)])),
    );
    assert_eq!(told(&ask(&zone, "headless.shop.svc.cluster.local.", "A").records), ["A 172.17.0.9"]);
    assert_eq!(ask(&zone, "3.0.17.172.in-addr.arpa.", "PTR").code, ResponseCode::NXDomain);
    zone.set_service(&key("headless"), Some(service(cluster("10.3.0.7"), Vec::new())));
    assert_eq!(told(&ask(&zone, "headless.shop.svc.cluster.local.", "A").records), ["A 10.3.0.7"]);
    for name in ["kubernetes", "headless", "lonely", "both", "foo", "second", "circle"] {
        zone.set_service(&key(name), None);
    }
    assert_eq!(ask(&zone, "172-17-0-9.headless.shop.svc.cluster.local.", "A").code, ResponseCode::NXDomain);
    for name in ["kubernetes-1", "headless-1"] {
        zone.set_slice(&key(name), None);
    }
    assert_eq!(ask(&zone, "shop.svc.cluster.local.", "A").code, ResponseCode::NXDomain);
    assert_eq!((zone.services.len(), zone.slices.len(), zone.by_service.len()), (0, 0, 0));
    assert_eq!((zone.by_cluster_ip.len(), zone.by_endpoint.len()), (0, 0));
}

#[test]
fn an_address_that_moves_keeps_its_new_owner() {
    let mut zone = empty();
    zone.set_service(&key("old"), Some(service(cluster("10.3.0.1"), Vec::new())));
    zone.set_service(&key("new"), Some(service(cluster("10.3.0.1"), Vec::new())));
    zone.set_service(&key("old"), None);
    assert_eq!(
        told(&ask(&zone, "1.0.3.10.in-addr.arpa.", "PTR").records),
        ["PTR new.shop.svc.cluster.local."]
    );
}
