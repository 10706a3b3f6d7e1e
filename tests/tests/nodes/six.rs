//! A cluster of two machines without addresses of IPv4: Pods, Services, nodes, and the API server are all found by IPv6.

use std::process::Command;

use serde_json::{Value, json};
use wherry_tests::pods::{shell, with};
use wherry_tests::{Cluster, Host, Machines, Options, SIX, in_cluster, isolated};

use super::{KINDS, asking, in_url, port_of, server, until_silent};

const NODES: [&str; 2] = ["node-1", "node-2"];

/// The Pod of a server and a Service that says nothing of families; a node asks the Pod whether it is ready.
fn served(kind: &str, node: &str) -> [Value; 2] {
    let [mut pod, _, mut service] = server(kind, node);
    let probe = json!({ "httpGet": { "path": "/env/WHO", "port": port_of(kind) }, "periodSeconds": 1 });
    pod["spec"]["containers"][0]["readinessProbe"] = probe;
    service["metadata"]["name"] = pod["metadata"]["name"].clone();
    service["spec"]["ipFamilies"] = Value::Null;
    [pod, service]
}

/// Pod IP, ClusterIP, NodePort of each machine and DNS name, all of IPv6.
fn ways(cluster: &Cluster, name: &str, machines: &[&str]) -> Vec<String> {
    let port = port_of(name.split('-').next().unwrap_or_default());
    let pod = cluster.kubectl(&["get", "pod", name, "-o", "jsonpath={.status.podIPs[*].ip}"]);
    let service = cluster.get(&["service", name]);
    assert_eq!(service["spec"]["ipFamilies"], json!(["IPv6"]), "{service}");
    let (ip, node_port) =
        (service["spec"]["clusterIP"].as_str().unwrap(), &service["spec"]["ports"][0]["nodePort"]);
    let mut ways = vec![
        format!("{}:{port}", in_url(&pod)),
        format!("{}:80", in_url(ip)),
        format!("{name}.default.svc.cluster.local:80"),
    ];
    ways.extend(machines.iter().map(|address| format!("{}:{node_port}", in_url(address))));
    assert!(ways.iter().all(|way| way.contains('[') || way.contains("svc")), "{ways:?}");
    ways
}

/// Whoever asks, on whichever machine, reaches every server by every way.
fn everybody_reaches_everybody(cluster: &Cluster, machines: &[&str]) {
    let names = NODES.into_iter().flat_map(|node| KINDS.map(|kind| format!("{kind}-{node}")));
    let all: Vec<_> = names.map(|name| (name.clone(), ways(cluster, &name, machines))).collect();
    for node in NODES {
        for kind in ["host", "oci", "mixed"] {
            let (pod, script) = (format!("{kind}-{node}"), asking("", &all));
            until_silent(&format!("{pod} to reach all"), || {
                cluster.try_kubectl(&["exec", &pod, "-c", "oci", "--", "sh", "-c", &script])
            });
        }
        for kind in ["wasm", "mixed"] {
            let pod = format!("{kind}-{node}");
            let script = asking(&format!("{}/get/", ways(cluster, &pod, machines)[0]), &all);
            until_silent(&format!("wasm in {pod} to reach all"), || {
                Command::new("sh").args(["-c", &script]).output().unwrap()
            });
        }
    }
}

/// Nodes and the DNS Service have addresses of IPv6 alone, and so has the API server, whose certificate holds at them.
fn all_are_found_by_ipv6(cluster: &Cluster, machines: &[&str], host: &Host) {
    for (node, address) in NODES.iter().zip(machines) {
        let path = "jsonpath={.status.addresses[?(@.type==\"InternalIP\")].address}";
        assert_eq!(cluster.kubectl(&["get", "node", node, "-o", path]), **address);
    }
    let told = cluster.kubectl(&["exec", "oci-node-2", "--", "cat", "/etc/resolv.conf", "/etc/hosts"]);
    assert!(told.contains("nameserver fd00:96::a\n") && !told.contains("nameserver 10."), "{told}");
    let own = cluster.kubectl(&["get", "pod", "oci-node-2", "-o", "jsonpath={.status.podIP}"]);
    assert!(told.contains(&format!("{own}\toci-node-2")), "{told}");
    let slice = cluster.get(&["endpointslice", "kubernetes"]);
    assert_eq!(slice["addressType"], "IPv6", "{slice}");
    assert_eq!(slice["endpoints"][0]["addresses"], json!([machines[0]]), "{slice}");
    let ca = cluster.data_dir().join("pki/ca.crt");
    for at in ["[fd00:96::1]:443".to_owned(), format!("{}:6443", in_url(machines[0]))] {
        let script =
            format!("curl -sS --max-time 5 --cacert {} -o /dev/null https://{at}/version", ca.display());
        until_silent(&format!("the API server at {at}"), || host.run(&script));
    }
}

