//! Services of web servers that answer with their names, asked by a client and by a guest, by name, by address and on the node.

use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{Cluster, Machines, Options, in_cluster, isolated};

use crate::dual_stack::{
    dual_stack_service_with_ipv4_cluster_ip, dual_stack_service_with_ipv4_v6_cluster_ip,
    dual_stack_service_with_ipv6_cluster_ip, dual_stack_service_with_ipv6_v4_cluster_ip,
    dual_stack_single_stack_service_of_primary_range, the_cluster_dns_is_of_both_families,
};
use crate::endpoints::{service_endpoints, service_endpoints_with_multiple_ports};
use crate::guestbook::kubectl_guestbook_application;
use crate::host_ports::scheduling_hostport_matching_and_hostip_and_protocol_not_matching;
use crate::latency::service_endpoint_latency_thresholds;
use crate::load_balancer::{
    external_ips_lead_to_their_service, load_balancers_ask_nodes_for_their_endpoints,
    load_balancers_open_ports_of_nodes,
};
use crate::networking;
use crate::policies::network_policies_fence_pods_in;

/// A guest that says its variables, and asks others.
const WASM: &str = "127.0.0.1:5000/http:v1";
/// What servers of either kind answer with their names.
pub(crate) const NAME: &str = "/env/HOSTNAME";

/// All that follow share a cluster of both families with three web servers that answer with their names, a client and a guest that
/// asks for it.
#[test]
fn services_lead_to_their_endpoints() {
    in_cluster(Options::dual_stack(), |cluster| {
        begin(cluster, Machines::NODES[0]);
        descriptions(cluster);
        load_balancers_open_ports_of_nodes(cluster);
        load_balancers_ask_nodes_for_their_endpoints(cluster);
        external_ips_lead_to_their_service(cluster);
        network_policies_fence_pods_in(cluster);
    });
}

/// The same descriptions where each of the servers is on another machine, and the guest on another than the client.
#[test]
fn services_lead_to_endpoints_of_three_machines() {
    isolated(|| {
        let machines = Machines::three();
        let cluster = &machines.cluster;
        begin(cluster, Machines::NODES[1]);
        let path = "jsonpath={.items[*].spec.nodeName}";
        let nodes = cluster.kubectl(&["get", "pods", "-l", "app=hosts", "-o", path]);
        let nodes: std::collections::BTreeSet<&str> = nodes.split(' ').collect();
        assert_eq!(nodes, Machines::NODES.into());
        descriptions(cluster);
    });
}

/// What conformance describes of Services.
fn descriptions(cluster: &Cluster) {
    find_kubernetes_service_in_default_namespace(cluster);
    kubernetes_default_endpoints_and_endpoint_slices(cluster);
    service_deletes_a_collection_of_services(cluster);
    kubernetes_service(cluster);
    service_node_port_service(cluster);
    the_cluster_dns_is_of_both_families(cluster);
    dual_stack_single_stack_service_of_primary_range(cluster);
    dual_stack_service_with_ipv4_cluster_ip(cluster);
    dual_stack_service_with_ipv6_cluster_ip(cluster);
    dual_stack_service_with_ipv4_v6_cluster_ip(cluster);
    dual_stack_service_with_ipv6_v4_cluster_ip(cluster);
    for kind in ["NodePort", "ClusterIP"] {
        service_session_affinity_to_client_ip(cluster, kind);
        service_session_affinity_to_none(cluster, kind);
    }
    service_change_type_cluster_ip_to_external_name(cluster);
    service_change_type_external_name_to_cluster_ip(cluster);
    service_change_type_external_name_to_node_port(cluster);
    service_change_type_node_port_to_external_name(cluster);
    service_should_serve_endpoints_on_same_port_and_different_protocols(cluster);
    service_endpoints(cluster);
    service_endpoints_with_multiple_ports(cluster);
    service_endpoint_latency_thresholds(cluster);
    kubectl_guestbook_application(cluster);
    let servers = networking::servers(cluster);
    networking::networking_intra_pod_http(cluster, &servers);
    networking::networking_intra_pod_udp(cluster, &servers);
    networking::networking_intra_pod_http_from_node(&servers);
    networking::networking_intra_pod_udp_from_node(&servers);
    scheduling_hostport_matching_and_hostip_and_protocol_not_matching(cluster);
}

