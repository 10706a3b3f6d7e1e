//! Three nodes: two on one link, the third behind a router.

use std::path::Path;
use std::process::Command;

use k8s_openapi::api::core::v1::{NodeAddress, NodeSpec, NodeStatus};
use kube::api::ObjectMeta;

use super::super::testing::{ask_tcp, inside, isolated, serve_tcp};
use super::*;

fn run(line: &str) -> String {
    let mut words = line.split_whitespace();
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A namespace with an interface in the one the test runs in, which is the router of all.
fn host((name, address, range): (&str, &str, &str), bridge: &str, gateway: &str) {
    let [pods, pods6] = range.split(',').collect::<Vec<_>>()[..] else { panic!("{range}") };
    let (pods, pods6) = (pods.replace("0/24", "1/32"), pods6.replace("::/64", "::1/128"));
    for line in [
        format!("ip netns add {name}"),
        format!("ip link add {name} type veth peer name eth0 netns {name}"),
        format!("ip link set {name} master {bridge} up"),
        format!("ip -n {name} link set lo up"),
        format!("ip -n {name} addr add {address}/24 dev eth0"),
        format!("ip -n {name} link set eth0 up"),
        format!("ip -n {name} route add default via {gateway}"),
        format!("ip -n {name} addr add {pods} dev lo"),
        format!("ip -n {name} addr add {pods6} dev lo"),
        format!("ip netns exec {name} sysctl -qw net.ipv4.ip_forward=1"),
    ] {
        run(&line);
    }
}

fn network() {
    for (bridge, gateway) in [("near", "10.1.1.1/24"), ("far", "10.1.2.1/24")] {
        run(&format!("ip link add {bridge} type bridge"));
        run(&format!("ip addr add {gateway} dev {bridge}"));
        run(&format!("ip link set {bridge} up"));
    }
    run("sysctl -qw net.ipv4.ip_forward=1");
    // Pods are the addresses of an interface here: who has them is not what is tested.
    let [a, b, c] = NODES;
    host(a, "near", "10.1.1.1");
    host(b, "near", "10.1.1.1");
    host(c, "far", "10.1.2.1");
    run("ip -n host-a addr add fd09::2/64 dev eth0 nodad");
    run("ip -n host-b addr add fd09::3/64 dev eth0 nodad");
}

const NODES: [(&str, &str, &str); 3] = [
    ("host-a", "10.1.1.2", "10.244.0.0/24,fd00:244:0:0::/64"),
    ("host-b", "10.1.1.3", "10.244.1.0/24,fd00:244:0:1::/64"),
    ("host-c", "10.1.2.2", "10.244.2.0/24,fd00:244:0:2::/64"),
];

/// The IPv6 addresses of two of them.
fn address6(name: &str) -> Option<Ipv6Addr> {
    let known = [("host-a", "fd09::2"), ("host-b", "fd09::3")];
    known.iter().find(|(node, _)| *node == name).map(|(_, ip)| ip.parse().unwrap())
}

/// A node at this address with these ranges, the first of which is of IPv4.
fn at(address: &str, address6: Option<Ipv6Addr>, ranges: &str) -> Peers {
    let ranges: Ranges = ranges.parse().unwrap();
    let peer = Peer {
        address: address.parse().unwrap(),
        address6,
        end: end_of(&ranges.iter().collect::<Vec<_>>()).unwrap(),
    };
    ranges.iter().map(|range| (range, peer)).collect()
}

fn peers(of: &str) -> Peers {
    let others = NODES.iter().filter(|(name, ..)| *name != of);
    others.flat_map(|(name, address, ranges)| at(address, address6(name), ranges)).collect()
}

/// Makes the routes of a node those to these peers, as an agent that starts does; whether one was refused.
fn sync_as(name: &'static str, peers: Peers) -> bool {
    let (_, address, range) = NODES.into_iter().find(|(node, ..)| *node == name).unwrap();
    sync_own(
        Own { name: name.to_owned(), address: address.parse().unwrap(), pods: range.parse().unwrap() },
        peers,
    )
}

fn sync_own(own: Own, peers: Peers) -> bool {
    let name = own.name.clone();
    inside(Some(&Path::new("/run/netns").join(name)), move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut routes = Routes::open(own).unwrap();
            routes.sync(peers).await;
            routes.stale
        })
    })
}

fn sync(name: &'static str, peers: Peers) {
    assert!(!sync_as(name, peers), "a route was refused");
}

fn routes(name: &str) -> String {
    run(&format!("ip -n {name} route show proto 87"))
}

fn routes6(name: &str) -> String {
    run(&format!("ip -n {name} -6 route show proto 87"))
}

