//! The built-in Ingress controller: one Ingress before servers of both kinds, with TLS, while certificates change and endpoints die.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use wherry_tests::pods::{shell, with};
use wherry_tests::{Cluster, Options, http, in_cluster, wait};

const HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7080);
const HTTPS: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7443);

#[test]
fn one_ingress_leads_to_servers_of_both_kinds() {
    in_cluster(Options::default(), |cluster| {
        for object in servers() {
            cluster.apply(&object.to_string());
        }
        let certificate = publish_certificate(cluster);
        cluster.apply(&ingress().to_string());
        the_class_is_the_default_one(cluster);
        is_answered("a.example", "/wasm/", "no such path");
        is_answered("wasm.example", "/", "hello");
        both_containers_answer();
        assert_eq!(http::get_of(HTTP, "nobody.invalid", "/").unwrap().status, 404);
        the_ingress_says_where_it_is_served(cluster);
        owners_are_told_what_is_not_served(cluster);
        certificates_change_while_it_serves(cluster, &certificate);
        nothing_fails_while_endpoints_go(cluster);
        requests_are_counted(cluster);
    });
}

/// Two Pods of busybox whose server answers with its name, and one of wasm; a Service of each.
fn servers() -> [Value; 4] {
    let script = "mkdir /tmp/w; hostname > /tmp/w/index.html; exec httpd -f -p 8080 -h /tmp/w";
    let probe = json!({ "tcpSocket": { "port": 8080 }, "periodSeconds": 1 });
    let oci = with(shell("main", script), json!({ "readinessProbe": probe }));
    let wasm =
        json!({ "name": "main", "image": "127.0.0.1:5000/http:v1", "ports": [{ "containerPort": 8080 }] });
    let [deployed, service] = server("oci", 2, &oci);
    let [deployed_wasm, service_wasm] = server("wasm", 1, &wasm);
    [deployed, service, deployed_wasm, service_wasm]
}

fn server(name: &str, replicas: u32, container: &Value) -> [Value; 2] {
    let labels = json!({ "app": name });
    let spec = json!({ "terminationGracePeriodSeconds": 1, "containers": [container] });
    let deployment = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": replicas, "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": spec },
        },
    });
    let ports = json!([{ "name": "web", "port": 80, "targetPort": 8080 }]);
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": { "selector": labels, "ports": ports },
    });
    [deployment, service]
}

/// It names no class.
fn ingress() -> Value {
    let path = |path: &str, service: &str, port: Value| {
        let backend = json!({ "service": { "name": service, "port": port } });
        json!({ "path": path, "pathType": "Prefix", "backend": backend })
    };
    let a =
        json!([path("/", "oci", json!({ "name": "web" })), path("/wasm", "wasm", json!({ "number": 80 }))]);
    let wild = json!([path("/", "wasm", json!({ "number": 80 }))]);
    json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "both" },
        "spec": {
            "tls": [{ "hosts": ["a.example"], "secretName": "tls" }],
            "rules": [{ "host": "a.example", "http": { "paths": a } }, { "host": "*.example", "http": { "paths": wild } }],
        },
    })
}

fn is_answered(host: &str, path: &str, expected: &str) {
    wait::until(&format!("{host}{path}"), || match http::get_of(HTTP, host, path) {
        Ok(answer) if answer.body.contains(expected) => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

fn the_class_is_the_default_one(cluster: &Cluster) {
    let class = cluster.kubectl(&["get", "ingress", "both", "-o", "jsonpath={.spec.ingressClassName}"]);
    assert_eq!(class, "wherry");
}

fn both_containers_answer() {
    wait::until("both to have answered", || {
        let names: BTreeSet<String> =
            (0..6).filter_map(|_| Some(http::get_of(HTTP, "a.example", "/").ok()?.body)).collect();
        if names.iter().filter(|name| name.starts_with("oci-")).count() == 2 {
            Ok(())
        } else {
            Err(format!("{names:?}"))
        }
    });
}

fn the_ingress_says_where_it_is_served(cluster: &Cluster) {
    let path = "jsonpath={.status.loadBalancer.ingress[*]}";
    let told = cluster.kubectl_until(&["get", "ingress", "both", "-o", path], |text| !text.is_empty());
    let told: Value = serde_json::from_str(&told).unwrap();
    let port = |port: u16| json!({ "port": port, "protocol": "TCP" });
    assert_eq!(told, json!({ "ip": "127.0.0.1", "ports": [port(7080), port(7443)] }));
}

/// What leads nowhere is answered with 503, and said in events of the Ingress; what is well is not.
fn owners_are_told_what_is_not_served(cluster: &Cluster) {
    let elsewhere =
        json!({ "type": "ExternalName", "externalName": "localhost", "ports": [{ "port": 7080 }] });
    let elsewhere = json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": "elsewhere" }, "spec": elsewhere });
    let path = |path: &str, name: &str, port: u16| {
        json!({ "path": path, "pathType": "Prefix",
            "backend": { "service": { "name": name, "port": { "number": port } } } })
    };
    let paths = [
        path("/nobody", "nobody", 80),
        path("/elsewhere", "elsewhere", 7080),
        path("/port", "oci", 81),
        path("/well", "oci", 80),
    ];
    let wrong = json!({ "apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": { "name": "wrong" },
        "spec": { "rules": [{ "host": "wrong.example", "http": { "paths": paths } }],
            "tls": [{ "secretName": "missing", "hosts": ["wrong.example"] }] } });
    cluster.apply(&elsewhere.to_string());
    cluster.apply(&wrong.to_string());
    let of = "involvedObject.kind=Ingress,involvedObject.name=";
    let expected = [
        "BackendNotFound there is no Service default/nobody",
        "BackendNotFound Service default/oci has no TCP port 81",
        "CertificateNotFound there is no Secret default/missing of type kubernetes.io/tls",
        "UnsupportedBackend Service default/elsewhere is of type ExternalName, which is not followed",
    ];
    let told = "jsonpath={range .items[*]}{.reason} {.message}{\"\\n\"}{end}";
    cluster.kubectl_until(
        &["get", "events", "--field-selector", &format!("{of}wrong,type=Warning"), "-o", told],
        |text| text.lines().collect::<BTreeSet<_>>() == BTreeSet::from(expected),
    );
    for path in ["/nobody", "/elsewhere", "/port"] {
        assert_eq!(http::get_of(HTTP, "wrong.example", path).unwrap().status, 503, "{path}");
    }
    let well = cluster.get(&["events", "--field-selector", &format!("{of}both")]);
    assert_eq!(well["items"], json!([]));
}

/// Puts a new certificate into the Secret that the Ingress names.
fn publish_certificate(cluster: &Cluster) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    let (chain, key) = (STANDARD.encode(made.cert.pem()), STANDARD.encode(made.signing_key.serialize_pem()));
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": { "name": "tls" }, "type": "kubernetes.io/tls",
        "data": { "tls.crt": chain, "tls.key": key },
    });
    cluster.apply(&secret.to_string());
    made.cert.der().clone()
}