/// Starts the servers, one of them a guest, the client on the first node, and the guest that asks on this one.
fn begin(cluster: &Cluster, guest_on: &str) {
    let script = "mkdir -p /tmp/w/env; hostname > /tmp/w/env/HOSTNAME; exec httpd -f -p 9376 -h /tmp/w";
    cluster.apply(&hosts("hosts-oci", 2, &shell("main", script)));
    let ports = json!([{ "containerPort": 9376 }]);
    cluster.apply(&hosts("hosts-wasm", 1, &json!({ "name": "main", "image": WASM, "ports": ports })));
    let spec = |node: &str, container: Value| json!({ "terminationGracePeriodSeconds": 0, "nodeName": node, "containers": [container] });
    cluster.run_pod("client", &spec(Machines::NODES[0], shell("main", IDLE)));
    let ports = json!([{ "containerPort": 8080 }]);
    cluster.run_pod("guest", &spec(guest_on, json!({ "name": "main", "image": WASM, "ports": ports })));
    cluster.kubectl(&["expose", "pod", "guest", "--port=8080"]);
    cluster.wait_for("condition=Ready", &["pod/client", "pod/guest"]);
    for name in ["hosts-oci", "hosts-wasm"] {
        cluster.kubectl(&["rollout", "status", &format!("deployment/{name}"), "--timeout=90s"]);
    }
}

/// A Deployment of Pods whose web servers answer with the names of their Pods; all of them are spread over nodes.
fn hosts(name: &str, replicas: u32, server: &Value) -> String {
    let probe = json!({ "tcpSocket": { "port": 9376 }, "periodSeconds": 1 });
    let server = with(server.clone(), json!({ "readinessProbe": probe }));
    let labels = json!({ "app": "hosts", "deployment": name });
    let spread = json!({
        "maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": { "matchLabels": { "app": "hosts" } },
    });
    let spec = json!({
        "terminationGracePeriodSeconds": 0, "containers": [server], "topologySpreadConstraints": [spread],
    });
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": spec },
        },
    })
    .to_string()
}

/// A Service of the three servers, with more fields; its address.
pub(crate) fn service_of_hosts(cluster: &Cluster, name: &str, more: &str) -> String {
    cluster.apply(&format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  selector: {{app: hosts}}\n  {more}\n  \
         ports: [{{port: 80, targetPort: 9376}}]\n"
    ));
    cluster.kubectl(&["get", "service", name, "-o", "jsonpath={.spec.clusterIP}"])
}

/// Where the Service is reached on the node.
fn on_node(cluster: &Cluster, name: &str) -> String {
    let port = cluster.kubectl(&["get", "service", name, "-o", "jsonpath={.spec.ports[0].nodePort}"]);
    let address = "jsonpath={.items[0].status.addresses[?(@.type=='InternalIP')].address}";
    let addresses = cluster.kubectl(&["get", "nodes", "-o", address]);
    format!("{}:{port}", addresses.split(' ').next().unwrap_or_default())
}

/// The client is answered at this host, if it has a name by the name, too, and so is the guest.
pub(crate) fn is_served(cluster: &Cluster, host: &str) {
    for by in ["", "guest:8080/get/"] {
        let script = format!("timeout 5 wget -q -O- http://{by}{host}{NAME}; true");
        cluster.exec_until("client", &script, |text| text.starts_with("hosts-"));
    }
}

/// Waits until so many servers answer fifteen requests.
pub(crate) fn until_answered_by(cluster: &Cluster, host: &str, servers: std::ops::RangeInclusive<usize>) {
    let script = format!("for i in $(seq 15); do wget -q -O- http://{host}{NAME} || exit; echo; done");
    cluster.exec_until("client", &script, |text| {
        let answers = || text.lines().filter(|line| !line.is_empty());
        let names: std::collections::BTreeSet<&str> = answers().collect();
        answers().count() == 15 && servers.contains(&names.len())
    });
}

fn has_no_address(cluster: &Cluster, name: &str) {
    let service = cluster.get(&["service", name]);
    assert_eq!((service["spec"].get("clusterIP"), service["spec"]["ports"][0].get("nodePort")), (None, None));
}

