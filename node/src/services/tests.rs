//! The kernel's data plane with real packets: a bridge network and Services in a namespace made by the test.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use rstest::rstest;
use tempfile::TempDir;
use wherry_api::ranges::IpFamily;

use super::dataplane::Dataplane;
use super::model::{ObjectKey, Scope};
use super::plan::ServicePort;
use super::*;
use crate::network::testing::{
    ask_tcp, ask_udp, bridge_config, inside, isolated, serve_tcp, serve_udp, udp_client,
};
use crate::network::{self, NetworkConfig, PodNetwork, Protocol};

const NODE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const CLUSTER_IP: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 96, 0, 10));

/// A node: a network interface with [`NODE`], a Pod network and a data plane.
pub(super) struct Node {
    pub(super) network: Arc<dyn PodNetwork>,
    pub(super) dataplane: Dataplane,
    _data: TempDir,
}

pub(super) fn run(line: &str) -> String {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

impl Node {
    pub(super) async fn start() -> Self {
        Self::start_with(bridge_config, config()).await
    }

    pub(super) async fn start_with(network: fn(&Path) -> NetworkConfig, config: ServicesConfig) -> Self {
        run("ip link add uplink type bridge");
        run("ip addr add 192.0.2.1/24 dev uplink");
        run("ip addr add 2001:db8::1/64 dev uplink nodad");
        run("ip link set uplink up");
        let data = tempfile::tempdir().unwrap();
        let network = network::open(&network(data.path())).await.unwrap();
        let dataplane = Dataplane::open(&config).await.unwrap();
        Self { network, dataplane, _data: data }
    }

    /// A Pod with a network namespace that serves on port 8080.
    async fn oci_pod(&self, name: &'static str) -> (SocketAddr, PathBuf) {
        let pod = self.network.attach(name, true).await.unwrap();
        serve_tcp(pod.netns.as_ref(), "0.0.0.0:8080", name);
        (backend(&pod.ip.to_string()), pod.netns.unwrap())
    }

    /// A Pod without one that serves on port 8080 of its address.
    async fn wasm_pod(&self, name: &'static str) -> SocketAddr {
        let pod = self.network.attach(name, false).await.unwrap();
        serve_tcp(None, &format!("{}:8080", pod.ip), name);
        backend(&pod.ip.to_string())
    }

    pub(super) async fn apply(&mut self, ports: Vec<ServicePort>) {
        self.dataplane.apply([(key("web"), ports)].into()).await;
        assert!(!self.dataplane.wants_retry());
    }
}

pub(super) fn config() -> ServicesConfig {
    ServicesConfig {
        mode: NetworkMode::Bridge,
        node_name: "node-1".to_owned(),
        pod_cidr: "10.244.3.0/24".parse().unwrap(),
        cluster_cidr: "10.244.0.0/16".parse().unwrap(),
        service_cidr: "10.96.0.0/16".parse().unwrap(),
        dns: Vec::new(),
        node_port_address: NODE,
    }
}

pub(super) fn key(name: &str) -> ObjectKey {
    ObjectKey { namespace: "default".to_owned(), name: name.to_owned() }
}

pub(super) fn backend(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), 8080)
}

/// Port 80 of [`CLUSTER_IP`] and NodePort 30080, with these endpoints, all on this node.
pub(super) fn web(backends: &[SocketAddr]) -> ServicePort {
    ServicePort {
        family: IpFamily::V4,
        name: "http".to_owned(),
        protocol: Protocol::Tcp,
        cluster_ips: vec![CLUSTER_IP],
        external_ips: Vec::new(),
        balancer_ips: Vec::new(),
        sources: None,
        port: 80,
        node_port: Some(30080),
        affinity: None,
        internal: Scope::Cluster,
        external: Scope::Cluster,
        cluster: backends.to_vec(),
        local: backends.to_vec(),
    }
}

/// The names of the servers that answered 24 connections.
pub(super) fn answering(netns: Option<&PathBuf>, address: &str) -> Vec<String> {
    let answers = (0..24).map(|_| ask_tcp(netns, address).unwrap());
    let mut names: Vec<String> = answers.map(|text| text.split(' ').next().unwrap().to_owned()).collect();
    names.sort();
    names.dedup();
    names
}

