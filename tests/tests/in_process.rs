//! Requests of wasm Pods to wasm Pods of the same node, which are handed over in the agent's process.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use wherry_tests::churn::{self, Server, Size, Target};
use wherry_tests::http::Answer;
use wherry_tests::pods::with;
use wherry_tests::{Cluster, Options, http, in_cluster, wait};

const COUNTED: &str = "wherry_in_process_requests_total ";

/// A wasm server that does what the path says, also ask others.
fn pod(name: &str, app: &str, annotations: &Value) -> String {
    let metadata = json!({ "name": name, "labels": { "app": app }, "annotations": annotations });
    let container = json!({ "name": "main", "image": "127.0.0.1:5000/http:v1", "ports": [{ "containerPort": 8080 }],
        "resources": { "limits": { "memory": "64Mi" } } });
    let spec = json!({ "terminationGracePeriodSeconds": 10, "containers": [container] });
    json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }).to_string()
}

fn service(cluster: &Cluster, name: &str, more: Value) {
    let spec =
        with(json!({ "selector": { "app": "server" }, "ports": [{ "port": 80, "targetPort": 8080 }] }), more);
    let metadata = json!({ "name": name });
    cluster.apply(
        &json!({ "apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec }).to_string(),
    );
}

fn address(cluster: &Cluster, pod: &str) -> SocketAddr {
    let ip = cluster.kubectl(&["get", "pod", pod, "-o", "jsonpath={.status.podIP}"]);
    SocketAddr::new(ip.parse().unwrap(), 8080)
}

/// What a Pod answers that asks others.
fn ask(asker: SocketAddr, path: &str) -> Answer {
    http::get(asker, path).unwrap()
}

/// How many requests the node has handed over.
fn handed(cluster: &Cluster) -> u64 {
    let page = cluster.kubectl(&["get", "--raw", "/api/v1/nodes/node-1/proxy/metrics"]);
    let line = page.lines().find_map(|line| line.strip_prefix(COUNTED));
    line.unwrap_or_else(|| panic!("{page}")).parse().unwrap()
}

/// Asks until the endpoints are as wanted.
fn until_answered(asker: SocketAddr, path: &str, wanted: impl Fn(&Answer) -> bool) {
    wait::until(path, || {
        let answer = ask(asker, path);
        if wanted(&answer) { Ok(()) } else { Err(format!("{answer:?}")) }
    });
}

fn start(cluster: &Cluster) -> SocketAddr {
    for name in ["server-1", "server-2"] {
        cluster.apply(&pod(name, "server", &json!({})));
    }
    for name in ["asker", "another"] {
        cluster.apply(&pod(name, name, &json!({})));
    }
    cluster.apply(&pod("outside", "asker", &json!({ "run.wherry.dev/in-process": "false" })));
    service(cluster, "web", json!({}));
    service(cluster, "sticky", json!({ "sessionAffinity": "ClientIP" }));
    cluster.wait_for("condition=Ready", &["pods", "--all"]);
    let asker = address(cluster, "asker");
    for name in ["web", "sticky"] {
        until_answered(asker, &format!("/get/{name}/"), |answer| answer.status == 200);
    }
    asker
}

/// By whatever a Service or a Pod is called, and only by who wants it so.
fn every_name_leads_there_without_a_connection(cluster: &Cluster, asker: SocketAddr) {
    let ip = cluster.kubectl(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]);
    let pod = address(cluster, "server-1").to_string();
    let names =
        ["web", "web.default", "web.default.svc.cluster.local", "web.default.svc.cluster.local.", &ip, &pod];
    let before = handed(cluster);
    for name in names {
        let answer = ask(asker, &format!("/get/{name}/env/HOSTNAME"));
        assert!(answer.status == 200 && answer.body.starts_with("server-"), "{name}: {answer:?}");
    }
    assert_eq!(handed(cluster), before + names.len() as u64);
    let outside = address(cluster, "outside");
    assert_eq!(ask(outside, "/get/web/").body, "hello");
    assert_eq!(handed(cluster), before + names.len() as u64, "what does not want it goes by the network");
}

fn endpoints_take_turns_unless_a_client_is_to_stay(asker: SocketAddr) {
    let answered_by = |service: &str| -> BTreeSet<String> {
        (0..10).map(|_| ask(asker, &format!("/get/{service}/env/HOSTNAME")).body).collect()
    };
    assert_eq!(answered_by("web").len(), 2);
    assert_eq!(answered_by("sticky").len(), 1);
}

fn bodies_stream_both_ways(cluster: &Cluster, asker: SocketAddr) {
    let before = handed(cluster);
    let answer = ask(asker, "/duplex/300/web/echo");
    assert_eq!(answer.body, "300 chunks there and back, and 0 bytes more");
    assert_eq!(handed(cluster), before + 1);
}

/// The Ingress controller needs no connection to a server of its node, either, whatever policies say.
fn an_ingress_leads_there_without_a_connection(cluster: &Cluster) {
    let door = SocketAddr::from(([127, 0, 0, 1], 7080));
    let policy = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": { "name": "all" },
        "spec": { "podSelector": {}, "policyTypes": ["Ingress"] } });
    let backend = json!({ "service": { "name": "web", "port": { "number": 80 } } });
    let ingress = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "web" },
        "spec": { "defaultBackend": backend } });
    for object in [policy, ingress] {
        cluster.apply(&object.to_string());
    }
    until_answered(door, "/", |answer| answer.status == 200);
    let before = handed(cluster);
    let by: BTreeSet<String> = (0..6).map(|_| ask(door, "/env/HOSTNAME").body).collect();
    assert_eq!(by, ["server-1", "server-2"].map(str::to_owned).into());
    assert_eq!(handed(cluster), before + 6);
    cluster.kubectl(&["delete", "ingress/web", "networkpolicy/all"]);
}

