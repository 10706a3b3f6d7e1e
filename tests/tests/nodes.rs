//! A cluster of three machines with addresses of both families: two on one link, the third behind a router.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "nodes/partition.rs"]
mod partition;
#[path = "nodes/six.rs"]
mod six;
#[path = "nodes/table.rs"]
mod table;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell};
use wherry_tests::{Cluster, Machines, isolated, wait};

const NODES: [&str; 3] = Machines::NODES;
/// Kinds of Pods: of a wasm container, of an OCI container, of one of each, and one on its node's network.
const KINDS: [&str; 4] = ["wasm", "oci", "mixed", "host"];

/// Where a Pod of this kind listens. What listens at all addresses of a node leaves no port to its wasm Pods.
fn port_of(kind: &str) -> u16 {
    if kind == "host" { 8090 } else { 8080 }
}

/// A server that answers the path `/env/WHO` with its name, and a Service of it in each family.
fn server(kind: &str, node: &str) -> [Value; 3] {
    let name = format!("{kind}-{node}");
    let wasm = json!({ "name": "wasm", "image": "127.0.0.1:5000/http:v1",
        "env": [{ "name": "WHO", "value": name }], "ports": [{ "containerPort": 8080 }] });
    let port = port_of(kind);
    let page = format!("mkdir -p /tmp/env; printf {name} > /tmp/env/WHO; exec httpd -f -p {port} -h /tmp");
    let containers = match kind {
        "wasm" => json!([wasm]),
        "mixed" => json!([wasm, shell("oci", IDLE)]),
        _ => json!([shell("oci", &page)]),
    };
    let (on_host, names) =
        (kind == "host", if kind == "host" { "ClusterFirstWithHostNet" } else { "ClusterFirst" });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "labels": { "who": name } },
        "spec": { "nodeName": node, "hostNetwork": on_host, "dnsPolicy": names, "containers": containers,
            "terminationGracePeriodSeconds": 1 } });
    let service = |service: String, family: &str| {
        json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": service },
            "spec": { "type": "NodePort", "selector": { "who": name }, "ipFamilies": [family],
                "ports": [{ "port": 80, "targetPort": port }] } })
    };
    [pod, service(name.clone(), "IPv4"), service(format!("{name}-six"), "IPv6")]
}

/// An address as a URL has it.
fn in_url(ip: &str) -> String {
    if ip.contains(':') { format!("[{ip}]") } else { ip.to_owned() }
}

/// The addresses of a Pod, which has one of each family.
fn pod_ips(cluster: &Cluster, name: &str) -> [String; 2] {
    let told = cluster.kubectl(&["get", "pod", name, "-o", "jsonpath={.status.podIPs[*].ip}"]);
    let [four, six] = told.split(' ').map(in_url).collect::<Vec<_>>().try_into().unwrap();
    assert!(!four.contains(':') && six.contains(':'), "{four} {six}");
    [four, six]
}

/// Ways to a server, but for its Pod's addresses all through its Services.
fn ways(cluster: &Cluster, name: &str, node_addresses: &[&str]) -> Vec<String> {
    let port = port_of(name.split('-').next().unwrap_or_default());
    let mut ways = pod_ips(cluster, name).map(|pod| format!("{pod}:{port}")).to_vec();
    for (service, is_six) in [(name.to_owned(), false), (format!("{name}-six"), true)] {
        let service = cluster.get(&["service", &service]);
        let service_ip = service["spec"]["clusterIP"].as_str().unwrap();
        assert_eq!(service_ip.contains(':'), is_six, "{service}");
        let node_port = &service["spec"]["ports"][0]["nodePort"];
        ways.push(format!("{}:80", in_url(service_ip)));
        let addresses = node_addresses.iter().filter(|address| address.contains(':') == is_six);
        ways.extend(addresses.map(|address| format!("{}:{node_port}", in_url(address))));
    }
    ways
}

/// A script that asks along ways and prints those that do not lead to the server of this name.
fn asking(begin: &str, asked: &[(String, Vec<String>)]) -> String {
    let mut script = String::new();
    for (name, ways) in asked {
        for way in ways {
            let url = format!("http://{begin}{way}/env/WHO");
            writeln!(
                script,
                "a=$(busybox timeout 5 busybox wget -q -O- {url}); [ \"$a\" = {name} ] || echo \"{name} {url} $a\""
            )
            .unwrap();
        }
    }
    script
}

/// Waits until a script prints nothing.
fn until_silent(what: &str, mut run: impl FnMut() -> std::process::Output) {
    wait::until(what, || {
        let output = run();
        let told = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        if output.status.success() && told.is_empty() { Ok(()) } else { Err(told) }
    });
}

/// [sig-architecture] Conformance Tests should have at least two untainted nodes.
fn conformance_tests_minimum_number_of_nodes(cluster: &Cluster) {
    let nodes = cluster.get(&["nodes"]);
    let untainted = nodes["items"].as_array().unwrap().iter().filter(|node| node["spec"]["taints"].is_null());
    assert!(untainted.count() >= 2, "{nodes}");
}

/// [sig-network] IPv6DualStack should have ipv4 and ipv6 internal node ip.
fn dual_stack_internal_node_ips(cluster: &Cluster) {
    for node in NODES {
        let path = "jsonpath={.status.addresses[?(@.type==\"InternalIP\")].address}";
        let told = cluster.kubectl(&["get", "node", node, "-o", path]);
        let families: Vec<bool> = told.split(' ').map(|ip| ip.contains(':')).collect();
        assert_eq!(families, [false, true], "{node}: {told}");
    }
}