fn certificates_change_while_it_serves(cluster: &Cluster, first: &CertificateDer<'static>) {
    trusted(first);
    let second = publish_certificate(cluster);
    trusted(&second);
    assert!(get_by_https(first).is_err(), "the certificate of before is not shown any more");
}

/// Waits until a client that trusts this certificate alone is answered.
fn trusted(certificate: &CertificateDer<'static>) {
    wait::until("a trusted answer", || match get_by_https(certificate) {
        Ok(answer) if answer.starts_with("HTTP/1.1 200") => Ok(()),
        other => Err(format!("{other:?}")),
    });
}

fn get_by_https(certificate: &CertificateDer<'static>) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let connector = tokio_rustls::TlsConnector::from(Arc::new(
        config.with_root_certificates(roots).with_no_client_auth(),
    ));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::connect(HTTPS).await?;
        let mut stream = connector.connect(ServerName::try_from("a.example").unwrap(), stream).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\n\r\n").await?;
        let mut answer = Vec::new();
        // Whoever answers ends the connection in its own way.
        let _ = stream.read_to_end(&mut answer).await;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    })
}

/// Requests go on while both Pods are replaced, and while another is killed without a word.
fn nothing_fails_while_endpoints_go(cluster: &Cluster) {
    std::thread::scope(|scope| {
        // Dropped, also by a panic, it ends those who ask.
        let (asking, stop) = mpsc::channel::<()>();
        let asked = scope.spawn(move || ask_until(&stop));
        let rolled_out = || cluster.kubectl(&["rollout", "status", "deployment/oci", "--timeout=90s"]);
        cluster.kubectl(&["rollout", "restart", "deployment/oci"]);
        rolled_out();
        let path = "jsonpath={.items[*].metadata.name}";
        let pods = cluster.kubectl(&["get", "pods", "-l", "app=oci", "-o", path]);
        let first = pods.split(' ').next().unwrap();
        cluster.kubectl(&["delete", "pod", first, "--force", "--grace-period=0"]);
        rolled_out();
        drop(asking);
        let count = asked.join().unwrap();
        assert!(count > 20, "{count} requests are too few to say anything");
    });
}

/// Asks until there is nobody who wants it; how often.
fn ask_until(stop: &mpsc::Receiver<()>) -> u32 {
    let mut count = 0;
    // Each request takes a port of the client's for a minute, so they are not made as fast as they can be.
    while stop.recv_timeout(Duration::from_millis(2)) == Err(RecvTimeoutError::Timeout) {
        let answer = http::get_of(HTTP, "a.example", "/").unwrap();
        assert!(answer.status == 200 && answer.body.starts_with("oci-"), "{answer:?} after {count}");
        count += 1;
    }
    count
}

fn requests_are_counted(cluster: &Cluster) {
    let metrics = cluster.kubectl(&["get", "--raw", "/api/v1/nodes/node-1/proxy/metrics"]);
    let line = |start: &str| metrics.lines().find(|line| line.starts_with(start)).map(str::to_owned);
    let count =
        line("wherry_ingress_requests_total{code=\"200\",rule=\"default/both\"} ").expect("it is counted");
    assert!(count.rsplit(' ').next().unwrap().parse::<u32>().unwrap() > 20, "{count}");
    assert!(line("wherry_ingress_requests_total{code=\"404\",rule=\"\"} 1").is_some(), "{metrics}");
}
