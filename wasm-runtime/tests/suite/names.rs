//! Hosts by their names: as the pod is told, not as the process would find them.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use wherry_runtime_api::logs::Stream;
use wherry_runtime_api::{ContainerSpec, DnsConfig, ExitReason};
use wherry_wasm_runtime::Names;

use crate::support::{Exited, Node, address, get, log, pod_ip, strings};

/// Knows `web` in the first domain that is searched.
struct Known;

#[async_trait]
impl Names for Known {
    async fn addresses(&self, name: &str, dns: &DnsConfig) -> io::Result<Vec<IpAddr>> {
        // The answer comes later than the question.
        tokio::task::yield_now().await;
        match (name, dns.searches.first().map(String::as_str)) {
            ("web", Some("shop")) => Ok(vec![pod_ip(1), "192.0.2.7".parse().unwrap()]),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}

fn node() -> Node {
    Node::with(|config| config.names = Arc::new(Known))
}

fn of_shop(mut spec: ContainerSpec) -> ContainerSpec {
    spec.sandbox.dns.searches = strings(&["shop"]);
    spec
}

#[tokio::test]
async fn a_lookup_finds_all_addresses_of_a_name() {
    let node = node();
    let spec = of_shop(node.container("finds", "cli-p2"));
    let spec = ContainerSpec { args: Some(strings(&["resolve", "web", "resolve", "192.0.2.9"])), ..spec };
    assert_eq!(node.run(&spec).await.code, 0);
    assert_eq!(log(&spec, Stream::Stdout), [format!("{} 192.0.2.7", pod_ip(1)), "192.0.2.9".to_owned()]);
}

#[tokio::test]
async fn a_name_that_is_not_there_fails_the_lookup() {
    let node = node();
    let spec = node.container("misses", "cli-p2");
    let spec = ContainerSpec { args: Some(strings(&["resolve", "web"])), ..spec };
    let failed = Exited { code: 1, reason: ExitReason::Error, message: String::new() };
    assert_eq!(node.run(&spec).await, failed);
    assert!(log(&spec, Stream::Stderr)[0].starts_with("resolve: "));
}

#[tokio::test]
async fn requests_go_to_the_address_of_the_name() {
    let node = node();
    let mut server = node.container("server", "http");
    server.sandbox.ip = pod_ip(1);
    let client = of_shop(node.container("client", "http"));
    for spec in [&server, &client] {
        node.start(spec).await.unwrap();
    }
    assert_eq!(get(address(&client), "/get/web:8080/env/HOSTNAME").await, (200, "host-server".to_owned()));
    assert_ne!(get(address(&client), "/get/other:8080/").await.0, 200);
}
