//! What each way to the same wasm server costs: its Pod, its Service, the Ingress controller for an Ingress and for a Gateway, and nginx in
//! the controller's place.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use wherry_tests::{Cluster, Options, Registry, http, wait};

use super::{count, deploy_hello, figure, load, remark};

const CONNECTIONS: usize = 32;
const INGRESS: &str = "127.0.0.1:7080";
const GATEWAY: &str = "127.0.0.1:7081";
const NGINX: &str = "127.0.0.1:7090";

const ALL_TO_HELLO: &str = "
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: hello-wasm}
spec:
  defaultBackend: {service: {name: hello-wasm, port: {number: 80}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: hello-wasm}
spec:
  gatewayClassName: wherry
  listeners: [{name: http, port: 7081, protocol: HTTP}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: hello-wasm}
spec:
  parentRefs: [{name: hello-wasm}]
  rules: [{backendRefs: [{name: hello-wasm, port: 80}]}]
";

/// Answers a second over 32 connections that are kept, and how long they took. `WHERRY_INGRESS_SECONDS` says for how long each way is asked.
pub(crate) fn figures(dir: &Path) {
    let _registry = Registry::start(dir);
    let cluster = Cluster::start(dir, Options::default());
    let service = deploy_hello(&cluster);
    // One endpoint, so that every way leads to the same server.
    cluster.kubectl(&["scale", "deployment/hello-wasm", "--replicas=1"]);
    let path = "jsonpath={.items[*].status.podIP}";
    let pod = cluster.kubectl_until(&["get", "pods", "-l", "app=hello-wasm", "-o", path], |ips| {
        !ips.is_empty() && !ips.contains(' ')
    });
    cluster.kubectl_until(&["get", "gatewayclass", "wherry"], |row| row.contains("True"));
    cluster.apply(ALL_TO_HELLO);
    let pod = format!("{pod}:8080");
    let nginx = Nginx::start(dir, &pod);
    if nginx.is_none() {
        remark("nginx is not installed (apt-get install nginx-light), so nothing is compared with it");
    }
    let ways = [
        ("pod", pod),
        ("service", format!("{service}:80")),
        ("ingress", INGRESS.to_owned()),
        ("gateway", GATEWAY.to_owned()),
    ];
    let beside = nginx.iter().map(|_| ("nginx", NGINX.to_owned()));
    let time = Duration::from_secs(count("WHERRY_INGRESS_SECONDS", 5).try_into().unwrap());
    for (way, address) in ways.into_iter().chain(beside) {
        let address: SocketAddr = address.parse().unwrap();
        wait::until("an answer", || match http::get(address, "/") {
            Ok(answer) if answer.status == 200 => Ok(()),
            other => Err(format!("{other:?}")),
        });
        let load = load::closed(address, CONNECTIONS, time);
        assert!(load.failed.is_empty(), "{way}: {:?}", load.failed);
        figure(&format!("ingress_{way}_rate"), load.rate(), "requests/s");
        figure(&format!("ingress_{way}_p50"), load.within(500), "ms");
        figure(&format!("ingress_{way}_p99"), load.within(990), "ms");
    }
}

/// Debian's nginx before one endpoint, with connections to it kept as the controller keeps them; ends when it is dropped.
struct Nginx(Child);

impl Nginx {
    fn start(dir: &Path, endpoint: &str) -> Option<Self> {
        let config = dir.join("nginx.conf");
        let text = format!(
            "daemon off; worker_processes auto; pid {pid}; error_log stderr;\n\
             events {{ worker_connections 1024; }}\n\
             http {{\n access_log off;\n upstream hello {{ server {endpoint}; keepalive 128; }}\n\
             server {{ listen {NGINX}; location / {{ proxy_pass http://hello; proxy_http_version 1.1;\n\
             proxy_set_header Connection ''; proxy_set_header Host $host; proxy_set_header X-Real-IP $remote_addr; }} }}\n}}\n",
            pid = dir.join("nginx.pid").display(),
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new("nginx");
        command.arg("-p").arg(dir).arg("-c").arg(&config).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().ok().map(Self)
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // It asks its workers to end, which a kill would not.
        let asked = Command::new("kill").arg(self.0.id().to_string()).status();
        if asked.is_ok_and(|status| status.success()) {
            let _ = self.0.wait();
        }
    }
}