/// [sig-network] IPv6DualStack should create pod, add ipv6 and ipv4 ip to pod ips.
fn dual_stack_pod_ips(cluster: &Cluster) {
    let told = pod_ips(cluster, "oci-node-2").map(|ip| ip.trim_matches(['[', ']']).to_owned());
    let hosts = cluster.kubectl(&["exec", "oci-node-2", "--", "cat", "/etc/hosts"]);
    for ip in &told {
        assert!(hosts.contains(&format!("{ip}\toci-node-2")), "{hosts}");
    }
    let at = cluster.kubectl(&["get", "pod", "oci-node-2", "-o", "jsonpath={.status.hostIPs[*].ip}"]);
    assert_eq!(at, "10.9.1.2 fd00:10:9:1::2");
}

/// More than a tunnel's packet holds arrives whole, both ways.
fn large_answers_arrive(cluster: &Cluster) {
    let script = "head -c 3000000 /dev/zero > /tmp/large";
    cluster.kubectl(&["exec", "oci-node-3", "--", "sh", "-c", script]);
    for at in pod_ips(cluster, "oci-node-3") {
        let script = format!("busybox wget -q -O- http://{at}:8080/large | wc -c");
        cluster.exec_until("oci-node-2", &script, |count| count.trim() == "3000000");
    }
}

/// A load balancer is reached at every node's address, from every node; or at those with endpoints alone.
fn load_balancers_are_reached_at_the_nodes(machines: &Machines) {
    let Machines { cluster, hosts, .. } = machines;
    let service = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "balanced" },
        "spec": { "type": "LoadBalancer", "ipFamilyPolicy": "RequireDualStack", "selector": { "who": "wasm-node-3" }, "ports": [{ "port": 81, "targetPort": 8080 }] } });
    cluster.apply(&service.to_string());
    let path = "jsonpath={.status.loadBalancer.ingress[*].ip}";
    let told = |addresses: &[&str]| {
        cluster.kubectl_until(&["get", "service", "balanced", "-o", path], |text| {
            text.split(' ').collect::<BTreeSet<_>>() == addresses.iter().copied().collect()
        });
    };
    let addresses = machines.addresses();
    told(&addresses);
    let ways = addresses.iter().map(|address| format!("{}:81", in_url(address))).collect();
    let script = asking("", &[("wasm-node-3".to_owned(), ways)]);
    for host in hosts {
        until_silent(&format!("{} to reach the load balancer", host.name()), || host.run(&script));
    }
    until_silent("a Pod to reach the load balancer", || {
        cluster.try_kubectl(&["exec", "oci-node-1", "--", "sh", "-c", &script])
    });
    cluster.kubectl(&["patch", "service", "balanced", "-p", r#"{"spec":{"externalTrafficPolicy":"Local"}}"#]);
    told(&[hosts[1].address(), hosts[1].address6()]);
}

/// Who a Pod may be reached by is decided by labels of Pods of other nodes, too.
fn policies_know_pods_of_other_nodes(cluster: &Cluster) {
    let policy = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "fence" },
        "spec": { "podSelector": { "matchExpressions": [
            { "key": "who", "operator": "In", "values": ["oci-node-3", "wasm-node-3"] }] },
          "policyTypes": ["Ingress"], "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "who": "oci-node-2" } } }] }] } });
    cluster.apply(&policy.to_string());
    let servers = ["oci-node-3", "wasm-node-3"].map(|name| pod_ips(cluster, name)).concat();
    let ask =
        |server: &String| format!("timeout 2 wget -q -O /dev/null http://{server}:8080/env/WHO && echo in; ");
    let script = format!("{}true", servers.iter().map(ask).collect::<String>());
    cluster.exec_until("oci-node-1", &script, |text| text.lines().count() == 0);
    cluster.exec_until("oci-node-2", &script, |text| text.lines().count() == 4);
    cluster.kubectl(&["delete", "networkpolicy", "fence"]);
}

#[test]
fn pods_of_three_machines_reach_each_other() {
    isolated(|| {
        let mut machines = Machines::three();
        let Machines { cluster, hosts, .. } = &machines;
        conformance_tests_minimum_number_of_nodes(cluster);
        dual_stack_internal_node_ips(cluster);

        let servers: Vec<_> =
            NODES.iter().flat_map(|node| KINDS.iter().flat_map(|kind| server(kind, node))).collect();
        cluster.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": servers }).to_string());
        cluster.wait_for("condition=Ready", &["pods", "--all"]);
        dual_stack_pod_ips(cluster);
        load_balancers_are_reached_at_the_nodes(&machines);
        policies_know_pods_of_other_nodes(cluster);
        table::everybody_reaches_everybody(cluster, &machines.addresses());
        large_answers_arrive(cluster);
        partition::two_machines_lose_each_other(cluster, hosts);
        partition::a_machine_is_lost_and_comes_back(cluster, hosts);
        partition::an_endpoint_dies_with_a_request(cluster);

        let routes = || {
            let show = |words: &[&str]| Command::new("ip").args(words).output().unwrap().stdout;
            let four = show(&["route", "show", "10.244.1.0/24"]);
            let six = show(&["-6", "route", "show", "fd00:244:0:1::/64"]);
            String::from_utf8([four, six].concat()).unwrap()
        };
        for node in ["via 10.9.1.2 ", "via fd00:10:9:1::2 "] {
            assert!(routes().contains(node), "{}", routes());
        }
        drop(machines.agents.remove(0));
        machines.cluster.kubectl(&["delete", "node", "node-2"]);
        wait::until("the route to a node that left to go", || {
            let routes = routes();
            if routes.is_empty() { Ok(()) } else { Err(routes) }
        });
    });
}
