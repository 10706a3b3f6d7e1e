//! Policies with real packets: between Pods of three namespaces, with and without network namespaces, and what the objects say
//! of each of them is worked out once more, in the plainest way, and compared.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use kube::runtime::watcher::Event;
use proptest::prelude::*;
use serde_json::{Value, json};
use tokio::net::TcpSocket;
use wherry_api::ranges::IpFamily;

use super::Place;
use super::kernel::Kernel;
use super::model::{Numbers, Peer, Pod, Policy, Rule};
use super::ruleset::{Ruleset, replace, step};
use super::world::World;
use crate::network::nft::Transactions;
use crate::network::testing::{dual_stack_config, inside, isolated, serve_tcp};
use crate::network::{self, Layout, PodNetwork};
use crate::services::ObjectKey;

const NAMESPACES: [&str; 3] = ["red", "green", "blue"];
const KINDS: [&str; 2] = ["oci", "wasm"];
/// The ports that every Pod serves at: one that it names, and another.
const PORTS: [u16; 2] = [8080, 9090];
/// How long a connection may take before it counts as denied.
const PATIENCE: Duration = Duration::from_millis(150);

fn place() -> Place {
    let layout = Layout::of("10.244.3.0/24,fd00:244:0:3::/64".parse().unwrap()).unwrap();
    Place { node: "here".to_owned(), layout }
}

fn namespace(name: &str) -> core::Namespace {
    serde_json::from_value(json!({"metadata": {"name": name, "labels": {"color": name}}})).unwrap()
}

/// A Pod called like its kind, which names its port 8080 `http`.
fn pod(namespace: &str, kind: &str, ips: &[IpAddr]) -> core::Pod {
    let listed: Vec<Value> = ips.iter().map(|ip| json!({"ip": ip.to_string()})).collect();
    let status = ips.first().map(|ip| json!({"phase": "Running", "podIP": ip.to_string(), "podIPs": listed}));
    serde_json::from_value(json!({
        "metadata": {"namespace": namespace, "name": kind, "uid": format!("{namespace}-{kind}"), "labels": {"kind": kind}},
        "spec": {"nodeName": "here", "containers": [
            {"name": "main", "ports": [{"name": "http", "containerPort": 8080}]},
        ]},
        "status": status.unwrap_or_else(|| json!({})),
    }))
    .unwrap()
}

fn policy(namespace: &str, name: &str, spec: &Value) -> NetworkPolicy {
    serde_json::from_value(json!({"metadata": {"namespace": namespace, "name": name}, "spec": spec})).unwrap()
}

/// What the policies say of a connection, in the plainest way.
fn allowed(policies: &[Policy], from: &Pod, to: &Pod, port: u16, family: IpFamily) -> bool {
    let matches = |rule: &Rule, owner: &Policy, peer: &Pod| {
        let of_peers = rule.peers.as_ref().is_none_or(|peers| {
            peers.iter().any(|peer_rule| match peer_rule {
                Peer::Block { range, except } => {
                    let ip = peer.address(family).unwrap();
                    range.contains(&ip) && !except.iter().any(|range| range.contains(&ip))
                }
                Peer::Pods { namespaces, pods } => {
                    let color = BTreeMap::from([("color".to_owned(), peer.namespace.clone())]);
                    let near = namespaces
                        .as_ref()
                        .map_or(peer.namespace == owner.namespace, |namespaces| namespaces.matches(&color));
                    near && pods.matches(&peer.labels)
                }
            })
        });
        let at_port = rule.ports.as_ref().is_none_or(|ports| {
            ports.iter().any(|wanted| {
                wanted.protocol == "tcp"
                    && match &wanted.numbers {
                        Numbers::All => true,
                        Numbers::Range(first, last) => (*first..=*last).contains(&port),
                        Numbers::Named(name) => {
                            to.ports.get(name).is_some_and(|named| named.contains(&("tcp", port)))
                        }
                    }
            })
        });
        of_peers && at_port
    };
    let judged = |pod: &Pod, peer: &Pod, rules: fn(&Policy) -> &Option<Vec<Rule>>| {
        let about: Vec<_> = policies
            .iter()
            .filter(|policy| policy.namespace == pod.namespace && policy.pods.matches(&pod.labels))
            .filter_map(|policy| Some((policy, rules(policy).as_ref()?)))
            .collect();
        about.is_empty()
            || about.iter().any(|(policy, rules)| rules.iter().any(|rule| matches(rule, policy, peer)))
    };
    from.ip == to.ip
        || judged(from, to, |policy| &policy.egress) && judged(to, from, |policy| &policy.ingress)
}