#[rstest]
fn a_service_is_reached_from_everywhere(#[values(true, false)] bridged_packets_filtered: bool) {
    isolated(move || async move {
        if !bridged_packets_filtered {
            std::fs::write("/proc/sys/net/bridge/bridge-nf-call-iptables", "0").unwrap();
        }
        let mut node = Node::start().await;
        let (oci, netns) = node.oci_pod("oci").await;
        let wasm = node.wasm_pod("wasm").await;
        let (_, other) = node.oci_pod("other").await;
        node.apply(vec![web(&[oci, wasm])]).await;
        for from in [None, Some(&other), Some(&netns)] {
            for to in ["10.96.0.10:80", "192.0.2.1:30080", "10.244.3.1:30080"] {
                assert_eq!(answering(from, to), ["oci", "wasm"], "{from:?} {to}");
            }
        }
        assert_eq!(answering(None, "127.0.0.1:30080"), ["oci", "wasm"]);
    });
}

#[test]
fn a_pod_reaches_itself_through_its_service_and_others_see_its_address() {
    isolated(|| async {
        let mut node = Node::start().await;
        let (a, netns_a) = node.oci_pod("a").await;
        let (_, netns_b) = node.oci_pod("b").await;
        node.apply(vec![web(&[a])]).await;
        assert_eq!(ask_tcp(Some(&netns_a), "10.96.0.10:80").unwrap(), "a 10.244.3.1");
        assert_eq!(ask_tcp(Some(&netns_b), "10.96.0.10:80").unwrap(), "a 10.244.3.3");
        assert_eq!(ask_tcp(None, "10.96.0.10:80").unwrap(), "a 10.244.3.1");
        // A second Service has the same endpoint: the set of such endpoints is shared.
        let mut second = web(&[a]);
        (second.cluster_ips, second.node_port) = (vec![IpAddr::from([10, 96, 0, 11])], None);
        node.dataplane.apply([(key("second"), vec![second])].into()).await;
        node.apply(Vec::new()).await;
        assert_eq!(ask_tcp(Some(&netns_a), "10.96.0.11:80").unwrap(), "a 10.244.3.1");
    });
}

#[test]
fn without_endpoints_connections_are_refused_at_once() {
    isolated(|| async {
        let mut node = Node::start().await;
        let (oci, netns) = node.oci_pod("oci").await;
        let refused = |from: Option<&PathBuf>, to: &str| {
            let error = ask_tcp(from, to).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{from:?} {to}");
        };
        node.apply(vec![web(&[])]).await;
        for from in [None, Some(&netns)] {
            refused(from, "10.96.0.10:80");
            refused(from, "192.0.2.1:30080");
            refused(from, "10.96.7.7:80");
        }
        node.apply(vec![web(&[oci])]).await;
        assert_eq!(answering(Some(&netns), "10.96.0.10:80"), ["oci"]);
        node.apply(Vec::new()).await;
        refused(Some(&netns), "10.96.0.10:80");
        refused(None, "10.96.0.10:80");
    });
}

#[test]
fn established_connections_keep_their_endpoint_when_it_leaves() {
    isolated(|| async {
        use std::io::{Read, Write};
        let mut node = Node::start().await;
        let (old, netns) = node.oci_pod("old").await;
        let (new, client) = node.oci_pod("new").await;
        let listener = inside(Some(&netns), || std::net::TcpListener::bind("0.0.0.0:9000").unwrap());
        let mut port = web(&[SocketAddr::new(old.ip(), 9000)]);
        node.apply(vec![port.clone()]).await;
        let mut stream = inside(Some(&client), || std::net::TcpStream::connect("10.96.0.10:80").unwrap());
        let (mut served, _) = listener.accept().unwrap();

        port.cluster = vec![new];
        port.local = vec![new];
        node.apply(vec![port]).await;
        assert_eq!(answering(Some(&client), "10.96.0.10:80"), ["new"]);
        stream.write_all(b"still there?").unwrap();
        let mut buffer = [0; 12];
        served.read_exact(&mut buffer).unwrap();
        served.write_all(b"yes").unwrap();
        stream.read_exact(&mut buffer[..3]).unwrap();
        assert_eq!(&buffer[..3], b"yes");
    });
}