/// Makes the Service one of type ExternalName, after which it has no address and stands for that name.
fn becomes_another_name(cluster: &Cluster, name: &str, of: &str) {
    patch(cluster, name, &json!({ "type": "ExternalName", "externalName": of }));
    has_no_address(cluster, name);
    let script = format!("nslookup -type=cname {name}.default.svc.cluster.local; true");
    cluster.exec_until("client", &script, |text| text.contains(&format!("canonical name = {of}")));
}

fn patch(cluster: &Cluster, name: &str, spec: &Value) {
    cluster.kubectl(&["patch", "service", name, "-p", &json!({ "spec": spec }).to_string()]);
}

/// [sig-network] Services should find a service from listing all namespaces.
fn find_kubernetes_service_in_default_namespace(cluster: &Cluster) {
    let all = cluster.kubectl(&["get", "services", "-A", "-o", "name"]);
    assert!(all.lines().any(|name| name == "service/kubernetes"), "{all}");
}

/// [sig-network] API Server should provide secure master service.
fn kubernetes_service(cluster: &Cluster) {
    let service = cluster.get(&["service", "kubernetes"]);
    assert_eq!(
        (&service["spec"]["ports"][0]["name"], &service["spec"]["ports"][0]["port"]),
        (&json!("https"), &json!(443))
    );
    let connect = "nc -w 2 kubernetes.default.svc 443 </dev/null && echo connected; true";
    cluster.exec_until("client", connect, |text| text.contains("connected"));
}

/// [sig-network] API Server should have Endpoints and EndpointSlices pointing to API Server.
fn kubernetes_default_endpoints_and_endpoint_slices(cluster: &Cluster) {
    let address = |args: &[&str]| cluster.kubectl(&[&["get"], args].concat());
    let slice = address(&[
        "endpointslice",
        "kubernetes",
        "-o",
        "jsonpath={.endpoints[*].addresses[*]}:{.ports[*].port}",
    ]);
    let endpoints = address(&[
        "endpoints",
        "kubernetes",
        "-o",
        "jsonpath={.subsets[*].addresses[*].ip}:{.subsets[*].ports[*].port}",
    ]);
    assert!(!slice.starts_with(':') && slice == endpoints, "{slice} {endpoints}");
}

/// [sig-network] Services should delete a collection of services.
fn service_deletes_a_collection_of_services(cluster: &Cluster) {
    for (name, group) in [("a", "gone"), ("b", "gone"), ("c", "kept")] {
        cluster.apply(&format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, labels: {{of: test, group: {group}}}}}\nspec:\n  \
             ports: [{{port: 80}}]\n"
        ));
    }
    let names = |cluster: &Cluster| cluster.kubectl(&["get", "services", "-l", "of=test", "-o", "name"]);
    assert_eq!(names(cluster).lines().count(), 3);
    cluster.kubectl(&["delete", "--raw", "/api/v1/namespaces/default/services?labelSelector=group%3Dgone"]);
    assert_eq!(names(cluster), "service/c\n");
}

/// [sig-network] Services should be able to create a functioning NodePort service.
fn service_node_port_service(cluster: &Cluster) {
    let ip = service_of_hosts(cluster, "open", "type: NodePort");
    for host in ["open", &ip, &on_node(cluster, "open")] {
        is_served(cluster, host);
    }
}

/// [sig-network] Services should have session affinity work for NodePort service, and for service with type clusterIP.
fn service_session_affinity_to_client_ip(cluster: &Cluster, kind: &str) {
    let ip = service_of_hosts(cluster, "loyal", &format!("type: {kind}\n  sessionAffinity: ClientIP"));
    is_served(cluster, "loyal");
    until_answered_by(cluster, &affine(cluster, kind, ip), 1..=1);
    cluster.kubectl(&["delete", "service", "loyal"]);
}

/// [sig-network] Services should be able to switch session affinity for NodePort service, and for service with type clusterIP.
fn service_session_affinity_to_none(cluster: &Cluster, kind: &str) {
    let ip = service_of_hosts(cluster, "loyal", &format!("type: {kind}\n  sessionAffinity: ClientIP"));
    let host = affine(cluster, kind, ip);
    until_answered_by(cluster, &host, 1..=1);
    patch(cluster, "loyal", &json!({ "sessionAffinity": "None" }));
    until_answered_by(cluster, &host, 2..=3);
    patch(cluster, "loyal", &json!({ "sessionAffinity": "ClientIP" }));
    until_answered_by(cluster, &host, 1..=1);
    is_served(cluster, "loyal");
    cluster.kubectl(&["delete", "service", "loyal"]);
}