#[test]
fn pods_of_other_nodes_are_reached_over_the_link_or_through_a_tunnel() {
    isolated(|| async {
        network();
        for (name, ..) in NODES {
            sync(name, peers(name));
            // A second time changes nothing.
            let before = (routes(name), routes6(name));
            sync(name, peers(name));
            assert_eq!((routes(name), routes6(name)), before);
            serve_tcp(Some(&Path::new("/run/netns").join(name)), "[::]:80", "pod");
        }
        assert!(routes("host-a").contains("10.244.1.0/24 via 10.1.1.3 dev eth0"), "{}", routes("host-a"));
        assert!(
            routes("host-a").contains("10.244.2.0/24 via 10.244.2.0 dev wherry-vxlan"),
            "{}",
            routes("host-a")
        );
        let six = routes6("host-a");
        assert!(six.contains("fd00:244:0:1::/64 via fd09::3 dev eth0"), "{six}");
        assert!(six.contains("fd00:244:0:2::/64 via fe80::858:aff:fef4:200 dev wherry-vxlan"), "{six}");
        assert!(run("ip -n host-a link show wherry-vxlan").contains("mtu 1450"));
        for (from, ..) in NODES {
            for (to, _, range) in NODES {
                let (pod, pod6) = range.split_once(',').unwrap();
                let pods = [pod.replace("0/24", "1"), format!("[{}]", pod6.replace("::/64", "::1"))];
                for pod in pods {
                    let answer = ask_tcp(Some(&Path::new("/run/netns").join(from)), &format!("{pod}:80"));
                    assert!(answer.is_ok_and(|text| text.starts_with("pod ")), "{from} to {to} at {pod}");
                }
            }
        }
    });
}

#[test]
fn routes_to_nodes_that_left_are_removed_and_those_of_others_stay() {
    isolated(|| async {
        network();
        run("ip -n host-a route add 10.9.0.0/16 via 10.1.1.1 proto static");
        sync("host-a", peers("host-a"));
        sync("host-a", at("10.1.2.2", None, "10.244.1.0/24,fd00:244:0:1::/64"));
        let left = routes("host-a");
        assert!(left.contains("10.244.1.0/24 via 10.244.1.0 dev wherry-vxlan"), "{left}");
        assert_eq!(left.lines().count(), 1, "{left}");
        let left = routes6("host-a");
        assert!(left.contains("fd00:244:0:1::/64 via fe80::858:aff:fef4:100 dev wherry-vxlan"), "{left}");
        assert_eq!(left.lines().count(), 1, "{left}");
        assert!(run("ip -n host-a route").contains("10.9.0.0/16 via 10.1.1.1"));
    });
}

#[test]
fn a_node_that_cannot_be_reached_keeps_no_other_from_being() {
    isolated(|| async {
        network();
        run("ip -n host-a route add unreachable 10.0.0.0/24");
        let all = [("10.244.0.128/25", "10.0.0.1"), ("10.244.1.0/24", "10.1.1.3")];
        let peers: Peers = all.iter().flat_map(|(range, node)| at(node, None, range)).collect();
        let is_stale = sync_as("host-a", peers);
        assert!(is_stale, "it is to be tried again");
        assert!(routes("host-a").contains("10.244.1.0/24 via 10.1.1.3"), "{}", routes("host-a"));
    });
}

fn node(name: &str, address: Option<&str>, ranges: &[&str]) -> Node {
    let addresses = address
        .map(|address| vec![NodeAddress { type_: "InternalIP".to_owned(), address: address.to_owned() }]);
    Node {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        spec: Some(NodeSpec {
            pod_cidrs: Some(ranges.iter().map(|range| (*range).to_owned()).collect()),
            ..NodeSpec::default()
        }),
        status: Some(NodeStatus { addresses, ..NodeStatus::default() }),
    }
}

#[test]
fn peers_are_the_other_nodes_that_have_an_address_and_a_range() {
    let mut known = Known::by(IpFamily::V4);
    known.record(Event::Init);
    for listed in [
        node("own", Some("10.1.1.2"), &["10.244.0.0/24"]),
        node("b", Some("10.1.1.3"), &["fd00::/64", "10.244.1.0/24"]),
        node("six", Some("fd09::3"), &["fd00:0:0:1::/64"]),
        node("new", None, &["10.244.3.0/24"]),
        node("broken", Some("nowhere"), &["10.244.4.0/24", "x"]),
    ] {
        known.record(Event::InitApply(listed));
    }
    assert!(!known.complete);
    known.record(Event::InitDone);
    assert_eq!(known.peers("own"), at("10.1.1.3", None, "10.244.1.0/24,fd00::/64"));
    known.record(Event::Apply(node("new", Some("10.1.1.4"), &["10.244.3.0/24"])));
    known.record(Event::Delete(node("b", None, &[])));
    assert_eq!(known.peers("own"), at("10.1.1.4", None, "10.244.3.0/24"));
}