/// What the API server asks of Pods, and a port of the node.
fn the_api_server_and_ports_of_the_node_lead_to_pods(cluster: &Cluster, machines: &[&str]) {
    for name in ["wasm-node-1", "oci-node-2"] {
        for path in [format!("pods/{name}:8080"), format!("services/{name}:80")] {
            let path = format!("/api/v1/namespaces/default/{path}/proxy/env/WHO");
            cluster.kubectl_until(&["get", "--raw", &path], |answer| answer == name);
        }
    }
    let page = "mkdir -p /tmp/env; printf ported > /tmp/env/WHO; exec httpd -f -p 8080 -h /tmp";
    let server = with(shell("oci", page), json!({ "ports": [{ "containerPort": 8080, "hostPort": 54323 }] }));
    cluster.run_pod(
        "ported",
        &json!({ "nodeName": "node-2", "terminationGracePeriodSeconds": 1, "containers": [server] }),
    );
    cluster.wait_for("condition=Ready", &["pod/ported"]);
    let asked = [("ported".to_owned(), vec![format!("{}:54323", in_url(machines[1]))])];
    until_silent("a port of the node", || {
        Command::new("sh").args(["-c", &asking("", &asked)]).output().unwrap()
    });
}

/// Policies hold.
fn policies_hold(cluster: &Cluster, machines: &[&str]) {
    let policy = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "fence" },
        "spec": { "podSelector": { "matchExpressions": [
            { "key": "who", "operator": "In", "values": ["oci-node-2", "wasm-node-2"] }] },
          "policyTypes": ["Ingress"], "ingress": [{ "from": [{ "podSelector": { "matchLabels": { "who": "oci-node-1" } } }] }] } });
    cluster.apply(&policy.to_string());
    let ask = |name| {
        let way = &ways(cluster, name, machines)[0];
        format!("timeout 2 wget -q -O /dev/null http://{way}/env/WHO && echo in; ")
    };
    let script = format!("{}true", ["oci-node-2", "wasm-node-2"].map(ask).concat());
    cluster.exec_until("host-node-1", &script, |text| text.lines().count() == 0);
    cluster.exec_until("oci-node-1", &script, |text| text.lines().count() == 2);
    cluster.kubectl(&["delete", "networkpolicy", "fence"]);
}

#[test]
fn machines_of_ipv6_alone_are_a_cluster() {
    isolated(|| {
        let machines = Machines::two_of_six();
        let cluster = &machines.cluster;
        let servers: Vec<_> =
            NODES.iter().flat_map(|node| KINDS.iter().flat_map(|kind| served(kind, node))).collect();
        cluster.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": servers }).to_string());
        cluster.wait_for("condition=Ready", &["pods", "--all"]);
        let addresses = machines.addresses();
        all_are_found_by_ipv6(cluster, &addresses, &machines.hosts[0]);
        everybody_reaches_everybody(cluster, &addresses);
        the_api_server_and_ports_of_the_node_lead_to_pods(cluster, &addresses);
        policies_hold(cluster, &addresses);
    });
}

/// A machine that nobody leads anywhere is its bridge's first address, and the API server is found by Pods there.
#[test]
fn a_machine_without_a_network_is_a_cluster_of_ipv6() {
    in_cluster(Options { flags: SIX.map(str::to_owned).to_vec(), ..Options::default() }, |cluster| {
        let servers: Vec<_> = ["wasm", "oci"].iter().flat_map(|kind| served(kind, "node-1")).collect();
        cluster.apply(&json!({ "apiVersion": "v1", "kind": "List", "items": servers }).to_string());
        let ingress = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "door" },
            "spec": { "defaultBackend": { "service": { "name": "oci-node-1", "port": { "number": 80 } } } } });
        cluster.apply(&ingress.to_string());
        cluster.wait_for("condition=Ready", &["pods", "--all"]);
        let machine = "fd00:244::1";
        let path = "jsonpath={.status.addresses[?(@.type==\"InternalIP\")].address}";
        assert_eq!(cluster.kubectl(&["get", "node", "node-1", "-o", path]), machine);
        let names = ["wasm-node-1", "oci-node-1"];
        let all = names.map(|name| (name.to_owned(), ways(cluster, name, &[machine])));
        let script = asking("", &all);
        until_silent("a Pod to reach all", || {
            cluster.try_kubectl(&["exec", "oci-node-1", "--", "sh", "-c", &script])
        });
        let api = "nc -w 2 fd00:96::1 443 < /dev/null || echo lost";
        until_silent("a Pod to reach the API server", || {
            cluster.try_kubectl(&["exec", "oci-node-1", "--", "sh", "-c", api])
        });
        let door = asking("", &[("oci-node-1".to_owned(), vec!["127.0.0.1:7080".to_owned()])]);
        until_silent("the Ingress", || Command::new("sh").args(["-c", &door]).output().unwrap());
    });
}
