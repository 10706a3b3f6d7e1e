//! What the node's endpoint tells of Pods, and to whom.

use serde_json::{Value, json};
use wherry_tests::pods::{IDLE, shell, with};
use wherry_tests::{Cluster, Options, in_cluster, one_shot, wait};

/// A page of the node, by way of the API server.
fn page(cluster: &Cluster, path: &str) -> String {
    cluster.kubectl(&["get", "--raw", &format!("/api/v1/nodes/node-1/proxy{path}")])
}

/// The value of a sample.
#[track_caller]
fn sample(page: &str, name: &str) -> f64 {
    let line =
        page.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {page}"));
    line.split_whitespace()
        .next()
        .and_then(|value| value.parse().ok())
        .unwrap_or_else(|| panic!("{name}: {page}"))
}

#[test]
fn the_nodes_endpoint_tells_what_pods_use_as_kubelets_does() {
    in_cluster(Options::default(), |cluster| {
        let alive = json!({ "livenessProbe": { "exec": { "command": ["true"] }, "periodSeconds": 1 } });
        let main = with(shell("main", IDLE), alive);
        cluster.run_pod("oci", &json!({ "terminationGracePeriodSeconds": 1, "containers": [main] }));
        cluster.apply(&one_shot("wasm", "hello-wasm:v1", ""));
        cluster.wait_for("condition=Ready", &["pod/oci", "pod/wasm"]);
        resource_metrics(cluster);
        summary(cluster);
        let cadvisor = page(cluster, "/metrics/cadvisor");
        assert!(cadvisor.contains("container_network_receive_bytes_total{container=\"\",id="), "{cadvisor}");
        assert!(
            cadvisor.contains("container_memory_working_set_bytes{container=\"main\",id=\"runc://"),
            "{cadvisor}"
        );
        assert!(cadvisor.contains("machine_cpu_cores{boot_id=\""), "{cadvisor}");
        assert!(cadvisor.contains("container_fs_usage_bytes{container=\"main\",device=\""), "{cadvisor}");
        wait::until("a look of the probe", || {
            let probes = page(cluster, "/metrics/probes");
            let counted = probes.contains("probe_type=\"Liveness\",result=\"successful\"} ");
            if counted { Ok(()) } else { Err(probes) }
        });
        assert!(sample(&page(cluster, "/metrics"), "kubelet_running_pods") >= 2.0);
        let pods: Value = serde_json::from_str(&page(cluster, "/pods")).expect("it is JSON");
        assert_eq!((&pods["kind"], &pods["apiVersion"]), (&json!("PodList"), &json!("v1")));
        assert!(pods["items"].as_array().is_some_and(|items| items.len() >= 2), "{pods:#}");
        let running: Value = serde_json::from_str(&page(cluster, "/runningpods/")).expect("it is JSON");
        let mut names: Vec<_> = running["items"].as_array().expect("there are some").iter().collect();
        names.retain(|pod| {
            pod["spec"]["containers"][0]["name"] == "main" && pod["metadata"]["uid"].is_string()
        });
        assert_eq!((&running["kind"], names.len()), (&json!("PodList"), 2), "{running:#}");
        let settings: Value = serde_json::from_str(&page(cluster, "/configz")).expect("it is JSON");
        assert_eq!(settings["kubeletconfig"]["clusterDomain"], "cluster.local");
        assert_eq!(page(cluster, "/healthz"), "ok");
        access(cluster);
    });
}

fn resource_metrics(cluster: &Cluster) {
    let metrics = page(cluster, "/metrics/resource");
    for pod in ["oci", "wasm"] {
        let labels = format!("{{container=\"main\",namespace=\"default\",pod=\"{pod}\"}}");
        assert!(sample(&metrics, &format!("container_start_time_seconds{labels}")) > 1e9);
        let of_pod = format!("{{namespace=\"default\",pod=\"{pod}\"}}");
        let name = "cpu_usage_seconds_total";
        let (own, all) = (format!("container_{name}{labels}"), format!("pod_{name}{of_pod}"));
        assert!(sample(&metrics, &own) <= sample(&metrics, &all));
    }
    let oci = "{container=\"main\",namespace=\"default\",pod=\"oci\"}";
    assert!(sample(&metrics, &format!("container_cpu_usage_seconds_total{oci}")) > 0.0);
    assert!(sample(&metrics, &format!("container_memory_working_set_bytes{oci}")) > 10_000.0);
    assert!(sample(&metrics, "node_memory_working_set_bytes") > 1e6);
    assert!(metrics.contains("# TYPE node_cpu_usage_seconds_total counter\n"), "{metrics}");
}