#[test]
fn nodes_of_ipv6_alone_are_found_by_it() {
    let mut known = Known::by(IpFamily::V6);
    known.record(Event::Init);
    known.record(Event::InitApply(node("four", Some("10.1.1.3"), &["10.244.1.0/24"])));
    known.record(Event::InitApply(node("six", Some("fd09::3"), &["fd00:244:0:1::/64"])));
    known.record(Event::InitDone);
    let found = known.peers("own");
    assert_eq!(found, at("fd09::3", None, "fd00:244:0:1::/64"));
    let end = |range: &str| end_of(&[range.parse().unwrap()]).unwrap();
    assert_eq!(end("fd00:244:0:1::/64"), [0x0a, 0x58, 0, 0, 0, 1]);
    assert_eq!(end("fd00:244::7:0/112"), [0x0a, 0x58, 0, 0, 0, 7]);
    let ends: BTreeSet<_> = (0..256).map(|at| end(&format!("fd00:244:0:{at:x}::/64"))).collect();
    assert_eq!(ends.len(), 256);
}

const SIX_NODES: [(&str, &str, &str); 3] = [
    ("host-a", "fd09:1::2", "fd00:244:0:0::/64"),
    ("host-b", "fd09:1::3", "fd00:244:0:1::/64"),
    ("host-c", "fd09:2::2", "fd00:244:0:2::/64"),
];

/// The same machines without addresses of IPv4.
fn network_of_six() {
    for (bridge, gateway) in [("near", "fd09:1::1/64"), ("far", "fd09:2::1/64")] {
        run(&format!("ip link add {bridge} type bridge"));
        run(&format!("ip addr add {gateway} dev {bridge} nodad"));
        run(&format!("ip link set {bridge} up"));
    }
    run("sysctl -qw net.ipv6.conf.all.forwarding=1");
    for (name, address, range) in SIX_NODES {
        let (bridge, pod) =
            (if name == "host-c" { "far" } else { "near" }, range.replace("::/64", "::1/128"));
        let gateway = address.replace("::2", "::1").replace("::3", "::1");
        for line in [
            format!("ip netns add {name}"),
            format!("ip link add {name} type veth peer name eth0 netns {name}"),
            format!("ip link set {name} master {bridge} up"),
            format!("ip -n {name} link set lo up"),
            format!("ip -n {name} addr add {address}/64 dev eth0 nodad"),
            format!("ip -n {name} link set eth0 up"),
            format!("ip -n {name} -6 route add default via {gateway}"),
            format!("ip -n {name} addr add {pod} dev lo"),
            format!("ip netns exec {name} sysctl -qw net.ipv6.conf.all.forwarding=1"),
        ] {
            run(&line);
        }
    }
}

#[test]
fn nodes_without_ipv4_reach_each_other_over_the_link_or_through_a_tunnel() {
    isolated(|| async {
        network_of_six();
        for (name, address, range) in SIX_NODES {
            let others = SIX_NODES.iter().filter(|(other, ..)| *other != name);
            let peers: Peers = others.flat_map(|(_, address, range)| at(address, None, range)).collect();
            let own = Own {
                name: name.to_owned(),
                address: address.parse().unwrap(),
                pods: range.parse().unwrap(),
            };
            for _ in 0..2 {
                assert!(!sync_own(own.clone(), peers.clone()), "a route of {name} was refused");
            }
            serve_tcp(Some(&Path::new("/run/netns").join(name)), "[::]:80", "pod");
        }
        let six = routes6("host-a");
        assert!(six.contains("fd00:244:0:1::/64 via fd09:1::3 dev eth0"), "{six}");
        assert!(six.contains("fd00:244:0:2::/64 via fe80::858:ff:fe00:2 dev wherry-vxlan"), "{six}");
        assert!(run("ip -n host-a link show wherry-vxlan").contains("mtu 1430"));
        for (from, ..) in SIX_NODES {
            for (to, _, range) in SIX_NODES {
                let pod = range.replace("::/64", "::1");
                let answer = ask_tcp(Some(&Path::new("/run/netns").join(from)), &format!("[{pod}]:80"));
                assert!(answer.is_ok_and(|text| text.starts_with("pod ")), "{from} to {to} at {pod}");
            }
        }
    });
}
