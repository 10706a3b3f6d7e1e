//! The environment variables that tell a container of the Services around it.
//!
//! They are made once for each Service, when it changes, and shared by all containers: what a Pod's start costs does not depend on how
//! many Services there are.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use futures::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Service, ServicePort};
use kube::runtime::watcher::{self, Event};
use parking_lot::RwLock;
use tokio::sync::SetOnce;
use tracing::warn;
use wherry_runtime_api::{CommonEnv, Variable};

use crate::context::chain;
use crate::services::Replica;

/// The namespace of the API server's Service.
const DEFAULT: &str = "default";
/// Its name.
const KUBERNETES: &str = "kubernetes";
/// The group of its variables, before all others: a Service of a Pod's own namespace wins over it.
const API_SERVER: &str = "";

/// The variables of all Services; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct ServiceVariables(Arc<Shared>);

#[derive(Default)]
struct Shared {
    known: RwLock<Known>,
    complete: SetOnce<()>,
}

#[derive(Default)]
struct Known {
    services: Replica<Arc<[Variable]>>,
    /// The variables of the API server's own Service.
    api_server: CommonEnv,
    /// What Pods of the namespaces that have Services see, those of the API server's with them.
    namespaces: HashMap<String, CommonEnv>,
}

impl ServiceVariables {
    /// Takes note of all events of a watch on Services.
    pub(crate) async fn follow(&self, events: impl Stream<Item = watcher::Result<Event<Service>>>) {
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => self.record(&event),
                Err(error) => warn!(error = %chain(&error), "watch of services broke off"),
            }
        }
    }

    /// Takes note of an event.
    pub(crate) fn record(&self, event: &Event<Service>) {
        let mut known = self.0.known.write();
        known.record(event);
        if known.services.is_complete() {
            // A later list changes nothing of that.
            self.0.complete.set(()).ok();
        }
    }

    /// Waits until all Services there are were seen.
    pub(crate) async fn complete(&self) {
        self.0.complete.wait().await;
    }

    /// The variables of the Services that a pod of `namespace` sees; those of its own namespace only with `links`.
    ///
    /// The API server's own Service, `default/kubernetes`, is always seen.
    pub(crate) fn of(&self, namespace: &str, links: bool) -> CommonEnv {
        let known = self.0.known.read();
        let own = known.namespaces.get(namespace).filter(|_| links);
        own.unwrap_or(&known.api_server).clone()
    }
}

impl Known {
    fn record(&mut self, event: &Event<Service>) {
        for (key, _) in self.services.record(event, of_service) {
            let variables = self.services.get(&key);
            if key.namespace == DEFAULT && key.name == KUBERNETES {
                for seen in std::iter::once(&mut self.api_server).chain(self.namespaces.values_mut()) {
                    change(seen, API_SERVER, variables);
                }
                continue;
            }
            let seen =
                self.namespaces.entry(key.namespace.clone()).or_insert_with(|| self.api_server.clone());
            change(seen, &key.name, variables);
            if *seen == self.api_server {
                self.namespaces.remove(&key.namespace);
            }
        }
    }
}

fn change(seen: &mut CommonEnv, group: &str, variables: Option<&Arc<[Variable]>>) {
    match variables {
        Some(variables) => seen.set(group, variables.clone()),
        None => seen.remove(group),
    }
}