#[test]
fn a_client_stays_with_its_endpoint_until_that_leaves() {
    isolated(|| async {
        let mut node = Node::start().await;
        let (a, _) = node.oci_pod("a").await;
        let (b, _) = node.oci_pod("b").await;
        let (_, client) = node.oci_pod("client").await;
        let sticky = |backends: &[SocketAddr]| vec![ServicePort { affinity: Some(10_800), ..web(backends) }];
        node.apply(sticky(&[a, b])).await;
        let first = answering(Some(&client), "10.96.0.10:80");
        assert_eq!(first.len(), 1);
        let (gone, left) = if first == ["a"] { (a, b) } else { (b, a) };
        assert_eq!(answering(Some(&client), "192.0.2.1:30080"), first);
        node.apply(sticky(&[left])).await;
        let second = answering(Some(&client), "10.96.0.10:80");
        assert_ne!(second, first);
        node.apply(sticky(&[left, gone])).await;
        assert_eq!(answering(Some(&client), "10.96.0.10:80"), second);
        node.apply(Vec::new()).await;
        let rules = run("nft list table ip wherry_services");
        assert!(!rules.contains("aff_") && !rules.contains("ep_"), "{rules}");
    });
}

/// A machine at 198.51.100.2 that is not of the cluster, and whose packets to it come to this node.
fn outside() -> PathBuf {
    run("ip netns add outside");
    run("ip link add outside type veth peer name eth0 netns outside");
    run("ip addr add 198.51.100.1/24 dev outside");
    run("ip link set outside up");
    run("ip -n outside addr add 198.51.100.2/24 dev eth0");
    run("ip -n outside link set eth0 up");
    run("ip -n outside route add default via 198.51.100.1");
    PathBuf::from("/run/netns/outside")
}

#[test]
fn local_policies_use_endpoints_of_this_node_only() {
    isolated(|| async {
        let mut node = Node::start().await;
        let outside = outside();
        let (here, netns) = node.oci_pod("here").await;
        let (there, _) = node.oci_pod("there").await;
        let mut port = web(&[here, there]);
        port.local = vec![here];
        port.external = Scope::Local;
        node.apply(vec![port.clone()]).await;
        assert_eq!(ask_tcp(Some(&outside), "192.0.2.1:30080").unwrap(), "here 198.51.100.2");
        assert_eq!(answering(Some(&outside), "192.0.2.1:30080"), ["here"]);
        assert_eq!(answering(Some(&netns), "192.0.2.1:30080"), ["here", "there"]);
        assert_eq!(answering(None, "192.0.2.1:30080"), ["here", "there"]);
        assert_eq!(answering(None, "10.96.0.10:80"), ["here", "there"]);

        port.internal = Scope::Local;
        node.apply(vec![port]).await;
        assert_eq!(answering(None, "10.96.0.10:80"), ["here"]);
    });
}

/// A Service with an address of nobody and those of two load balancers: this node's and another's.
fn exposed(backends: &[SocketAddr]) -> ServicePort {
    ServicePort {
        node_port: None,
        external_ips: vec![IpAddr::from([203, 0, 113, 7])],
        balancer_ips: vec![NODE, IpAddr::from([203, 0, 113, 8])],
        ..web(backends)
    }
}

#[test]
fn addresses_of_the_outside_lead_to_the_service() {
    isolated(|| async {
        let mut node = Node::start().await;
        let outside = outside();
        run("ip route add default via 192.0.2.254 dev uplink");
        let (here, netns) = node.oci_pod("here").await;
        let wasm = node.wasm_pod("wasm").await;
        node.apply(vec![exposed(&[here, wasm])]).await;
        for from in [None, Some(&outside), Some(&netns)] {
            for to in ["203.0.113.7:80", "203.0.113.8:80", "192.0.2.1:80"] {
                assert_eq!(answering(from, to), ["here", "wasm"], "{from:?} {to}");
            }
        }
        // The node's other addresses and ports stay what they are.
        ask_tcp(None, "127.0.0.1:80").unwrap_err();
        ask_tcp(Some(&outside), "192.0.2.1:81").unwrap_err();

        let local = ServicePort { external: Scope::Local, local: vec![here], ..exposed(&[here, wasm]) };
        node.apply(vec![local]).await;
        assert_eq!(answering(Some(&outside), "192.0.2.1:80"), ["here"]);
        assert_eq!(ask_tcp(Some(&outside), "203.0.113.7:80").unwrap(), "here 198.51.100.2");
        assert_eq!(answering(Some(&netns), "203.0.113.8:80"), ["here", "wasm"]);

        node.apply(Vec::new()).await;
        ask_tcp(Some(&outside), "192.0.2.1:80").unwrap_err();
    });
}

