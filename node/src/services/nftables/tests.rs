//! The scripts, word for word. `services::tests` runs their like with packets.

use std::net::{IpAddr, SocketAddr};

use wherry_api::ranges::IpFamily;

use super::super::model::Scope;
use super::ruleset::Fragment;
use super::*;

fn base() -> Base {
    Base {
        family: IpFamily::V4,
        service_cidr: "10.96.0.0/16".parse().unwrap(),
        dns: None,
        cluster_cidr: "10.244.0.0/16".parse().unwrap(),
        pod_cidr: "10.244.3.0/24".parse().unwrap(),
        namespaced: "10.244.3.0/25".parse().unwrap(),
        local: "10.244.3.128/25".parse().unwrap(),
    }
}

fn key() -> ObjectKey {
    ObjectKey { namespace: "default".to_owned(), name: "web".to_owned() }
}

fn backends(numbers: &[u8]) -> Vec<SocketAddr> {
    numbers.iter().map(|number| SocketAddr::from(([10, 244, 3, *number], 8080))).collect()
}

fn port(cluster: &[u8], local: &[u8]) -> ServicePort {
    ServicePort {
        family: IpFamily::V4,
        name: "http".to_owned(),
        protocol: Protocol::Tcp,
        cluster_ips: vec![IpAddr::from([10, 96, 0, 10])],
        external_ips: Vec::new(),
        balancer_ips: Vec::new(),
        sources: None,
        port: 80,
        node_port: None,
        affinity: None,
        internal: Scope::Cluster,
        external: Scope::Cluster,
        cluster: backends(cluster),
        local: backends(local),
    }
}

fn step(old: &[ServicePort], new: &[ServicePort]) -> String {
    let (old, new) = (Fragment::of(&key(), old, &base()), Fragment::of(&key(), new, &base()));
    script::update(IpFamily::V4, &[(&old, &new)], |_| false)
}

#[test]
fn the_table_as_it_starts() {
    assert_eq!(base().to_string(), include_str!("golden/base.nft"));
}

#[test]
fn a_new_service() {
    let new = ServicePort { node_port: Some(30080), ..port(&[2, 130], &[2, 130]) };
    assert_eq!(step(&[], &[new]), include_str!("golden/new.nft"));
}

/// From none to nine, and back to one; with a session affinity at last.
#[test]
fn numbers_of_endpoints() {
    let numbers: Vec<u8> = (2..11).collect();
    let counts = [0, 1, 2, 3, 8, 9, 1];
    let mut ports: Vec<_> =
        counts.into_iter().map(|count| port(&numbers[..count], &numbers[..count])).collect();
    ports.push(ServicePort { affinity: Some(60), ..port(&[2], &[2]) });
    let steps = ports.windows(2).map(|pair| step(&pair[..1], &pair[1..]));
    assert_eq!(steps.collect::<Vec<_>>().join("# then\n"), include_str!("golden/scale.nft"));
}

#[test]
fn another_endpoint_changes_one_chain_of_an_exposed_service() {
    let exposed = |numbers: &[u8]| ServicePort { node_port: Some(30080), ..port(numbers, numbers) };
    assert_eq!(step(&[exposed(&[2])], &[exposed(&[2, 3])]), include_str!("golden/exposed.nft"));
}

#[test]
fn an_address_of_another_range_without_endpoints() {
    let new = ServicePort { cluster_ips: vec![IpAddr::from([10, 97, 0, 1])], ..port(&[], &[]) };
    assert_eq!(step(&[], &[new]), include_str!("golden/other-range.nft"));
}

#[test]
fn no_endpoint_left() {
    assert_eq!(step(&[port(&[2], &[2])], &[port(&[], &[])]), include_str!("golden/empty.nft"));
}

#[test]
fn a_service_that_goes() {
    let old = ServicePort { node_port: Some(30080), ..port(&[2], &[2]) };
    assert_eq!(step(&[old], &[]), include_str!("golden/gone.nft"));
}