/// Which of the targets can be connected to from a Pod's address.
fn reached(netns: Option<&PathBuf>, source: IpAddr, targets: Vec<SocketAddr>) -> Vec<bool> {
    inside(netns, move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let connect = |target: SocketAddr| async move {
            let socket = if source.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }.unwrap();
            socket.bind((source, 0).into()).unwrap();
            matches!(tokio::time::timeout(PATIENCE, socket.connect(target)).await, Ok(Ok(_)))
        };
        runtime.block_on(futures::future::join_all(targets.into_iter().map(connect)))
    })
}

/// Six Pods, and what keeps their policies.
struct Field {
    world: World,
    kernel: Kernel,
    pods: Vec<(Pod, Option<PathBuf>)>,
    _network: std::sync::Arc<dyn PodNetwork>,
    _data: tempfile::TempDir,
}

impl Field {
    async fn start() -> Self {
        let data = tempfile::tempdir().unwrap();
        let network = network::open(&dual_stack_config(data.path())).await.unwrap();
        let mut world = World::new(place());
        world.record_policy(&Event::Init);
        world.record_policy(&Event::InitDone);
        let mut pods = Vec::new();
        let (mut listed, mut namespaces) = (Vec::new(), Vec::new());
        for name in NAMESPACES {
            namespaces.push(namespace(name));
            for kind in KINDS {
                let address = network.attach(&format!("{name}-{kind}"), kind == "oci").await.unwrap();
                let object = pod(name, kind, &address.ips());
                for (ip, port) in address.ips().iter().flat_map(|ip| PORTS.map(|port| (*ip, port))) {
                    serve_tcp(address.netns.as_ref(), &SocketAddr::new(ip, port).to_string(), "answer");
                }
                pods.push((Pod::parse(&object).unwrap(), address.netns));
                listed.push(object);
            }
        }
        world.record_namespace(&Event::Init);
        for namespace in namespaces {
            world.record_namespace(&Event::InitApply(namespace));
        }
        world.record_namespace(&Event::InitDone);
        world.record_pod(&Event::Init);
        for pod in listed {
            world.record_pod(&Event::InitApply(pod));
        }
        world.record_pod(&Event::InitDone);
        let kernel = Kernel::new(place().layout);
        Self { world, kernel, pods, _network: network, _data: data }
    }

    async fn apply(&mut self) {
        assert!(self.world.complete());
        if let Some(rules) = self.world.take_rules() {
            self.kernel.want(rules);
        }
        self.kernel.apply().await;
        assert!(self.kernel.is_in_sync());
    }

    /// Tries every Pod with every port of every Pod; returns how many are let through of how many.
    fn matches(&self, policies: &[NetworkPolicy]) -> (usize, usize) {
        let policies: Vec<Policy> = policies.iter().filter_map(Policy::parse).collect();
        let (mut open, mut all) = (0, 0);
        let froms =
            self.pods.iter().flat_map(|pod| place().layout.families().map(move |family| (pod, family)));
        for ((from, netns), family) in froms {
            let cells: Vec<(&Pod, u16)> =
                self.pods.iter().flat_map(|(to, _)| PORTS.map(|port| (to, port))).collect();
            let address = |pod: &Pod| pod.address(family).unwrap();
            let targets = cells.iter().map(|(to, port)| SocketAddr::new(address(to), *port)).collect();
            let found = reached(netns.as_ref(), address(from), targets);
            for ((to, port), found) in cells.into_iter().zip(found) {
                let expected = allowed(&policies, from, to, port, family);
                let name = |pod: &Pod| format!("{}/{}", pod.namespace, pod.labels["kind"]);
                assert_eq!(
                    found,
                    expected,
                    "{} to {}:{port} by {family} under {policies:#?}",
                    name(from),
                    name(to)
                );
                open += usize::from(found);
                all += 1;
            }
        }
        (open, all)
    }
}