/// Policies of either side hold, in the words of the network: who is denied waits in vain. Connections that were let through stay, so
/// each side has an asker of its own.
fn policies_of_both_sides_hold(cluster: &Cluster) {
    let ingress = json!({ "policyTypes": ["Ingress"] });
    let from_asker = json!([{ "from": [{ "podSelector": { "matchLabels": { "app": "asker" } } }] }]);
    fenced(cluster, "asker", "server", [ingress.clone(), with(ingress, json!({ "ingress": from_asker }))]);
    let egress = json!({ "policyTypes": ["Egress"] });
    let to_server = json!([{ "to": [{ "podSelector": { "matchLabels": { "app": "server" } } }] }]);
    fenced(cluster, "another", "another", [egress.clone(), with(egress, json!({ "egress": to_server }))]);
}

fn fenced(cluster: &Cluster, asker: &str, about: &str, [deny, allow]: [Value; 2]) {
    let asker = address(cluster, asker);
    let policy = |spec: Value| {
        let spec = with(json!({ "podSelector": { "matchLabels": { "app": about } } }), spec);
        let policy = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
            "metadata": { "name": "fence" }, "spec": spec });
        cluster.apply(&policy.to_string());
    };
    let reached = || {
        http::get_within(asker, "/get/web/", Duration::from_secs(1))
            .is_ok_and(|answer| answer.body == "hello")
    };
    policy(deny);
    // Both endpoints.
    wait::until("the policy to hold", || {
        if reached() || reached() { Err("reached".to_owned()) } else { Ok(()) }
    });
    let before = handed(cluster);
    assert!(!reached(), "{about}");
    policy(allow);
    wait::until("the policy to let through", || if reached() { Ok(()) } else { Err("denied".to_owned()) });
    assert!(reached());
    assert_eq!(handed(cluster), before, "{about}: where a policy has a say the network decides");
    cluster.kubectl(&["delete", "networkpolicy", "fence"]);
    wait::until("requests to be handed over", || {
        ask(asker, "/get/web/");
        if handed(cluster) > before { Ok(()) } else { Err("by the network".to_owned()) }
    });
}

/// One that ends by request leaves nobody without an answer, and one that ends at once fails the requests it had and no more.
fn endpoints_end(cluster: &Cluster, asker: SocketAddr) {
    let before = handed(cluster);
    let failed = std::thread::scope(|scope| {
        let ending = scope.spawn(|| cluster.kubectl(&["delete", "pod", "server-2"]));
        let mut failed = Vec::new();
        while !ending.is_finished() {
            failed.extend(Some(ask(asker, "/get/web/")).filter(|answer| answer.status != 200));
        }
        failed
    });
    assert_eq!(failed, []);
    assert!(handed(cluster) > before);

    let only = address(cluster, "server-1").to_string();
    let cut = std::thread::scope(|scope| {
        let slow = scope.spawn(|| ask(asker, &format!("/get/{only}/sleep/9000")));
        // It is over its memory limit, which ends it with all its requests.
        until_answered(asker, "/get/web/", |answer| answer.status == 200);
        let killing = ask(asker, &format!("/get/{only}/alloc/100"));
        assert_ne!(killing.status, 200, "{killing:?}");
        slow.join().unwrap()
    });
    assert!(cut.status == 502 && cut.body.contains("ConnectionTerminated"), "{cut:?}");
    cluster.until_restarted("server-1", 1);
    until_answered(asker, "/get/web/", |answer| answer.status == 200);
}

#[test]
fn wasm_pods_of_a_node_ask_each_other_without_connections() {
    in_cluster(Options::hasty(), |cluster| {
        let asker = start(cluster);
        every_name_leads_there_without_a_connection(cluster, asker);
        endpoints_take_turns_unless_a_client_is_to_stay(asker);
        bodies_stream_both_ways(cluster, asker);
        an_ingress_leads_there_without_a_connection(cluster);
        policies_of_both_sides_hold(cluster);
        endpoints_end(cluster, asker);
    });
}

/// By a connection to the Service, and by a guest whose requests are handed over.
#[test]
fn no_request_goes_to_an_endpoint_that_was_taken_out() {
    in_cluster(Options::default(), |cluster| {
        let names = [1, 2, 3, 4].map(|number| format!("server-{number}"));
        for name in &names {
            cluster.apply(&pod(name, "server", &json!({})));
        }
        cluster.apply(&pod("asker", "asker", &json!({})));
        cluster.wait_for("condition=Ready", &["pods", "--all"]);
        let servers: Vec<Server> =
            names.iter().map(|name| (name.clone(), address(cluster, name).ip().to_string())).collect();
        let service = churn::service(cluster, &servers);
        let asker = address(cluster, "asker");
        let by_guest = format!("/get/{}/env/HOSTNAME", churn::SERVICE);
        until_answered(asker, &by_guest, |answer| answer.status == 200);
        let before = handed(cluster);
        let size = Size { changes: 60, every: Duration::from_millis(100), rate: 150 };
        for target in [
            Target { address: service, path: "/env/HOSTNAME".to_owned() },
            Target { address: asker, path: by_guest },
        ] {
            let report = churn::run(cluster, &target, &servers, size);
            assert_eq!(report.failed, Vec::<String>::new(), "{target:?}");
            assert!(report.asked > 300, "{report:?}");
            assert!(report.stalest <= Duration::from_millis(100), "{target:?}: {report:?}");
        }
        assert!(handed(cluster) >= before + 300);
    });
}
