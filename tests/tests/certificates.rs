//! Certificates with real kubectl, and a real agent that comes by its own through them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::{Command, Output};

use base64::Engine as _;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};
use serde_json::{Value, json};
use wherry_tests::{Agent, Cluster, Options, isolated, wait, wherry_binary};

const TOKEN: &str = "abcdef.0123456789abcdef";

/// A cluster without privileges, in a network namespace of its own.
fn in_cluster(test: impl FnOnce(&mut Cluster, &Path) + Send) {
    isolated(|| {
        let dir = tempfile::tempdir().unwrap();
        let flags = ["--network", "loopback"].map(str::to_owned).to_vec();
        let mut cluster = Cluster::start(dir.path(), Options { flags, ..Options::default() });
        test(&mut cluster, dir.path());
    });
}

/// The manifest of a wish for a client certificate.
fn request(name: &str, user: &str, key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, user);
    params.distinguished_name.push(DnType::OrganizationName, "dev");
    let pem = params.serialize_request(key).unwrap().pem().unwrap();
    let request = base64::engine::general_purpose::STANDARD.encode(pem);
    let signer = "kubernetes.io/kube-apiserver-client";
    let spec = json!({"request": request, "signerName": signer, "usages": ["client auth"]});
    json!({"apiVersion": "certificates.k8s.io/v1", "kind": "CertificateSigningRequest",
        "metadata": {"name": name}, "spec": spec})
    .to_string()
}

/// The last column of `kubectl get csr`.
fn condition(cluster: &Cluster, name: &str, wanted: &str) {
    let row =
        cluster.kubectl_until(&["get", "csr", name, "--no-headers"], |row| row.trim().ends_with(wanted));
    assert!(row.starts_with(name), "{row}");
}

#[test]
fn kubectl_approves_and_denies_and_what_is_issued_lets_in() {
    in_cluster(|cluster, dir| {
        let key = KeyPair::generate().unwrap();
        cluster.apply(&request("ann", "ann", &key));
        cluster.apply(&request("bob", "bob", &key));
        condition(cluster, "ann", "Pending");
        let told =
            |name: &str, how: &str| format!("certificatesigningrequest.certificates.k8s.io/{name} {how}\n");
        assert_eq!(cluster.kubectl(&["certificate", "approve", "ann"]), told("ann", "approved"));
        assert_eq!(cluster.kubectl(&["certificate", "deny", "bob"]), told("bob", "denied"));
        condition(cluster, "ann", "Approved,Issued");
        condition(cluster, "bob", "Denied");

        let issued = cluster.kubectl(&["get", "csr", "ann", "-o", "jsonpath={.status.certificate}"]);
        let certificate = base64::engine::general_purpose::STANDARD.decode(issued).unwrap();
        let (cert_path, key_path) = (dir.join("ann.crt"), dir.join("ann.key"));
        std::fs::write(&cert_path, certificate).unwrap();
        std::fs::write(&key_path, key.serialize_pem()).unwrap();
        let file = |flag: &str, path: &Path| format!("--{flag}={}", path.display());
        let (cert, key) = (file("client-certificate", &cert_path), file("client-key", &key_path));
        cluster.kubectl(&["config", "set-credentials", "ann", &cert, &key]);
        let whoami = cluster.kubectl(&["--user", "ann", "auth", "whoami", "-o", "json"]);
        let whoami: Value = serde_json::from_str(&whoami).unwrap();
        assert_eq!(whoami["status"]["userInfo"]["username"], "ann");
        assert_eq!(whoami["status"]["userInfo"]["groups"], json!(["dev", "system:authenticated"]));
    });
}

/// The requests of one signer, each with its condition.
fn requests(cluster: &Cluster, signer: &str) -> Vec<(String, String)> {
    let listed = cluster.get(&["csr"]);
    let all = listed["items"].as_array().unwrap().iter();
    let of = all.filter(|request| request["spec"]["signerName"] == signer);
    of.map(|request| {
        let condition = request["status"]["conditions"][0]["type"].as_str().unwrap_or("Pending");
        (request["metadata"]["name"].as_str().unwrap().to_owned(), condition.to_owned())
    })
    .collect()
}