#[test]
fn a_load_balancer_lets_in_whom_it_may() {
    isolated(|| async {
        let mut node = Node::start().await;
        let outside = outside();
        let (here, netns) = node.oci_pod("here").await;
        let only =
            |range: &str| ServicePort { sources: Some(vec![range.parse().unwrap()]), ..exposed(&[here]) };
        let dropped = |from: &PathBuf| {
            let connect = || {
                let address = "192.0.2.1:80".parse().unwrap();
                std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)).unwrap_err().kind()
            };
            assert_eq!(inside(Some(from), connect), std::io::ErrorKind::TimedOut);
        };
        node.apply(vec![only("10.244.0.0/16")]).await;
        dropped(&outside);
        assert_eq!(answering(Some(&netns), "192.0.2.1:80"), ["here"]);
        // The other addresses are not the load balancer's.
        assert_eq!(answering(Some(&outside), "203.0.113.7:80"), ["here"]);
        node.apply(vec![only("198.51.100.0/24")]).await;
        dropped(&netns);
        assert_eq!(answering(Some(&outside), "192.0.2.1:80"), ["here"]);
        node.apply(vec![ServicePort { sources: Some(Vec::new()), ..exposed(&[here]) }]).await;
        dropped(&outside);
    });
}

#[test]
fn udp_flows_move_when_their_endpoint_leaves() {
    isolated(|| async {
        let mut node = Node::start().await;
        let (a, netns_a) = node.oci_pod("a").await;
        let (b, netns_b) = node.oci_pod("b").await;
        let (_, client) = node.oci_pod("client").await;
        serve_udp(Some(&netns_a), "0.0.0.0:8080", "a");
        serve_udp(Some(&netns_b), "0.0.0.0:8080", "b");
        let dns = |backends: &[SocketAddr]| {
            vec![ServicePort { protocol: Protocol::Udp, port: 53, ..web(backends) }]
        };
        let patience = Duration::from_secs(5);
        node.apply(dns(&[])).await;
        let by_service = udp_client(Some(&client), "10.96.0.10:53");
        ask_udp(&by_service, Duration::from_millis(50)).unwrap_err();
        node.apply(dns(&[a])).await;
        let by_node = udp_client(Some(&client), "192.0.2.1:30080");
        assert_eq!(ask_udp(&by_service, patience).unwrap(), "a");
        assert_eq!(ask_udp(&by_node, patience).unwrap(), "a");
        node.apply(dns(&[b])).await;
        assert_eq!(ask_udp(&by_service, patience).unwrap(), "b");
        assert_eq!(ask_udp(&by_node, patience).unwrap(), "b");
    });
}

#[test]
fn a_node_port_does_not_shadow_a_wasm_pods_own_port() {
    isolated(|| async {
        let mut node = Node::start().await;
        let (oci, netns) = node.oci_pod("oci").await;
        let wasm = node.wasm_pod("wasm").await;
        let own = format!("{}:30080", wasm.ip());
        serve_tcp(None, &own, "own");
        node.apply(vec![web(&[oci])]).await;
        assert_eq!(answering(Some(&netns), &own), ["own"]);
        assert_eq!(answering(None, &own), ["own"]);
    });
}

