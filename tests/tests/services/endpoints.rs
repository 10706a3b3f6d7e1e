//! Which endpoints a Service has, as its Pods come and go.

use serde_json::json;
use wherry_tests::pods::shell;
use wherry_tests::{Cluster, wait};

use crate::reach::{is_served, until_answered_by};

/// Waits until the slices of a Service name exactly these addresses and ports.
fn until_endpoints(cluster: &Cluster, service: &str, expected: &[String]) {
    let label = format!("kubernetes.io/service-name={service}");
    wait::until(&format!("endpoints {expected:?} of {service}"), || {
        let slices = cluster.get(&["endpointslices", "-l", &label]);
        let mut found = Vec::new();
        for slice in slices["items"].as_array().into_iter().flatten() {
            for (endpoint, port) in pairs(&slice["endpoints"], &slice["ports"]) {
                found.push(format!(
                    "{}:{}",
                    endpoint["addresses"][0].as_str().unwrap_or_default(),
                    port["port"]
                ));
            }
        }
        found.sort();
        if found == expected { Ok(()) } else { Err(format!("{found:?}")) }
    });
}

fn pairs<'a>(
    left: &'a serde_json::Value,
    right: &'a serde_json::Value,
) -> impl Iterator<Item = (&'a serde_json::Value, &'a serde_json::Value)> {
    let items = |list: &'a serde_json::Value| list.as_array().into_iter().flatten();
    items(left).flat_map(move |left| items(right).map(move |right| (left, right)))
}

/// Starts a Pod that serves on this port, which has a name, and answers with its own; its endpoint.
fn server(cluster: &Cluster, name: &str, app: &str, port: (&str, u16)) -> String {
    let script = format!(
        "mkdir -p /tmp/w/env; hostname | tee /tmp/w/index.html > /tmp/w/env/HOSTNAME; exec httpd -f -p {} -h /tmp/w",
        port.1
    );
    let mut container = shell("main", &script);
    container["ports"] = json!([{ "name": port.0, "containerPort": port.1 }]);
    cluster.apply(
        &json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "labels": { "app": app } },
            "spec": { "terminationGracePeriodSeconds": 0, "containers": [container] },
        })
        .to_string(),
    );
    cluster.wait_for("condition=Ready", &[&format!("pod/{name}")]);
    format!("{}:{}", cluster.kubectl(&["get", "pod", name, "-o", "jsonpath={.status.podIP}"]), port.1)
}

fn sorted(mut list: Vec<String>) -> Vec<String> {
    list.sort();
    list
}

/// [sig-network] Services should serve a basic endpoint from pods.
pub(crate) fn service_endpoints(cluster: &Cluster) {
    cluster.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: basic}\nspec:\n  selector: {app: basic}\n  ports: [{port: 80}]\n",
    );
    until_endpoints(cluster, "basic", &[]);
    let one = server(cluster, "hosts-one", "basic", ("http", 80));
    until_endpoints(cluster, "basic", std::slice::from_ref(&one));
    is_served(cluster, "basic");
    let two = server(cluster, "hosts-two", "basic", ("http", 80));
    until_endpoints(cluster, "basic", &sorted(vec![one.clone(), two.clone()]));
    until_answered_by(cluster, "basic", 2..=2);
    cluster.kubectl(&["delete", "pod", "hosts-one"]);
    until_endpoints(cluster, "basic", &[two]);
    until_answered_by(cluster, "basic", 1..=1);
    cluster.kubectl(&["delete", "pod", "hosts-two"]);
    until_endpoints(cluster, "basic", &[]);
    cluster.exec_until("client", "wget -q -O- http://basic/ 2>&1; true", |text| text.contains("refused"));
}

/// [sig-network] Services should serve multiport endpoints from pods.
pub(crate) fn service_endpoints_with_multiple_ports(cluster: &Cluster) {
    cluster.apply(
        "apiVersion: v1\nkind: Service\nmetadata: {name: multi}\nspec:\n  selector: {app: multi}\n  ports:\n  \
         - {name: first, port: 80, targetPort: first}\n  - {name: second, port: 81, targetPort: second}\n",
    );
    until_endpoints(cluster, "multi", &[]);
    let one = server(cluster, "hosts-one", "multi", ("first", 100));
    until_endpoints(cluster, "multi", std::slice::from_ref(&one));
    let two = server(cluster, "hosts-two", "multi", ("second", 101));
    until_endpoints(cluster, "multi", &sorted(vec![one, two.clone()]));
    for (port, name) in [(80, "hosts-one"), (81, "hosts-two")] {
        let script = format!("wget -q -O- http://multi:{port}/; true");
        cluster.exec_until("client", &script, |text| text.trim() == name);
    }
    cluster.kubectl(&["delete", "pod", "hosts-one"]);
    until_endpoints(cluster, "multi", &[two]);
    cluster.kubectl(&["delete", "pod", "hosts-two"]);
    until_endpoints(cluster, "multi", &[]);
}
