//! The kernel's data plane in IPv6, beside IPv4.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use wherry_api::ranges::IpFamily;

use super::model::Scope;
use super::plan::ServicePort;
use super::tests::{Node, answering, backend, config, run, web};
use super::*;
use crate::network::testing::{
    ask_tcp, ask_udp, dual_stack_config, isolated, serve_tcp, serve_udp, udp_client,
};
use crate::network::{PodAddress, Protocol};

const CLUSTER_IP: &str = "[fd00:96::a]:80";
const NODE_PORT: &str = "[2001:db8::1]:30080";

async fn node() -> Node {
    let config = ServicesConfig {
        pod_cidr: "10.244.3.0/24,fd00:244:0:3::/64".parse().unwrap(),
        cluster_cidr: "10.244.0.0/16,fd00:244::/56".parse().unwrap(),
        service_cidr: "10.96.0.0/16,fd00:96::/112".parse().unwrap(),
        ..config()
    };
    Node::start_with(dual_stack_config, config).await
}

/// The same port as [`web`], with endpoints of IPv6.
fn web6(backends: &[SocketAddr]) -> ServicePort {
    ServicePort { family: IpFamily::V6, cluster_ips: vec!["fd00:96::a".parse().unwrap()], ..web(backends) }
}

async fn pod(node: &Node, name: &'static str, needs_netns: bool) -> PodAddress {
    let pod = node.network.attach(name, needs_netns).await.unwrap();
    for ip in pod.ips() {
        // One socket would do in a namespace, but wasm containers have two.
        let address = match (needs_netns, ip) {
            (true, IpAddr::V4(_)) => continue,
            (true, IpAddr::V6(_)) => "[::]:8080".to_owned(),
            (false, ip) => SocketAddr::new(ip, 8080).to_string(),
        };
        serve_tcp(pod.netns.as_ref(), &address, name);
    }
    pod
}

fn six(pod: &PodAddress) -> SocketAddr {
    backend(&pod.ip6.unwrap().to_string())
}

/// A machine on the node's link, with no way to Pods but the node's address.
fn outside() -> PathBuf {
    run("ip netns add outside");
    run("ip link add out0 type veth peer name eth0 netns outside");
    run("ip link set out0 master uplink up");
    run("ip -n outside addr add 2001:db8::2/64 dev eth0 nodad");
    run("ip -n outside link set eth0 up");
    PathBuf::from("/run/netns/outside")
}

#[test]
fn a_service_of_both_families_is_reached_from_everywhere() {
    isolated(|| async {
        let mut node = node().await;
        let oci = pod(&node, "oci", true).await;
        let wasm = pod(&node, "wasm", false).await;
        let other = pod(&node, "other", true).await;
        let four = [&oci, &wasm].map(|pod| backend(&pod.ip.to_string()));
        node.apply(vec![web(&four), web6(&[six(&oci), six(&wasm)])]).await;
        for from in [None, other.netns.as_ref(), oci.netns.as_ref()] {
            for address in [CLUSTER_IP, NODE_PORT, "10.96.0.10:80", "192.0.2.1:30080"] {
                assert_eq!(answering(from, address), ["oci", "wasm"], "{address} from {from:?}");
            }
        }
        // A Pod that is not masqueraded is seen as itself.
        node.apply(vec![web6(&[six(&wasm)])]).await;
        let seen = ask_tcp(other.netns.as_ref(), CLUSTER_IP).unwrap();
        assert_eq!(seen, format!("wasm {}", other.ip6.unwrap()));
        ask_tcp(other.netns.as_ref(), "10.96.0.10:80").unwrap_err();
        node.apply(vec![web6(&[])]).await;
        let refused = ask_tcp(None, CLUSTER_IP).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    });
}

#[test]
fn clients_outside_are_let_in_by_policy_and_source_range_and_stay_with_their_endpoint() {
    isolated(|| async {
        let mut node = node().await;
        let (oci, wasm) = (pod(&node, "oci", true).await, pod(&node, "wasm", false).await);
        let outside = outside();
        let both = web6(&[six(&oci), six(&wasm)]);
        node.apply(vec![both.clone()]).await;
        // Answers of this node's Pods come back through it by themselves.
        let seen = ask_tcp(Some(&outside), NODE_PORT).unwrap();
        assert!(seen.ends_with(" 2001:db8::2"), "{seen}");
        node.apply(vec![ServicePort { external: Scope::Local, ..web6(&[six(&oci)]) }]).await;
        assert_eq!(ask_tcp(Some(&outside), NODE_PORT).unwrap(), "oci 2001:db8::2");
        node.apply(vec![ServicePort { affinity: Some(60), ..both.clone() }]).await;
        assert_eq!(answering(Some(&outside), NODE_PORT).len(), 1);
        for (range, admitted) in [("2001:db8::/64", true), ("2001:db8:1::/64", false)] {
            let balanced = ServicePort {
                balancer_ips: vec!["2001:db8::1".parse().unwrap()],
                sources: Some(vec![range.parse().unwrap()]),
                node_port: None,
                ..both.clone()
            };
            node.apply(vec![balanced]).await;
            // What lets nobody in drops: nobody waits for it here.
            let rules = run("nft list table ip6 wherry_services");
            assert!(rules.contains(range), "{rules}");
            if admitted {
                assert_eq!(answering(Some(&outside), "[2001:db8::1]:80"), ["oci", "wasm"]);
            }
        }
    });
}

#[test]
fn a_datagram_does_not_go_to_an_endpoint_that_is_gone() {
    isolated(|| async {
        let mut node = node().await;
        let (old, new) = (pod(&node, "old", true).await, pod(&node, "new", true).await);
        for (pod, name) in [(&old, "old"), (&new, "new")] {
            serve_udp(pod.netns.as_ref(), "[::]:8080", name);
        }
        let udp = |pod: &PodAddress| ServicePort { protocol: Protocol::Udp, port: 53, ..web6(&[six(pod)]) };
        node.apply(vec![udp(&old)]).await;
        let client = udp_client(None, "[fd00:96::a]:53");
        assert_eq!(ask_udp(&client, Duration::from_secs(5)).unwrap(), "old");
        node.apply(vec![udp(&new)]).await;
        assert_eq!(ask_udp(&client, Duration::from_secs(5)).unwrap(), "new");
    });
}