fn affine(cluster: &Cluster, kind: &str, ip: String) -> String {
    if kind == "NodePort" { on_node(cluster, "loyal") } else { ip }
}

/// [sig-network] Services should be able to change the type from ClusterIP to ExternalName.
fn service_change_type_cluster_ip_to_external_name(cluster: &Cluster) {
    service_of_hosts(cluster, "changing", "type: ClusterIP");
    is_served(cluster, "changing");
    becomes_another_name(cluster, "changing", "open.default.svc.cluster.local");
    is_served(cluster, "changing");
}

/// [sig-network] Services should be able to change the type from ExternalName to ClusterIP.
fn service_change_type_external_name_to_cluster_ip(cluster: &Cluster) {
    let ports = json!([{ "port": 80, "targetPort": 9376, "protocol": "TCP" }]);
    patch(cluster, "changing", &json!({ "type": "ClusterIP", "externalName": "", "ports": ports }));
    let ip = cluster.kubectl(&["get", "service", "changing", "-o", "jsonpath={.spec.clusterIP}"]);
    for host in ["changing", &ip] {
        is_served(cluster, host);
    }
    cluster.kubectl(&["delete", "service", "changing"]);
}

/// [sig-network] Services should be able to change the type from ExternalName to NodePort.
fn service_change_type_external_name_to_node_port(cluster: &Cluster) {
    cluster.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: changing}\nspec: {type: ExternalName, externalName: example.com}\n",
    );
    has_no_address(cluster, "changing");
    let ip = service_of_hosts(cluster, "changing", "type: NodePort\n  externalName:");
    for host in ["changing", &ip, &on_node(cluster, "changing")] {
        is_served(cluster, host);
    }
}

/// [sig-network] Services should be able to change the type from NodePort to ExternalName.
fn service_change_type_node_port_to_external_name(cluster: &Cluster) {
    let port = on_node(cluster, "changing");
    becomes_another_name(cluster, "changing", "open.default.svc.cluster.local");
    let script = format!("wget -q -O- http://{port}/ 2>&1; true");
    cluster.exec_until("client", &script, |text| text.contains("refused"));
    cluster.kubectl(&["delete", "service", "changing"]);
}

/// [sig-network] Services should serve endpoints on same port and different protocols: of a Pod of both kinds of containers.
/// (A patch of kubectl's tells ports apart by their numbers, so the Service is replaced.)
fn service_should_serve_endpoints_on_same_port_and_different_protocols(cluster: &Cluster) {
    let web = shell("web", "mkdir /tmp/w; hostname > /tmp/w/index.html; exec httpd -f -p 80 -h /tmp/w");
    let names = json!({ "name": "names", "image": "127.0.0.1:5000/udp-names:v1", "args": ["0.0.0.0:80"] });
    cluster.run_pod("hosts-both", &json!({ "terminationGracePeriodSeconds": 0, "containers": [web, names] }));
    let port = |name: &str, protocol: &str| json!({ "name": name, "port": 80, "protocol": protocol });
    let (tcp, udp) = (port("tcp", "TCP"), port("udp", "UDP"));
    let service = |verb: &str, ports: &[&Value]| {
        let spec = json!({ "selector": { "app": "hosts-both" }, "ports": ports });
        let service =
            json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "both" }, "spec": spec });
        let output = cluster.fed(&[verb, "-f", "-"], &service.to_string());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    service("create", &[&tcp, &udp]);
    let ip = cluster.kubectl(&["get", "service", "both", "-o", "jsonpath={.spec.clusterIP}"]);
    let answered = |tcp: bool, udp: bool| {
        let script = format!(
            "timeout 3 wget -q -O- http://{ip}/ || echo no tcp; \
             nslookup -type=txt -timeout=1 -retry=1 who. {ip}:80 >/tmp/out 2>&1; grep text /tmp/out || echo no udp"
        );
        cluster.exec_until("client", &script, |text| {
            text.contains("hosts-both\n") == tcp && text.contains("text = \"hosts-both\"") == udp
        });
    };
    answered(true, true);
    service("replace", &[&tcp]);
    answered(true, false);
    service("replace", &[&udp]);
    answered(false, true);
}