#[test]
fn refused_rules_are_replaced_as_a_whole_by_the_next_attempt() {
    isolated(|| async {
        let mut node = Node::start().await;
        let (oci, _) = node.oci_pod("oci").await;
        node.apply(vec![web(&[oci])]).await;
        // Somebody else deletes what the next change refers to.
        run("nft flush ruleset");
        node.dataplane.apply([(key("web"), vec![web(&[oci, oci])])].into()).await;
        assert!(node.dataplane.wants_retry());
        node.dataplane.apply([].into()).await;
        assert!(!node.dataplane.wants_retry());
        assert_eq!(answering(None, "10.96.0.10:80"), ["oci"]);
    });
}

/// Some state of a Service: which endpoints, with which policies.
fn any_ports() -> impl Strategy<Value = Vec<ServicePort>> {
    let endpoints = prop::collection::btree_set(2u8..6, 0..4);
    let policies = (any::<bool>(), any::<bool>(), prop::option::of(60u32..62), any::<bool>());
    let outside = (any::<bool>(), any::<bool>(), prop::option::of(prop::bool::ANY));
    prop::option::of((endpoints.clone(), endpoints, policies, outside)).prop_map(|state| {
        let Some((here, there, policies, outside)) = state else { return Vec::new() };
        let ((internal, external, affinity, node_port), (named, balanced, sources)) = (policies, outside);
        let scope = |local| if local { Scope::Local } else { Scope::Cluster };
        let local: Vec<_> = here.iter().map(|at| backend(&format!("10.244.3.{at}"))).collect();
        let remote = there.iter().map(|at| backend(&format!("10.244.4.{at}")));
        let cluster = local.iter().copied().chain(remote).collect();
        let (internal, external) = (scope(internal), scope(external));
        let node_port = node_port.then_some(30080);
        let ips =
            |has: bool, number| if has { vec![IpAddr::from([203, 0, 113, number])] } else { Vec::new() };
        let (external_ips, balancer_ips) = (ips(named, 7), ips(balanced, 8));
        let range = |some: bool| if some { vec!["192.0.2.0/24".parse().unwrap()] } else { Vec::new() };
        let sources = sources.map(range);
        let policies = ServicePort { node_port, affinity, internal, external, ..web(&[]) };
        vec![ServicePort { external_ips, balancer_ips, sources, cluster, local, ..policies }]
    })
}

/// Two Services through any changes; what differs between them are the addresses.
fn batch(
    web: Option<Vec<ServicePort>>,
    other: Option<Vec<ServicePort>>,
) -> BTreeMap<ObjectKey, Vec<ServicePort>> {
    let elsewhere = |port: ServicePort| ServicePort {
        cluster_ips: vec![IpAddr::from([10, 96, 0, 11])],
        external_ips: port.external_ips.iter().map(|_| IpAddr::from([203, 0, 113, 9])).collect(),
        balancer_ips: port.balancer_ips.iter().map(|_| IpAddr::from([203, 0, 113, 10])).collect(),
        node_port: port.node_port.map(|port| port + 1),
        ..port
    };
    let other = other.map(|ports| ports.into_iter().map(elsewhere).collect());
    [("web", web), ("other", other)]
        .into_iter()
        .filter_map(|(name, ports)| Some((key(name), ports?)))
        .collect()
}

/// The rules in the kernel, whatever order they were made in.
fn rules() -> Vec<String> {
    let mut lines: Vec<String> =
        run("nft list table ip wherry_services").lines().map(|line| line.trim().to_owned()).collect();
    lines.sort();
    lines
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6, failure_persistence: None, ..ProptestConfig::default() })]

    /// Step by step or at once: the kernel ends with the same rules.
    #[test]
    fn changes_add_up(steps in prop::collection::vec((prop::option::of(any_ports()), prop::option::of(any_ports())), 1..10)) {
        isolated(move || async move {
            let mut node = Node::start().await;
            let mut last = BTreeMap::new();
            for (web, other) in steps {
                let changes = batch(web, other);
                last.extend(changes.clone());
                node.dataplane.apply(changes).await;
                assert!(!node.dataplane.wants_retry());
            }
            let by_steps = rules();
            let mut at_once = Dataplane::open(&config()).await.unwrap();
            at_once.apply(last).await;
            assert!(!at_once.wants_retry());
            assert_eq!(by_steps, rules());
        });
    }
}
