//! Where requests that stay in the process are led.

use std::net::Ipv4Addr;

use super::super::model::Scope;
use super::super::tests::{backend, key, web};
use super::*;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 244, 3, 130));

fn front() -> SocketAddr {
    SocketAddr::new(web(&[]).cluster_ips[0], 80)
}

fn leading(ports: Vec<ServicePort>) -> Leads {
    let leads = Leads::default();
    leads.apply(&BTreeMap::from([(key("web"), ports)]));
    leads
}

fn asked(leads: &Leads, times: usize) -> Vec<SocketAddr> {
    (0..times).filter_map(|_| leads.endpoint(CLIENT, front())).collect()
}

#[test]
fn endpoints_take_turns_and_change_as_told() {
    let (one, other) = (backend("10.244.3.131"), backend("10.244.3.132"));
    let leads = leading(vec![web(&[one, other])]);
    assert_eq!(asked(&leads, 4), [one, other, one, other]);
    leads.apply(&BTreeMap::from([(key("web"), vec![web(&[other])]), (key("gone"), Vec::new())]));
    assert_eq!(asked(&leads, 2), [other, other]);
    leads.apply(&BTreeMap::from([(key("web"), Vec::new())]));
    assert_eq!(asked(&leads, 1), []);
    assert!(leads.0.read().fronts.is_empty());
}

#[test]
fn an_address_may_go_from_one_service_to_another() {
    let (one, other) = (backend("10.244.3.131"), backend("10.244.3.132"));
    let leads = leading(vec![web(&[one])]);
    leads.apply(&BTreeMap::from([(key("alike"), vec![web(&[other])]), (key("web"), Vec::new())]));
    assert_eq!(asked(&leads, 1), [other]);
}

#[test]
fn only_what_comes_by_tcp_to_a_port_with_endpoints_is_led() {
    let one = backend("10.244.3.131");
    assert_eq!(asked(&leading(vec![ServicePort { protocol: Protocol::Udp, ..web(&[one]) }]), 1), []);
    assert_eq!(asked(&leading(vec![web(&[])]), 1), []);
    let elsewhere = ServicePort { internal: Scope::Local, local: Vec::new(), ..web(&[one]) };
    assert_eq!(asked(&leading(vec![elsewhere]), 1), []);
    let leads = leading(vec![web(&[one])]);
    assert_eq!(leads.endpoint(CLIENT, SocketAddr::new(front().ip(), 81)), None);
}

#[tokio::test(start_paused = true)]
async fn a_client_stays_with_its_endpoint_for_the_time_of_its_affinity() {
    let endpoints = [backend("10.244.3.131"), backend("10.244.3.132")];
    let sticky = |endpoints: &[SocketAddr]| vec![ServicePort { affinity: Some(10), ..web(endpoints) }];
    let leads = leading(sticky(&endpoints));
    let first = asked(&leads, 1)[0];
    for _ in 0..4 {
        tokio::time::advance(std::time::Duration::from_secs(9)).await;
        assert_eq!(asked(&leads, 1), [first]);
    }
    // Others have their own, and it outlives changes of the Service.
    let other = SocketAddr::from(([10, 244, 3, 200], 1)).ip();
    assert_ne!(leads.endpoint(other, front()), Some(first));
    leads.apply(&BTreeMap::from([(
        key("web"),
        sticky(&[endpoints[0], endpoints[1], backend("10.244.3.133")]),
    )]));
    assert_eq!(asked(&leads, 2), [first, first]);
    tokio::time::advance(std::time::Duration::from_secs(11)).await;
    leads.apply(&BTreeMap::from([(key("web"), sticky(&endpoints))]));
    let next: std::collections::BTreeSet<_> =
        (0..2).map(|turn| leads.endpoint(SocketAddr::from(([10, 244, 9, turn], 1)).ip(), front())).collect();
    assert_eq!(next.len(), 2, "new clients take turns");
}