#[test]
fn clients_that_stay_with_their_endpoint() {
    let old = ServicePort { affinity: Some(60), ..port(&[2, 3], &[2, 3]) };
    let new = ServicePort { affinity: Some(60), ..port(&[3, 4], &[3, 4]) };
    let text = format!(
        "{}# then\n{}",
        step(&[], std::slice::from_ref(&old)),
        step(std::slice::from_ref(&old), &[new])
    );
    assert_eq!(text, include_str!("golden/sticky.nft"));
}

#[test]
fn local_endpoints_only() {
    let new = ServicePort {
        node_port: Some(30080),
        internal: Scope::Local,
        external: Scope::Local,
        ..port(&[2, 200], &[])
    };
    assert_eq!(step(&[], &[new]), include_str!("golden/local.nft"));
}

#[test]
fn a_load_balancer_with_source_ranges_and_an_external_address() {
    let new = ServicePort {
        external_ips: vec![IpAddr::from([203, 0, 113, 7])],
        balancer_ips: vec![IpAddr::from([192, 0, 2, 1])],
        sources: Some(vec!["198.51.100.0/24".parse().unwrap(), "203.0.113.4/32".parse().unwrap()]),
        ..port(&[2], &[2])
    };
    assert_eq!(step(&[], &[new]), include_str!("golden/balancer.nft"));
}

#[test]
fn an_element_may_move_between_services_of_one_batch() {
    let moved = ServicePort { node_port: Some(30080), ..port(&[2], &[2]) };
    let other = ObjectKey { namespace: "default".to_owned(), name: "other".to_owned() };
    let (with, without) = (Fragment::of(&key(), std::slice::from_ref(&moved), &base()), Fragment::default());
    let elsewhere = Fragment::of(&other, &[moved], &base());
    let text = script::update(IpFamily::V4, &[(&without, &elsewhere), (&with, &without)], |_| false);
    let delete = text.find("delete element ip wherry_services node_ports").unwrap();
    let add = text.find("add element ip wherry_services node_ports").unwrap();
    assert!(delete < add, "{text}");
    assert!(!text.contains("hairpin"), "the endpoint stays: {text}");
}

#[test]
fn the_same_in_the_other_family() {
    let base = Base {
        family: IpFamily::V6,
        service_cidr: "fd00:96::/112".parse().unwrap(),
        dns: None,
        cluster_cidr: "fd00:244::/56".parse().unwrap(),
        pod_cidr: "fd00:244:0:3::/64".parse().unwrap(),
        namespaced: "fd00:244:0:3::/121".parse().unwrap(),
        local: "fd00:244:0:3::80/121".parse().unwrap(),
    };
    let backends: Vec<SocketAddr> =
        ["[fd00:244:0:3::2]:8080", "[fd00:244:0:3::82]:8080"].map(|text| text.parse().unwrap()).into();
    let new = ServicePort {
        family: IpFamily::V6,
        cluster_ips: vec!["fd00:96::a".parse().unwrap()],
        balancer_ips: vec!["2001:db8::1".parse().unwrap()],
        sources: Some(vec!["2001:db8:1::/48".parse().unwrap()]),
        node_port: Some(30080),
        external: Scope::Local,
        cluster: backends.clone(),
        local: backends,
        ..port(&[], &[])
    };
    let sticky = ServicePort { affinity: Some(60), ..new.clone() };
    let (plain, sticky) = (Fragment::of(&key(), &[new], &base), Fragment::of(&key(), &[sticky], &base));
    let changes = [(&Fragment::default(), &plain), (&plain, &sticky)];
    let steps = changes.map(|change| script::update(IpFamily::V6, &[change], |_| false));
    assert_eq!(format!("{base}{}", steps.join("# then\n")), include_str!("golden/six.nft"));
}

#[test]
fn nothing_to_do_is_an_empty_script() {
    assert_eq!(step(&[port(&[2], &[2])], &[port(&[2], &[2])]), "");
}