/// What is told of a Service; nothing of one without an address.
fn of_service(service: &Service) -> Option<Arc<[Variable]>> {
    let spec = service.spec.as_ref()?;
    let ip: IpAddr = spec.cluster_ip.as_deref()?.parse().ok()?;
    let ports = spec.ports.as_ref()?;
    let first = ports.first()?;
    let prefix = service.metadata.name.as_deref().unwrap_or_default().to_uppercase().replace('-', "_");
    let mut out = vec![
        (format!("{prefix}_SERVICE_HOST"), ip.to_string()),
        (format!("{prefix}_SERVICE_PORT"), first.port.to_string()),
    ];
    for port in ports {
        if let Some(name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            let name = name.to_uppercase().replace('-', "_");
            out.push((format!("{prefix}_SERVICE_PORT_{name}"), port.port.to_string()));
        }
    }
    out.push((format!("{prefix}_PORT"), url(first, ip)));
    for port in ports {
        out.extend(link(&prefix, port, ip));
    }
    Some(out.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
}

fn protocol(port: &ServicePort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}

fn url(port: &ServicePort, ip: IpAddr) -> String {
    let host = std::net::SocketAddr::new(ip, u16::try_from(port.port).unwrap_or(0));
    format!("{}://{host}", protocol(port).to_lowercase())
}

/// The variables of Docker links: `WEB_PORT_80_TCP` and its parts.
fn link(prefix: &str, port: &ServicePort, ip: IpAddr) -> [(String, String); 4] {
    let base = format!("{prefix}_PORT_{}_{}", port.port, protocol(port).to_uppercase());
    [
        (base.clone(), url(port, ip)),
        (format!("{base}_PROTO"), protocol(port).to_lowercase()),
        (format!("{base}_PORT"), port.port.to_string()),
        (format!("{base}_ADDR"), ip.to_string()),
    ]
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;
    use serde_json::json;

    use super::*;

    fn service(namespace: &str, name: &str, ip: &str) -> Service {
        serde_json::from_value(json!({
            "metadata": { "namespace": namespace, "name": name },
            "spec": { "clusterIP": ip, "ports": [{ "name": "web", "port": 80 }, { "name": "dns-tcp", "port": 53, "protocol": "UDP" }] },
        }))
        .unwrap()
    }

    fn listed(services: impl IntoIterator<Item = Service>) -> ServiceVariables {
        let all = ServiceVariables::default();
        let services = services.into_iter().map(Event::InitApply);
        for event in std::iter::once(Event::Init).chain(services) {
            all.record(&event);
        }
        assert!(all.complete().now_or_never().is_none());
        all.record(&Event::InitDone);
        assert!(all.complete().now_or_never().is_some());
        all
    }

    #[test]
    fn variables_are_those_of_upstream() {
        let all = listed([service("shop", "front-end", "10.96.0.7"), service("other", "x", "10.96.0.8")]);
        let expected = [
            ("FRONT_END_SERVICE_HOST", "10.96.0.7"),
            ("FRONT_END_SERVICE_PORT", "80"),
            ("FRONT_END_SERVICE_PORT_WEB", "80"),
            ("FRONT_END_SERVICE_PORT_DNS_TCP", "53"),
            ("FRONT_END_PORT", "tcp://10.96.0.7:80"),
            ("FRONT_END_PORT_80_TCP", "tcp://10.96.0.7:80"),
            ("FRONT_END_PORT_80_TCP_PROTO", "tcp"),
            ("FRONT_END_PORT_80_TCP_PORT", "80"),
            ("FRONT_END_PORT_80_TCP_ADDR", "10.96.0.7"),
            ("FRONT_END_PORT_53_UDP", "udp://10.96.0.7:53"),
            ("FRONT_END_PORT_53_UDP_PROTO", "udp"),
            ("FRONT_END_PORT_53_UDP_PORT", "53"),
            ("FRONT_END_PORT_53_UDP_ADDR", "10.96.0.7"),
        ];
        let found = all.of("shop", true);
        assert_eq!(found.iter().map(|(name, value)| (&**name, &**value)).collect::<Vec<_>>(), expected);
    }

    /// The names of the Services whose hosts are told.
    fn hosts(all: &ServiceVariables, namespace: &str, links: bool) -> Vec<String> {
        let seen = all.of(namespace, links);
        seen.iter().filter_map(|(name, _)| Some(name.strip_suffix("_SERVICE_HOST")?.to_owned())).collect()
    }

    #[test]
    fn the_api_server_is_seen_without_links_and_headless_services_never() {
        let mut services = [
            service("default", "kubernetes", "10.96.0.1"),
            service("shop", "a", "10.96.0.2"),
            service("shop", "headless", "None"),
        ];
        for _ in 0..services.len() {
            services.rotate_left(1);
            let all = listed(services.clone());
            assert_eq!(hosts(&all, "shop", false), ["KUBERNETES"]);
            assert_eq!(hosts(&all, "shop", true), ["KUBERNETES", "A"]);
            assert_eq!(hosts(&all, "default", true), ["KUBERNETES"]);
            assert_eq!(hosts(&all, "empty", true), ["KUBERNETES"]);
            all.record(&Event::Delete(service("default", "kubernetes", "10.96.0.1")));
            assert_eq!(hosts(&all, "shop", true), ["A"]);
            assert!(hosts(&all, "shop", false).is_empty() && hosts(&all, "default", true).is_empty());
        }
    }

    #[test]
    fn a_service_of_the_pods_namespace_wins_over_the_api_server() {
        let all =
            listed([service("default", "kubernetes", "10.96.0.1"), service("a", "kubernetes", "10.96.0.9")]);
        let host = |namespace| all.of(namespace, true).get("KUBERNETES_SERVICE_HOST").cloned().unwrap();
        assert_eq!((&*host("a"), &*host("b")), ("10.96.0.9", "10.96.0.1"));
    }

    /// What a container was told stays what it was; the next one is told what is true then.
    #[test]
    fn variables_follow_services() {
        let all = listed([service("shop", "a", "10.96.0.2"), service("shop", "b", "10.96.0.3")]);
        let before = all.of("shop", true);
        all.record(&Event::Apply(service("shop", "a", "10.96.0.4")));
        all.record(&Event::Delete(service("shop", "b", "10.96.0.3")));
        let now = all.of("shop", true);
        let host = |seen: &CommonEnv, name| seen.get(name).map(ToString::to_string);
        assert_eq!(host(&before, "A_SERVICE_HOST").as_deref(), Some("10.96.0.2"));
        assert_eq!(host(&now, "A_SERVICE_HOST").as_deref(), Some("10.96.0.4"));
        assert_eq!((host(&before, "B_PORT").is_some(), host(&now, "B_PORT")), (true, None));
        all.record(&Event::Delete(service("shop", "a", "10.96.0.4")));
        assert!(all.of("shop", true).is_empty());
        assert!(all.0.known.read().namespaces.is_empty());
    }
}
