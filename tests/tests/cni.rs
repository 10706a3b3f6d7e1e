//! Pods that plugins of the Container Network Interface connect: Debian's (containernetworking-plugins), in a network of the test's own.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use wherry_tests::pods::{shell, with};
use wherry_tests::{Cluster, Link, Options, Registry, http, isolated, wait};

const HOST_PORT: u16 = 54399;
const SERVER: &str = "mkdir /tmp/w; hostname > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w";

fn ip(arguments: &str) -> String {
    let output = Command::new("ip").args(arguments.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Where the operator of the test's machine has what is about its network.
struct Operator {
    dir: PathBuf,
}

impl Operator {
    fn leases(&self) -> PathBuf {
        self.dir.join("leases")
    }

    fn conf(&self) -> PathBuf {
        self.dir.join("net.d/10-pods.conflist")
    }

    /// A route to each Pod, ports and rates.
    fn configure(&self) {
        let ipam = json!({ "type": "host-local", "dataDir": self.leases(), "routes": [{ "dst": "0.0.0.0/0" }],
            "ranges": [[{ "subnet": "10.244.0.0/24" }], [{ "subnet": "fd00:244::/64" }]] });
        self.configure_as(&json!([
            { "type": "ptp", "ipam": ipam },
            { "type": "portmap", "capabilities": { "portMappings": true } },
            { "type": "bandwidth", "capabilities": { "bandwidth": true } },
        ]));
    }

    fn configure_as(&self, plugins: &Value) {
        let list = json!({ "cniVersion": "1.0.0", "name": "pods", "plugins": plugins });
        fs::create_dir_all(self.conf().parent().unwrap()).unwrap();
        // As a whole, as installers do it.
        let next = self.dir.join("next");
        fs::write(&next, list.to_string()).unwrap();
        fs::rename(next, self.conf()).unwrap();
    }

    /// The addresses that the plugins hold for Pods.
    fn held(&self) -> Vec<String> {
        let entries = fs::read_dir(self.leases().join("pods")).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        names.filter(|name| name.starts_with("10.") || name.starts_with("fd00")).collect()
    }
}

/// Runs a test with a cluster on a machine with a network beside it.
fn with_plugins(test: impl FnOnce(&mut Cluster, &Operator) + Send) {
    isolated(|| {
        // The node's own network.
        Link::new("outside", "192.0.2").is_default();
        let dir = tempfile::Builder::new().permissions(Permissions::from_mode(0o711)).tempdir().unwrap();
        let operator = Operator { dir: dir.path().to_owned() };
        operator.configure();
        let _registry = Registry::start(dir.path());
        let conf = operator.conf().parent().unwrap().display().to_string();
        let flags =
            ["--cni-conf-dir", &conf, "--cni-bin-dir", &format!("{},/usr/lib/cni", dir.path().display())];
        let flags = flags.map(str::to_owned).to_vec();
        let mut cluster = Cluster::start(dir.path(), Options { flags, ..Options::default() });
        test(&mut cluster, &operator);
    });
}

fn pod(container: &Value) -> Value {
    json!({ "terminationGracePeriodSeconds": 1, "containers": [container] })
}

fn ips(cluster: &Cluster, pod: &str) -> Vec<String> {
    let path = "jsonpath={.status.podIPs[*].ip}";
    cluster.kubectl(&["get", "pod", pod, "-o", path]).split(' ').map(str::to_owned).collect()
}

fn restarts(cluster: &Cluster) -> String {
    cluster.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].status.containerStatuses[*].restartCount}"])
}

