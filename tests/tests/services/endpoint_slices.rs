//! EndpointSlices that people write.

use wherry_tests::{Cluster, Options, in_cluster};

/// Starts Pods whose web servers answer with the name of their Pod and their port; returns their addresses.
fn servers<const N: usize>(cluster: &Cluster, pods: [(&str, &[u16]); N]) -> [String; N] {
    for (name, ports) in pods {
        let serve = |port: &u16| {
            format!(
                "mkdir -p /tmp/{port}; echo {name}:{port} > /tmp/{port}/index.html; httpd -p {port} -h /tmp/{port}; "
            )
        };
        let serve: String = ports.iter().map(serve).collect();
        cluster.apply(&format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}}}\nspec:\n  terminationGracePeriodSeconds: 0\n  \
             containers:\n  - name: main\n    image: 127.0.0.1:5000/hello-oci:v1\n    \
             command: [sh, -c, \"{serve} exec sleep 1000\"]\n    readinessProbe: {{tcpSocket: {{port: {}}}}}\n",
            ports[ports.len() - 1]
        ));
    }
    pods.map(|(name, _)| {
        cluster.wait_for("condition=Ready", &[&format!("pod/{name}")]);
        cluster.kubectl(&["get", "pod", name, "-o", "jsonpath={.status.podIP}"])
    })
}

/// Makes a Service without a selector, with the ports 80 (`first`) and 81 (`second`); returns its address.
fn service_without_selector(cluster: &Cluster) -> String {
    cluster.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: custom}\nspec:\n  ports:\n  - {name: first, port: 80}\n  \
         - {name: second, port: 81}\n",
    );
    cluster.kubectl(&["get", "service", "custom", "-o", "jsonpath={.spec.clusterIP}"])
}

/// Says that the Service's port of this name leads to this address and port.
fn lead_to(cluster: &Cluster, name: &str, address: &str, port: u16) {
    cluster.apply(&format!(
        "apiVersion: discovery.k8s.io/v1\nkind: EndpointSlice\nmetadata:\n  name: custom-{name}\n  \
         labels: {{kubernetes.io/service-name: custom, endpointslice.kubernetes.io/managed-by: test}}\naddressType: IPv4\n\
         endpoints: [{{addresses: [{address}], conditions: {{ready: true}}}}]\n\
         ports: [{{name: {name}, port: {port}, protocol: TCP}}]\n"
    ));
}

/// A request from the Pod of this name is answered so.
fn answers(cluster: &Cluster, from: &str, url: &str, answer: &str) {
    // What is translated follows what is written by a moment.
    let retry = format!("until wget -q -O- {url}; do sleep 0.1; done");
    let heard = cluster.kubectl(&["exec", from, "--", "timeout", "30", "sh", "-c", &retry]);
    assert_eq!(heard.trim(), answer, "{url}");
}

/// [sig-network] EndpointSlice should support a Service with multiple ports specified in multiple EndpointSlices.
#[test]
fn endpointslice_single_ip_multiple_ports() {
    in_cluster(Options::default(), |cluster| {
        let address = service_without_selector(cluster);
        let [server] = servers(cluster, [("server", &[8090, 8091])]);
        lead_to(cluster, "first", &server, 8090);
        lead_to(cluster, "second", &server, 8091);
        answers(cluster, "server", &format!("http://{address}:80/"), "server:8090");
        answers(cluster, "server", &format!("http://{address}:81/"), "server:8091");
    });
}

/// [sig-network] EndpointSlice should support a Service with multiple endpoint IPs specified in multiple EndpointSlices.
#[test]
fn endpointslice_multiple_ips_multiple_ports() {
    in_cluster(Options::default(), |cluster| {
        let address = service_without_selector(cluster);
        let [one, two] = servers(cluster, [("one", &[8090]), ("two", &[8091])]);
        lead_to(cluster, "first", &one, 8090);
        lead_to(cluster, "second", &two, 8091);
        answers(cluster, "two", &format!("http://{address}:80/"), "one:8090");
        answers(cluster, "one", &format!("http://{address}:81/"), "two:8091");
    });
}
