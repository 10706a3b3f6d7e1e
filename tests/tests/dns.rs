//! What Pods find by names. All descriptions share one cluster with one client, a Pod of busybox.

use serde_json::json;
use wherry_tests::pods::{IDLE, shell};
use wherry_tests::{Cluster, Machines, Options, in_cluster, isolated};

#[test]
fn names_lead_to_services_and_pods() {
    in_cluster(Options::default(), |cluster| {
        descriptions(cluster, Machines::NODES[0]);
        // Nothing leads to whom the node itself asks.
        finds(cluster, "a", "example.com", "SERVFAIL");
    });
}

/// Each node answers for all of the cluster: here one behind a router, for Pods of others.
#[test]
fn names_lead_to_services_and_pods_of_three_machines() {
    isolated(|| descriptions(&Machines::three().cluster, Machines::NODES[2]));
}

/// What conformance describes of names, with the client on this node.
fn descriptions(cluster: &Cluster, node: &str) {
    headless(cluster, "headless", "client");
    let spec = json!({
        "terminationGracePeriodSeconds": 0, "nodeName": node, "hostname": "querier", "subdomain": "headless",
        "containers": [shell("main", &format!("mkdir /tmp/w; echo client > /tmp/w/index.html; httpd -p 8080 -h /tmp/w; {IDLE}"))],
    });
    cluster.run_pod("client", &spec);
    cluster.wait_for("condition=Ready", &["pod/client"]);
    dns_cluster(cluster);
    dns_cluster_etc_hosts(cluster);
    dns_resolve_the_hostname(cluster);
    dns_resolve_the_subdomain(cluster);
    dns_services(cluster);
    dns_pqdn_for_services(cluster);
    dns_for_external_name_services(cluster);
    dns_custom_dns_config(cluster);
    guests_find_services_by_name(cluster);
    pods_of_the_nodes_network_ask_whom_they_are_told_to(cluster);
}

fn headless(cluster: &Cluster, name: &str, app: &str) {
    cluster.apply(&format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  clusterIP: None\n  selector: {{app: {app}}}\n  \
         ports: [{{name: http, port: 8080}}]\n"
    ));
}

fn client_ip(cluster: &Cluster) -> String {
    cluster.kubectl(&["get", "pod", "client", "-o", "jsonpath={.status.podIP}"])
}

/// The client's question of this type has this among its answers.
fn finds(cluster: &Cluster, wanted: &str, name: &str, answer: &str) {
    let script = format!("nslookup -type={wanted} {name} 2>&1; true");
    cluster.exec_until("client", &script, |text| text.contains(answer));
}

/// The client's resolver, which searches for short names, finds that address.
fn resolves(cluster: &Cluster, name: &str, ip: &str) {
    let script = format!("ping -c1 -W1 {name} 2>&1; true");
    cluster.exec_until("client", &script, |text| text.starts_with(&format!("PING {name} ({ip})")));
}

/// [sig-network] DNS should provide DNS for the cluster.
fn dns_cluster(cluster: &Cluster) {
    let ip = cluster.kubectl(&["get", "service", "kubernetes", "-o", "jsonpath={.spec.clusterIP}"]);
    finds(cluster, "a", "kubernetes.default.svc.cluster.local", &format!("Address: {ip}\n"));
    resolves(cluster, "kubernetes.default", &ip);
    let server = cluster.kubectl(&[
        "get",
        "service",
        "-n",
        "kube-system",
        "kube-dns",
        "-o",
        "jsonpath={.spec.clusterIP}",
    ]);
    assert_eq!(server, "10.96.0.10");
    finds(cluster, "a", "nobody.default.svc.cluster.local", "NXDOMAIN");
}

/// [sig-network] DNS should provide /etc/hosts entries for the cluster.
fn dns_cluster_etc_hosts(cluster: &Cluster) {
    let entry = format!("{}\tquerier.headless.default.svc.cluster.local\tquerier\n", client_ip(cluster));
    let hosts = cluster.kubectl(&["exec", "client", "--", "cat", "/etc/hosts"]);
    assert!(hosts.contains(&entry), "{hosts}");
}

/// [sig-network] DNS should provide DNS for pods for Hostname.
fn dns_resolve_the_hostname(cluster: &Cluster) {
    let ip = client_ip(cluster);
    finds(cluster, "a", "querier.headless.default.svc.cluster.local", &format!("Address: {ip}\n"));
    resolves(cluster, "querier", &ip);
    assert_eq!(cluster.kubectl(&["exec", "client", "--", "hostname"]), "querier\n");
}

/// [sig-network] DNS should provide DNS for pods for Subdomain.
fn dns_resolve_the_subdomain(cluster: &Cluster) {
    let ip = client_ip(cluster);
    finds(cluster, "a", "headless.default.svc.cluster.local", &format!("Address: {ip}\n"));
    resolves(cluster, "headless", &ip);
    let pod = format!("{}.default.pod.cluster.local", ip.replace('.', "-"));
    finds(cluster, "a", &pod, &format!("Address: {ip}\n"));
}