fn summary(cluster: &Cluster) {
    let summary: Value = serde_json::from_str(&page(cluster, "/stats/summary")).expect("it is JSON");
    let node = &summary["node"];
    assert_eq!(node["nodeName"], "node-1");
    assert!(
        node["fs"]["capacityBytes"].as_u64() > Some(0) && node["memory"]["availableBytes"].as_u64() > Some(0)
    );
    let parts = node["systemContainers"].as_array().expect("there are parts");
    let has_part = |name: &str| {
        let mut found = parts.iter().filter(|part| part["name"] == name);
        found.any(|part| part["memory"]["workingSetBytes"].as_u64() > Some(0))
    };
    assert!(has_part("kubelet") && has_part("pods"), "{parts:#?}");
    let pods = summary["pods"].as_array().expect("there are pods");
    let pod = |name: &str| pods.iter().find(|pod| pod["podRef"]["name"] == name).expect("it is told of");
    let oci = pod("oci");
    assert!(oci["memory"]["workingSetBytes"].as_u64() > Some(0), "{oci:#}");
    assert!(
        oci["network"]["interfaces"][0]["name"] == "eth0" && oci["network"]["rxBytes"].is_u64(),
        "{oci:#}"
    );
    assert!(oci["containers"][0]["rootfs"]["usedBytes"].is_u64(), "{oci:#}");
    assert!(oci["containers"][0]["rootfs"]["inodesUsed"].as_u64() > Some(0), "{oci:#}");
    assert!(oci["process_stats"]["process_count"].as_u64() > Some(0), "{oci:#}");
    assert!(pod("wasm")["containers"][0]["cpu"]["usageCoreNanoSeconds"].is_u64(), "{:#}", pod("wasm"));
    let again = ["get", "--raw", "/api/v1/nodes/node-1/proxy/stats/summary"];
    cluster.kubectl_until(&again, |summary| summary.contains("usageNanoCores"));
}

/// Who comes without the API server is asked for a token, and may what the API server says.
fn access(cluster: &Cluster) {
    let node = cluster.get(&["node", "node-1"]);
    let port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"].to_string();
    // The node of `wherry up` listens for its own machine alone.
    let server = format!("--server=https://127.0.0.1:{port}");
    let common = ["--kubeconfig=/dev/null", "--insecure-skip-tls-verify", &server];
    let ask = |more: &[&str]| cluster.try_kubectl(&[&common[..], more].concat());
    let error = |output: std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
    let refused = error(ask(&["--token=wrong", "get", "--raw", "/metrics/resource"]));
    assert!(refused.contains("provide credentials"), "{refused}");
    let token = format!("--token={}", cluster.kubectl(&["create", "token", "default"]).trim());
    let get = |path: &str| ask(&[&token, "get", "--raw", path]);
    let refused = error(get("/metrics/resource"));
    let expected = "Forbidden (user=system:serviceaccount:default:default, verb=get, resource=nodes, subresource(s)=[metrics])";
    assert!(refused.contains(expected), "{refused}");
    let role = ["create", "clusterrole", "scraper", "--verb=get", "--resource=nodes/metrics,nodes/pods"];
    cluster.kubectl(&role);
    let binding = ["create", "clusterrolebinding", "scraper", "--clusterrole=scraper"];
    cluster.kubectl(&[&binding[..], &["--serviceaccount=default:default"]].concat());
    for path in ["/metrics/resource", "/pods"] {
        let answer = get(path);
        assert!(answer.status.success(), "{path}: {}", error(answer));
    }
    let refused = error(get("/stats/summary"));
    assert!(refused.contains("subresource(s)=[stats]"), "{refused}");
}