#[test]
fn an_agent_joins_with_a_token_and_serves_when_its_certificate_is_approved() {
    in_cluster(|cluster, dir| {
        let data = json!({"token-id": "abcdef", "token-secret": "0123456789abcdef",
            "usage-bootstrap-authentication": "true"});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
            "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"}, "stringData": data});
        cluster.apply(&secret.to_string());
        let mut agent = Agent::start(&dir.join("node-2"), cluster, "node-2", TOKEN);
        cluster.wait_for("condition=Ready", &["node/node-2"]);
        // The first part of the range is that of the cluster's own node.
        assert_eq!(cluster.get(&["node", "node-2"])["spec"]["podCIDRs"], json!(["127.244.1.0/24"]));
        assert!(agent.log().contains("waiting for the control plane to give this node its Pod addresses"));
        let asked = requests(cluster, "kubernetes.io/kube-apiserver-client-kubelet");
        assert_eq!(asked.iter().map(|(_, condition)| condition.as_str()).collect::<Vec<_>>(), ["Approved"]);
        let by = cluster.get(&["csr", &asked[0].0])["spec"]["username"].clone();
        assert_eq!(by, "system:bootstrap:abcdef");

        // The API server does not believe a node whose certificate nobody approved.
        let path = ["get", "--raw", "/api/v1/nodes/node-2/proxy/none"];
        let pending = wait::until("a request for a serving certificate", || {
            requests(cluster, "kubernetes.io/kubelet-serving").pop().ok_or_else(|| agent.log())
        });
        assert_eq!(pending.1, "Pending");
        let told = cluster.kubectl_fails(&path);
        assert!(!told.contains("NotFound"), "{told}");
        cluster.kubectl(&["certificate", "approve", &pending.0]);
        wait::until("the node's endpoint", || {
            let told = String::from_utf8_lossy(&cluster.try_kubectl(&path).stderr).into_owned();
            if told.contains("NotFound") { Ok(()) } else { Err(told) }
        });

        // Whoever has joined needs no token any more.
        assert!(agent.terminate());
        cluster.kubectl(&["delete", "secret", "-n", "kube-system", "bootstrap-token-abcdef"]);
        agent.launch();
        assert_eq!(requests(cluster, "kubernetes.io/kube-apiserver-client-kubelet").len(), 1);
        assert_eq!(requests(cluster, "kubernetes.io/kubelet-serving").len(), 1);
        drop(agent);
        cluster.kubectl(&["delete", "node", "node-2"]);
    });
}

fn certificate(cluster: &Cluster, args: &[&str]) -> Output {
    let mut command = Command::new(wherry_binary());
    command.arg("certificate").args(args).arg("--data-dir").arg(cluster.data_dir()).output().unwrap()
}

#[test]
fn certificates_are_shown_and_rotated_with_the_authority() {
    in_cluster(|cluster, _| {
        let shown = certificate(cluster, &["check"]);
        let table = String::from_utf8(shown.stdout).unwrap();
        let files: Vec<_> = table.lines().skip(1).filter_map(|line| line.split(' ').next()).collect();
        let expected = [
            "admin.crt",
            "ca.crt",
            "front-proxy-client.crt",
            "node-client.crt",
            "node-server.crt",
            "server.crt",
        ];
        assert_eq!(files, expected, "{table}");
        assert!(table.lines().skip(1).all(|line| line.ends_with("OK")), "{table}");

        let kubeconfig = std::fs::read_to_string(cluster.kubeconfig()).unwrap();
        assert!(cluster.terminate());
        assert!(certificate(cluster, &["rotate", "--ca"]).status.success());
        cluster.launch();
        assert_ne!(std::fs::read_to_string(cluster.kubeconfig()).unwrap(), kubeconfig);
        cluster.wait_for("condition=Ready", &["node/node-1"]);
        // Whoever has the kubeconfig of before still gets in.
        let old = cluster.data_dir().join("before");
        std::fs::write(&old, kubeconfig).unwrap();
        let old = format!("--kubeconfig={}", old.display());
        assert_eq!(cluster.kubectl(&[&old, "get", "nodes", "-o", "name"]), "node/node-1\n");
    });
}