/// [sig-network] DNS should provide DNS for services.
fn dns_services(cluster: &Cluster) {
    cluster.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec:\n  selector: {app: client}\n  \
         ports: [{name: http, port: 80, targetPort: 8080}]\n",
    );
    let ip = cluster.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
    finds(cluster, "a", "web.default.svc.cluster.local", &format!("Address: {ip}\n"));
    finds(
        cluster,
        "srv",
        "_http._tcp.web.default.svc.cluster.local",
        "service = 0 100 80 web.default.svc.cluster.local",
    );
    finds(
        cluster,
        "srv",
        "_http._tcp.headless.default.svc.cluster.local",
        "service = 0 100 8080 querier.headless.default.svc.cluster.local",
    );
    for (ip, name) in [(ip, "web.default.svc"), (client_ip(cluster), "querier.headless.default.svc")] {
        let octets: Vec<&str> = ip.rsplit('.').collect();
        let reverse = format!("{}.in-addr.arpa", octets.join("."));
        finds(cluster, "ptr", &reverse, &format!("name = {name}.cluster.local"));
    }
    cluster.exec_until("client", "wget -q -O- http://web/; true", |text| text == "client\n");
}

/// [sig-network] DNS should resolve DNS of partial qualified names for services.
fn dns_pqdn_for_services(cluster: &Cluster) {
    let ip = client_ip(cluster);
    for name in ["headless", "headless.default", "headless.default.svc"] {
        resolves(cluster, name, &ip);
        // As a resolver does that searches for services, too.
        let search = format!(
            "for domain in $(sed -n 's/^search //p' /etc/resolv.conf); do nslookup -type=srv _http._tcp.{name}.$domain; \
             done 2>&1; true"
        );
        let target = "service = 0 100 8080 querier.headless.default.svc.cluster.local";
        cluster.exec_until("client", &search, |text| text.contains(target));
    }
    for name in ["web", "web.default", "web.default.svc"] {
        cluster.exec_until("client", &format!("wget -q -O- http://{name}/; true"), |text| text == "client\n");
    }
}

/// [sig-network] DNS should provide DNS for ExternalName services.
fn dns_for_external_name_services(cluster: &Cluster) {
    cluster.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: outside}\nspec: {type: ExternalName, externalName: foo.example.com}\n",
    );
    let name = "outside.default.svc.cluster.local";
    finds(cluster, "cname", name, "canonical name = foo.example.com");
    cluster.kubectl(&["patch", "service", "outside", "-p", r#"{"spec":{"externalName":"bar.example.com"}}"#]);
    finds(cluster, "cname", name, "canonical name = bar.example.com");
    let spec = r#"{"spec":{"type":"ClusterIP","externalName":"","ports":[{"port":80,"protocol":"TCP"}]}}"#;
    cluster.kubectl(&["patch", "service", "outside", "-p", spec]);
    let ip = cluster.kubectl(&["get", "service", "outside", "-o", "jsonpath={.spec.clusterIP}"]);
    finds(cluster, "a", name, &format!("Address: {ip}\n"));
}

/// [sig-network] DNS should support configurable pod DNS nameservers.
fn dns_custom_dns_config(cluster: &Cluster) {
    let spec = json!({
        "terminationGracePeriodSeconds": 0, "containers": [shell("main", IDLE)], "dnsPolicy": "None",
        "dnsConfig": {"nameservers": ["1.1.1.1"], "searches": ["resolv.conf.local"], "options": [{"name": "ndots", "value": "2"}]},
    });
    cluster.run_pod("custom", &spec);
    cluster.wait_for("condition=Ready", &["pod/custom"]);
    let told = cluster.kubectl(&["exec", "custom", "--", "cat", "/etc/resolv.conf"]);
    assert_eq!(told, "nameserver 1.1.1.1\nsearch resolv.conf.local\noptions ndots:2\n");
}

/// A guest without a network namespace, and one beside an OCI container, ask in process.
fn guests_find_services_by_name(cluster: &Cluster) {
    let guest =
        json!({ "name": "guest", "image": "127.0.0.1:5000/http:v1", "ports": [{ "containerPort": 9090 }] });
    let alone = json!({ "terminationGracePeriodSeconds": 0, "containers": [guest] });
    let mixed = json!({ "terminationGracePeriodSeconds": 0, "containers": [guest, shell("main", IDLE)] });
    for (name, spec) in [("alone", alone), ("mixed", mixed)] {
        cluster.run_pod(name, &spec);
        cluster.wait_for("condition=Ready", &[&format!("pod/{name}")]);
        let ip = cluster.kubectl(&["get", "pod", name, "-o", "jsonpath={.status.podIP}"]);
        for host in ["web.default:80", "querier.headless.default.svc.cluster.local:8080"] {
            let script = format!("wget -q -O- http://{ip}:9090/get/{host}/; true");
            cluster.exec_until("client", &script, |text| text == "client\n");
        }
    }
}

/// With the node's network a Pod asks the node's nameservers, unless it says that it wants the cluster's first.
fn pods_of_the_nodes_network_ask_whom_they_are_told_to(cluster: &Cluster) {
    let script = "cat /etc/resolv.conf; grep -q 10.96 /etc/resolv.conf && nslookup -type=a web.default.svc.cluster.local; true";
    for (name, policy, finds) in
        [("asks-node", "ClusterFirst", false), ("asks-cluster", "ClusterFirstWithHostNet", true)]
    {
        let spec = json!({
            "restartPolicy": "Never", "hostNetwork": true, "dnsPolicy": policy,
            "containers": [shell("main", script)],
        });
        cluster.run_pod(name, &spec);
        assert_eq!(cluster.exit_code(name), 0);
        let output = cluster.kubectl(&["logs", name]);
        assert_eq!(output.contains("nameserver 10.96.0.10\n"), finds, "{output}");
        assert_eq!(output.contains("Name:\tweb.default.svc.cluster.local"), finds, "{output}");
    }
}