/// Policies, a few at a time.
fn scenarios() -> Vec<Vec<NetworkPolicy>> {
    let everybody = json!({});
    let kind = |kind: &str| json!({"matchLabels": {"kind": kind}});
    let color = |color: &str| json!({"matchLabels": {"color": color}});
    let both = ["Ingress", "Egress"];
    let deny =
        |name: &str, types: &[&str]| policy(name, "deny", &json!({"podSelector": {}, "policyTypes": types}));
    vec![
        vec![deny("red", &["Ingress"])],
        vec![deny("red", &["Egress"]), deny("green", &["Ingress"])],
        // From Pods of the namespace, and from those of one kind of another.
        vec![policy(
            "red",
            "peers",
            &json!({"podSelector": everybody, "policyTypes": ["Ingress"], "ingress": [
                {"from": [{"podSelector": kind("wasm")}]},
                {"from": [{"namespaceSelector": color("blue"), "podSelector": kind("oci")}]},
            ]}),
        )],
        // Only a port, by number, range and name.
        vec![
            policy(
                "red",
                "number",
                &json!({"podSelector": kind("oci"), "policyTypes": ["Ingress"], "ingress": [
                    {"ports": [{"protocol": "TCP", "port": 9090}]},
                ]}),
            ),
            policy(
                "red",
                "range",
                &json!({"podSelector": kind("wasm"), "policyTypes": ["Ingress"], "ingress": [
                    {"ports": [{"protocol": "TCP", "port": 8000, "endPort": 8999}, {"protocol": "UDP"}]},
                ]}),
            ),
            policy(
                "green",
                "named",
                &json!({"podSelector": everybody, "policyTypes": both,
                "ingress": [{"ports": [{"protocol": "TCP", "port": "http"}]}],
                "egress": [{"to": [{"namespaceSelector": color("blue")}], "ports": [{"protocol": "TCP", "port": "http"}]}]}),
            ),
        ],
        // Addresses: all Pods of network namespaces but one.
        vec![policy(
            "blue",
            "block",
            &json!({"podSelector": everybody, "policyTypes": ["Ingress"], "ingress": [
                {"from": [{"ipBlock": {"cidr": "10.244.3.0/25", "except": ["10.244.3.2/32"]}}]},
            ]}),
        )],
        vec![policy(
            "blue",
            "block",
            &json!({"podSelector": everybody, "policyTypes": ["Ingress"], "ingress": [
                {"from": [{"ipBlock": {"cidr": "fd00:244:0:3::/121", "except": ["fd00:244:0:3::2/128"]}}]},
            ]}),
        )],
        vec![policy(
            "blue",
            "out",
            &json!({"podSelector": kind("wasm"), "policyTypes": ["Egress"], "egress": [
                {"to": [{"ipBlock": {"cidr": "10.244.3.128/25"}}], "ports": [{"protocol": "TCP", "port": 8080}]},
                {"to": [{"namespaceSelector": {"matchExpressions": [
                    {"key": "color", "operator": "NotIn", "values": ["green"]}]}}]},
            ]}),
        )],
        // What several policies let through adds up, and both ends have a say.
        vec![
            deny("green", &both),
            policy(
                "green",
                "more",
                &json!({"podSelector": kind("oci"), "policyTypes": both,
                "ingress": [{"from": [{"namespaceSelector": {}}], "ports": [{"protocol": "TCP", "port": 8080}]}],
                "egress": [{}]}),
            ),
            policy(
                "red",
                "less",
                &json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [
                {"from": [{"namespaceSelector": color("blue")}]}]}),
            ),
        ],
    ]
}

