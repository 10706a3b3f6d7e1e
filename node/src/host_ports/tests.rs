//! What a Pod asks for, as a table; both planes with real connections.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rstest::rstest;
use serde_json::{Value, json};

use super::*;
use crate::network::testing::{
    ask_tcp, ask_udp, bridge_config, dual_stack_config, isolated, serve_tcp, serve_udp, udp_client,
};
use crate::network::{self, PodNetwork};

const NODE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

fn node_ips() -> Vec<IpAddr> {
    vec![NODE.into(), "2001:db8::1".parse().unwrap()]
}

const AWHILE: Duration = Duration::from_millis(300);

fn pod(spec: Value) -> Pod {
    serde_json::from_value(json!({ "spec": spec })).unwrap()
}

fn ports(list: Value) -> Vec<HostPort> {
    HostPort::of(&pod(json!({ "containers": [{ "name": "main", "ports": list }] }))).unwrap()
}

#[test]
fn containers_and_sidecars_ask_for_ports() {
    let port = |number: u16| json!([{ "containerPort": 80, "hostPort": number }, { "containerPort": 81 }]);
    let spec = json!({
        "containers": [{ "name": "main", "ports": port(8080) }],
        "initContainers": [
            { "name": "init", "ports": port(8081) },
            { "name": "sidecar", "restartPolicy": "Always", "ports": port(8082) },
        ],
    });
    let numbers =
        |spec| -> Vec<u16> { HostPort::of(&pod(spec)).unwrap().iter().map(|port| port.number).collect() };
    assert_eq!(numbers(spec.clone()), [8080, 8082]);
    let mut on_node = spec;
    on_node["hostNetwork"] = json!(true);
    assert!(numbers(on_node).is_empty());
}

#[rstest]
#[case(json!({ "hostIP": "node" }), "hostPort 80: hostIP \"node\" is no IP address; name one of the node, or none")]
#[case(json!({ "protocol": "SCTP" }), "hostPort 80: protocol SCTP is not supported, only TCP and UDP are")]
fn what_cannot_be_had_is_told(#[case] more: Value, #[case] expected: &str) {
    let mut port = json!({ "containerPort": 80, "hostPort": 80 });
    port.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let asked = pod(json!({ "containers": [{ "name": "main", "ports": [port] }] }));
    assert_eq!(HostPort::of(&asked).unwrap_err().to_string(), expected);
}