/// Waits until the server of this name answers the node.
fn until_answered(name: &str, address: &str) {
    let address: SocketAddr = address.parse().unwrap();
    wait::until(&format!("answer at {address}"), || {
        let answer = http::get(address, "/").map(|answer| format!("{answer:?}"));
        match answer {
            Ok(text) if text.contains(name) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
}

/// What policies say is for the plugins to know, so no request may pass them by. It was handed over, as where there are no policies.
fn guests_ask_each_other_by_the_network(cluster: &Cluster, server: SocketAddr) {
    let asker = SocketAddr::new(ips(cluster, "asker")[0].parse().unwrap(), 8080);
    let answer = http::get(asker, &format!("/get/{server}/env/HOSTNAME")).unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "wasm"));
    let page = cluster.kubectl(&["get", "--raw", "/api/v1/nodes/node-1/proxy/metrics"]);
    assert!(page.lines().any(|line| line == "wherry_in_process_requests_total 0"), "{page}");
}

#[test]
fn plugins_connect_pods_of_both_kinds_and_all_of_it_goes_with_them() {
    with_plugins(|cluster, operator| {
        let ports = json!([{ "containerPort": 8080, "hostPort": HOST_PORT }]);
        cluster.run_pod("oci", &pod(&with(shell("main", SERVER), json!({ "ports": ports }))));
        let limits = json!({ "limits": { "memory": "64Mi" } });
        let wasm = json!({ "name": "main", "image": "127.0.0.1:5000/http:v1", "ports": [{ "containerPort": 8080 }], "resources": limits });
        cluster.run_pod("wasm", &pod(&wasm));
        cluster.run_pod("asker", &pod(&wasm));
        cluster.kubectl(&["expose", "pod", "oci", "--port", "80", "--target-port", "8080"]);
        cluster.wait_for("condition=Ready", &["pods", "--all"]);
        let found = ["oci", "wasm", "asker"].map(|name| ips(cluster, name));
        for ips in &found {
            assert!(
                ips.len() == 2 && ips[0].starts_with("10.244.0.") && ips[1].starts_with("fd00:244:"),
                "{found:?}"
            );
        }
        let mut expected = found.concat();
        let mut held = operator.held();
        expected.sort();
        held.sort();
        assert_eq!(held, expected);
        assert_eq!(
            cluster
                .kubectl(&["exec", "oci", "--", "ip", "address", "show", "lo"])
                .matches("127.0.0.1/8")
                .count(),
            1
        );
        until_answered("oci", &format!("{}:8080", found[0][0]));
        until_answered("oci", &format!("192.0.2.1:{HOST_PORT}"));
        let service = cluster.kubectl(&["get", "service", "oci", "-o", "jsonpath={.spec.clusterIP}"]);
        cluster.exec_until("oci", &format!("wget -q -O- http://{service}/; true"), |said| said == "oci\n");
        let wasm: SocketAddr = format!("{}:8080", found[1][0]).parse().unwrap();
        assert_eq!(http::get(wasm, "/log/x").map(|answer| answer.body).unwrap(), "logged");
        guests_ask_each_other_by_the_network(cluster, wasm);

        // The next agent finds them as they are, and undoes what this one did.
        cluster.kill();
        cluster.launch();
        cluster.wait_for("condition=Ready", &["pods", "--all"]);
        assert_eq!(["oci", "wasm"].map(|name| ips(cluster, name))[0], found[0]);
        assert_eq!(
            cluster.kubectl(&[
                "get",
                "pod",
                "oci",
                "-o",
                "jsonpath={.status.containerStatuses[0].restartCount}"
            ]),
            "0"
        );
        until_answered("oci", &format!("192.0.2.1:{HOST_PORT}"));
        cluster.kubectl(&["delete", "pods", "--all"]);
        assert_eq!(cluster.left_behind(), [""; 0]);
        wait::until("addresses given back", || {
            let held = operator.held();
            if held.is_empty() { Ok(()) } else { Err(held.join(" ")) }
        });
        assert!(!ip("link show type veth").contains("veth"), "a link is left");
    });
}

#[test]
fn a_failure_of_a_plugin_is_told_and_undone_and_without_plugins_no_node_is_ready() {
    with_plugins(|cluster, operator| {
        let refuses = "#!/bin/sh\n[ \"$CNI_COMMAND\" != ADD ] || { echo '{\"code\": 107, \"msg\": \"out of luck\"}'; exit 1; }\n";
        write_plugin(&operator.dir, refuses);
        let ipam = json!({ "type": "host-local", "dataDir": operator.leases(), "subnet": "10.244.0.0/24" });
        operator.configure_as(&json!([{ "type": "ptp", "ipam": ipam }, { "type": "refuses" }]));
        cluster.run_pod("late", &pod(&shell("main", SERVER)));
        let told = "plugin type=\"refuses\" failed (ADD): out of luck";
        cluster.until_told("reason=FailedCreatePodSandBox", |messages| messages.contains(told));
        assert_eq!(operator.held(), [""; 0]);

        fs::remove_file(operator.conf()).unwrap();
        cluster.wait_for("condition=Ready=false", &["node/node-1"]);
        let path = "jsonpath={.status.conditions[?(@.type=='Ready')].message}";
        let message = cluster.kubectl(&["get", "node", "node-1", "-o", path]);
        assert!(
            message.contains("NetworkPluginNotReady") && message.contains("cni plugin not initialized"),
            "{message}"
        );
        operator.configure();
        cluster.wait_for("condition=Ready", &["node/node-1", "pod/late"]);
        assert_eq!(restarts(cluster), "0");
    });
}

fn write_plugin(dir: &Path, text: &str) {
    let path = dir.join("refuses");
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
}