#[test]
fn every_cell_of_the_matrix_is_as_the_policies_say() {
    isolated(|| async {
        let mut field = Field::start().await;
        field.apply().await;
        assert_eq!(field.matches(&[]), (144, 144));
        let mut cells = 0;
        for policies in scenarios() {
            for policy in &policies {
                field.world.record_policy(&Event::Apply(policy.clone()));
            }
            field.apply().await;
            let (open, all) = field.matches(&policies);
            assert!(0 < open && open < all, "policies that make a difference: {open} of {all}");
            cells += all;
            for policy in policies {
                field.world.record_policy(&Event::Delete(policy));
            }
        }
        assert!(cells >= 1000, "{cells}");
        field.apply().await;
        assert_eq!(field.matches(&[]), (144, 144));
    });
}

#[test]
fn the_node_reaches_its_pods_and_they_reach_the_node() {
    isolated(|| async {
        let mut field = Field::start().await;
        for name in NAMESPACES {
            let deny = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
            field.world.record_policy(&Event::Apply(policy(name, "deny", &deny)));
        }
        field.apply().await;
        for family in place().layout.families() {
            let gateway = place().layout.gateway(family).unwrap();
            let node = SocketAddr::new(gateway, 7000);
            serve_tcp(None, &node.to_string(), "node");
            for (pod, netns) in &field.pods {
                let ip = pod.address(family).unwrap();
                let targets = PORTS.map(|port| SocketAddr::new(ip, port)).to_vec();
                assert_eq!(reached(None, gateway, targets), [true, true]);
                assert_eq!(reached(netns.as_ref(), ip, vec![node]), [true]);
            }
        }
    });
}

#[test]
fn connections_that_were_let_in_stay() {
    use std::io::{Read, Write};
    isolated(|| async {
        let mut field = Field::start().await;
        field.apply().await;
        let (from, to) = (field.pods[0].1.clone(), field.pods[2].clone());
        let address = SocketAddr::new(to.0.ip, 7070);
        let listener = inside(to.1.as_ref(), move || std::net::TcpListener::bind(address).unwrap());
        let mut stream = inside(from.as_ref(), move || std::net::TcpStream::connect(address).unwrap());
        let (mut served, _) = listener.accept().unwrap();
        let deny = json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]});
        field.world.record_policy(&Event::Apply(policy("green", "deny", &deny)));
        field.apply().await;
        assert_eq!(reached(from.as_ref(), field.pods[0].0.ip, vec![address]), [false]);
        stream.write_all(b"still there?").unwrap();
        let mut buffer = [0; 12];
        served.read_exact(&mut buffer).unwrap();
        served.write_all(b"yes").unwrap();
        stream.read_exact(&mut buffer[..3]).unwrap();
    });
}

#[test]
fn a_pod_is_known_before_it_tells_its_address() {
    let mut world = World::new(place());
    assert!(!world.complete());
    world.record_policy(&Event::Init);
    let deny = json!({"podSelector": {"matchLabels": {"kind": "oci"}}, "policyTypes": ["Ingress"]});
    world.record_policy(&Event::InitApply(policy("red", "deny", &deny)));
    world.record_policy(&Event::InitDone);
    assert!(!world.complete(), "whoever a policy may be about has to be known");
    for step in [Event::Init, Event::InitDone] {
        world.record_pod(&step);
    }
    for step in [Event::Init, Event::InitApply(namespace("red")), Event::InitDone] {
        world.record_namespace(&step);
    }
    assert!(world.complete());
    assert!(is_nothing(&world.take_rules().unwrap()));
    let object = pod("red", "oci", &[]);
    let ip = IpAddr::from([10, 244, 3, 9]);
    world.admit("u".to_owned(), ObjectKey::of(&object), Pod::with_addresses(&object, &[ip]).unwrap());
    assert!(!is_nothing(&world.take_rules().unwrap()));
    assert_eq!(world.take_rules(), None, "nothing changed");
    // Labels that changed since count.
    let mut relabelled = pod("red", "wasm", &[ip]);
    relabelled.metadata.name = Some("oci".to_owned());
    world.record_pod(&Event::Apply(relabelled));
    assert!(is_nothing(&world.take_rules().unwrap()));
    world.record_pod(&Event::Delete(object));
    assert!(!is_nothing(&world.take_rules().unwrap()));
    world.release("u");
    assert!(is_nothing(&world.take_rules().unwrap()));
}