fn run(line: &str) {
    let mut words = line.split(' ');
    let output = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A node with an interface, a Pod network and host ports.
struct Node {
    network: std::sync::Arc<dyn PodNetwork>,
    ports: HostPorts,
    config: NetworkConfig,
    _data: tempfile::TempDir,
}

impl Node {
    async fn start() -> Self {
        Self::start_with(bridge_config).await
    }

    async fn start_with(config: fn(&std::path::Path) -> NetworkConfig) -> Self {
        run("ip link set lo up");
        run("ip link add uplink type bridge");
        run("ip addr add 192.0.2.1/24 dev uplink");
        run("ip addr add 2001:db8::1/64 dev uplink nodad");
        run("ip link set uplink up");
        let data = tempfile::tempdir().unwrap();
        let config = config(data.path());
        let network = network::open(&config).await.unwrap();
        let ports = HostPorts::open(&config, node_ips()).await.unwrap();
        Self { network, ports, config, _data: data }
    }

    /// A Pod that serves TCP and UDP at port 8080.
    async fn pod(&self, name: &'static str, netns: bool) -> PodAddress {
        let pod = self.network.attach(name, netns).await.unwrap();
        for ip in pod.ips() {
            let address = std::net::SocketAddr::new(ip, 8080).to_string();
            serve_tcp(pod.netns.as_ref(), &address, name);
            serve_udp(pod.netns.as_ref(), &address, name);
        }
        pod
    }
}

/// The name of who answers.
fn who(from: Option<&PathBuf>, address: &str) -> Option<String> {
    ask_tcp(from, address).ok().map(|text| text.split(' ').next().unwrap_or_default().to_owned())
}

#[test]
fn a_port_leads_to_its_pod_from_everywhere_until_the_pod_goes() {
    isolated(|| async {
        let node = Node::start().await;
        let oci = node.pod("oci", true).await;
        let wasm = node.pod("wasm", false).await;
        let other = node.pod("other", true).await;
        let at = |number: u16| ports(json!([{ "containerPort": 8080, "hostPort": number }]));
        node.ports.lead("oci", &oci, at(5000)).await.unwrap();
        node.ports.lead("wasm", &wasm, at(5001)).await.unwrap();
        for from in [None, other.netns.as_ref(), oci.netns.as_ref()] {
            for ip in ["192.0.2.1", "10.244.3.1"] {
                assert_eq!(who(from, &format!("{ip}:5000")).as_deref(), Some("oci"), "{from:?} {ip}");
                assert_eq!(who(from, &format!("{ip}:5001")).as_deref(), Some("wasm"), "{from:?} {ip}");
            }
        }
        assert_eq!(who(None, "127.0.0.1:5000").as_deref(), Some("oci"));
        assert_eq!(who(None, "127.0.0.1:5001").as_deref(), Some("wasm"));
        assert_eq!(who(None, &format!("{}:5000", wasm.ip)), None, "a Pod's address is not the node's");

        node.ports.withdraw("oci").await.unwrap();
        node.ports.withdraw("oci").await.unwrap();
        assert_eq!(who(None, "192.0.2.1:5000"), None);
        assert_eq!(who(None, "192.0.2.1:5001").as_deref(), Some("wasm"));
    });
}

#[test]
fn addresses_and_protocols_of_one_port_lead_to_different_pods() {
    isolated(|| async {
        let node = Node::start().await;
        let asked = [
            ("a", json!([{ "containerPort": 8080, "hostPort": 53, "hostIP": "127.0.0.1" }])),
            ("b", json!([{ "containerPort": 8080, "hostPort": 53, "hostIP": "192.0.2.1" }])),
            (
                "c",
                json!([{ "containerPort": 8080, "hostPort": 53, "hostIP": "192.0.2.1", "protocol": "UDP" }]),
            ),
        ];
        for (name, asked) in asked {
            let pod = node.pod(name, true).await;
            node.ports.lead(name, &pod, ports(asked)).await.unwrap();
        }
        assert_eq!(who(None, "127.0.0.1:53").as_deref(), Some("a"));
        assert_eq!(who(None, "192.0.2.1:53").as_deref(), Some("b"));
        let client = udp_client(None, "192.0.2.1:53");
        assert_eq!(ask_udp(&client, AWHILE).unwrap(), "c");
    });
}

#[test]
fn a_port_leads_to_its_pod_in_both_families() {
    isolated(|| async {
        let node = Node::start_with(dual_stack_config).await;
        let (pod, other) = (node.pod("pod", true).await, node.pod("other", false).await);
        let asked = json!([
            { "containerPort": 8080, "hostPort": 5000 },
            { "containerPort": 8080, "hostPort": 5001, "hostIP": "2001:db8::1" },
            { "containerPort": 8080, "hostPort": 5002, "hostIP": "192.0.2.1" },
        ]);
        node.ports.lead("pod", &pod, ports(asked)).await.unwrap();
        for from in [None, pod.netns.as_ref()] {
            for (front, answer) in [
                ("[2001:db8::1]:5000", Some("pod")),
                ("[fd00:244:0:3::1]:5000", Some("pod")),
                ("192.0.2.1:5000", Some("pod")),
                ("[2001:db8::1]:5001", Some("pod")),
                ("192.0.2.1:5001", None),
                ("[2001:db8::1]:5002", None),
                ("192.0.2.1:5002", Some("pod")),
            ] {
                assert_eq!(who(from, front).as_deref(), answer, "{from:?} {front}");
            }
        }
        let asked = || ports(json!([{ "containerPort": 8080, "hostPort": 53, "protocol": "UDP" }]));
        let client = udp_client(None, "[2001:db8::1]:53");
        let _refused = ask_udp(&client, AWHILE);
        node.ports.lead("other", &other, asked()).await.unwrap();
        assert_eq!(ask_udp(&client, AWHILE).unwrap(), "other");
        node.ports.lead("pod", &pod, asked()).await.unwrap();
        node.ports.withdraw("other").await.unwrap();
        assert_eq!(ask_udp(&client, AWHILE).unwrap(), "pod");
    });
}

#[test]
fn a_port_at_an_address_of_a_family_that_pods_lack_is_refused() {
    isolated(|| async {
        let node = Node::start().await;
        let pod = node.pod("pod", false).await;
        let asked = ports(json!([{ "containerPort": 8080, "hostPort": 5000, "hostIP": "2001:db8::1" }]));
        let refused = node.ports.lead("pod", &pod, asked).await.unwrap_err().to_string();
        assert_eq!(
            refused,
            "hostPort 5000: hostIP 2001:db8::1 leads to no Pod, as Pods of this node have no IPv6 addresses"
        );
    });
}

#[test]
fn a_datagram_follows_the_port_to_the_next_pod() {
    isolated(|| async {
        let node = Node::start().await;
        let asked = || ports(json!([{ "containerPort": 8080, "hostPort": 53, "protocol": "UDP" }]));
        let first = node.pod("first", true).await;
        let second = node.pod("second", true).await;
        let client = udp_client(None, "192.0.2.1:53");
        let _refused = ask_udp(&client, AWHILE);
        node.ports.lead("first", &first, asked()).await.unwrap();
        assert_eq!(ask_udp(&client, AWHILE).unwrap(), "first");
        // The second came before the first was gone, and keeps the port when that goes.
        node.ports.lead("second", &second, asked()).await.unwrap();
        node.ports.withdraw("first").await.unwrap();
        assert_eq!(ask_udp(&client, AWHILE).unwrap(), "second");
    });
}

#[test]
fn an_agent_that_starts_again_puts_the_rules_right() {
    isolated(|| async {
        let node = Node::start().await;
        let pod = node.pod("kept", true).await;
        let asked = || ports(json!([{ "containerPort": 8080, "hostPort": 5000 }]));
        node.ports.lead("kept", &pod, asked()).await.unwrap();
        run("nft flush table ip wherry_host_ports");
        assert_eq!(who(None, "192.0.2.1:5000"), None);
        let ports = HostPorts::open(&node.config, node_ips()).await.unwrap();
        assert_eq!(who(None, "192.0.2.1:5000").as_deref(), Some("kept"));
        ports.lead("kept", &pod, asked()).await.unwrap();
        ports.withdraw("kept").await.unwrap();
        assert_eq!(who(None, "192.0.2.1:5000"), None);
    });
}

#[test]
fn without_privileges_the_agent_listens() {
    isolated(|| async {
        run("ip link set lo up");
        let node = HostPorts::listening(Ipv4Addr::LOCALHOST.into());
        serve_tcp(None, "127.244.0.2:8080", "wasm");
        let pod = PodAddress { ip: [127, 244, 0, 2].into(), ip6: None, netns: None };
        let asked = || {
            ports(json!([
                { "containerPort": 8080, "hostPort": 5000 },
                { "containerPort": 8080, "hostPort": 5000, "hostIP": "127.0.0.2" },
            ]))
        };
        node.lead("wasm", &pod, asked()).await.unwrap();
        node.lead("wasm", &pod, asked()).await.unwrap();
        let ask = |address: &'static str| tokio::task::spawn_blocking(move || who(None, address));
        assert_eq!(ask("127.0.0.1:5000").await.unwrap().as_deref(), Some("wasm"));
        assert_eq!(ask("127.0.0.2:5000").await.unwrap().as_deref(), Some("wasm"));
        let taken = node.lead("other", &pod, asked()).await.unwrap_err();
        assert_eq!(taken.to_string(), "cannot listen at 127.0.0.1:5000 for a hostPort");
        let datagrams = ports(json!([{ "containerPort": 53, "hostPort": 53, "protocol": "UDP" }]));
        let refused = node.lead("names", &pod, datagrams).await.unwrap_err().to_string();
        assert_eq!(refused, "hostPort 53: UDP needs a node started as root with --network bridge");
        node.withdraw("wasm").await.unwrap();
        assert_eq!(ask("127.0.0.1:5000").await.unwrap(), None);
        node.close().await;
    });
}