#[test]
fn what_is_no_packets_or_no_pods_is_left_out() {
    let parse = |spec: &Value| Policy::parse(&policy("red", "p", spec)).unwrap();
    let of =
        |ingress: Value| parse(&json!({"podSelector": {}, "policyTypes": ["Ingress"], "ingress": ingress}));
    let all = of(json!([{"from": [], "ports": []}]));
    assert_eq!(all.ingress.unwrap(), [Rule { peers: None, ports: None }]);
    let nobody =
        of(json!([{"from": [{"ipBlock": {"cidr": "fd00::/129"}}], "ports": [{"port": 9, "endPort": 8}]}]));
    assert_eq!(nobody.ingress.unwrap(), [Rule { peers: Some(Vec::new()), ports: Some(Vec::new()) }]);
    let invalid = json!({"podSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}, "policyTypes": ["Ingress"]});
    assert!(!parse(&invalid).pods.matches(&BTreeMap::new()));

    let mut on_host = pod("red", "oci", &[[192, 0, 2, 1].into()]);
    on_host.spec.as_mut().unwrap().host_network = Some(true);
    assert_eq!(Pod::parse(&on_host), None);
    let mut ended = pod("red", "oci", &[[10, 244, 3, 2].into()]);
    ended.status.as_mut().unwrap().phase = Some("Succeeded".to_owned());
    assert_eq!(Pod::parse(&ended), None);
    assert_eq!(Pod::parse(&pod("red", "oci", &[])), None);
}

fn is_nothing(rules: &[Ruleset]) -> bool {
    rules.iter().all(Ruleset::is_empty)
}

/// Some policies of the three namespaces, by the numbers of scenarios.
fn any_rules() -> impl Strategy<Value = Vec<usize>> {
    prop::collection::vec(0..scenarios().len(), 0..3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, failure_persistence: None, ..ProptestConfig::default() })]

    /// Step by step or at once: the kernel ends with the same rules.
    #[test]
    fn changes_add_up(steps in prop::collection::vec((any_rules(), prop::collection::btree_set(0usize..6, 0..6)), 1..8)) {
        isolated(move || async move {
            let layout = place().layout;
            let mut transactions = Transactions::default();
            let mut last: Vec<Ruleset> = layout.families().map(Ruleset::of).collect();
            let anew = |all: &[Ruleset]| all.iter().map(|rules| replace(&layout, rules)).collect::<String>();
            transactions.apply(anew(&last)).await.unwrap();
            for (numbers, present) in steps {
                let mut world = World::new(place());
                let policies = numbers.iter().flat_map(|number| scenarios().remove(*number));
                for policy in policies {
                    world.record_policy(&Event::Apply(policy));
                }
                for name in NAMESPACES {
                    world.record_namespace(&Event::Apply(namespace(name)));
                }
                for number in present {
                    let ip = Ipv4Addr::new(10, 244, 3, 2 + u8::try_from(number).unwrap());
                    let ips = [ip.into(), layout.beside(ip.into()).unwrap().into()];
                    world.record_pod(&Event::Apply(pod(NAMESPACES[number % 3], KINDS[number / 3], &ips)));
                }
                let rules = world.take_rules().unwrap();
                let script: String = last.iter().zip(&rules).map(|(old, new)| step(old, new)).collect();
                transactions.apply(script).await.unwrap();
                last = rules;
            }
            let by_steps = in_kernel();
            transactions.apply(anew(&last)).await.unwrap();
            assert_eq!(by_steps, in_kernel());
        });
    }
}

/// The rules in the kernel, whatever order they were made in.
fn in_kernel() -> Vec<String> {
    let list = |family: &str| {
        let words = ["list", "table", family, "wherry_policies"];
        String::from_utf8(std::process::Command::new("nft").args(words).output().unwrap().stdout).unwrap()
    };
    let listed = ["ip", "ip6"].map(list).concat();
    let mut lines: Vec<String> = listed.lines().map(|line| line.trim().to_owned()).collect();
    lines.sort();
    lines
}
