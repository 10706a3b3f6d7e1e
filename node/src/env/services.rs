//! The environment variables that tell a container of the Services around it.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Service, ServicePort};

/// Variables of the Services a pod of `namespace` sees; those of its own namespace only with `links`.
///
/// The API server's own Service, `default/kubernetes`, is always seen.
pub(crate) fn variables<'a>(
    services: impl IntoIterator<Item = &'a Service>,
    namespace: &str,
    links: bool,
) -> Vec<(String, String)> {
    let mut seen: Vec<&Service> = services
        .into_iter()
        .filter(|service| {
            let own = links && service.metadata.namespace.as_deref() == Some(namespace);
            own || is_api_server(service)
        })
        .collect();
    // A Service of the pod's own namespace comes last and wins over the API server's of the same name.
    seen.sort_by_cached_key(|service| (!is_api_server(service), service.metadata.name.clone()));
    seen.into_iter().flat_map(of_service).collect()
}

fn is_api_server(service: &Service) -> bool {
    service.metadata.namespace.as_deref() == Some("default")
        && service.metadata.name.as_deref() == Some("kubernetes")
}

fn of_service(service: &Service) -> Vec<(String, String)> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let ip: Option<IpAddr> = spec.cluster_ip.as_deref().and_then(|ip| ip.parse().ok());
    let (Some(ip), Some(ports)) = (ip, spec.ports.as_ref()) else { return Vec::new() };
    let Some(first) = ports.first() else { return Vec::new() };
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
    out
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
    use serde_json::json;

    use super::*;

    fn service(namespace: &str, name: &str, ip: &str) -> Service {
        serde_json::from_value(json!({
            "metadata": { "namespace": namespace, "name": name },
            "spec": { "clusterIP": ip, "ports": [{ "name": "web", "port": 80 }, { "name": "dns-tcp", "port": 53, "protocol": "UDP" }] },
        }))
        .unwrap()
    }

    #[test]
    fn variables_are_those_of_upstream() {
        let services = [service("shop", "front-end", "10.96.0.7"), service("other", "x", "10.96.0.8")];
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
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(variables(&services, "shop", true), expected);
    }

    #[test]
    fn the_api_server_is_seen_without_links_and_headless_services_never() {
        let services = [
            service("default", "kubernetes", "10.96.0.1"),
            service("shop", "a", "10.96.0.2"),
            service("shop", "headless", "None"),
        ];
        let names = |links| -> Vec<String> {
            let all = variables(&services, "shop", links);
            all.into_iter().map(|(name, _)| name).filter(|name| name.ends_with("_SERVICE_HOST")).collect()
        };
        assert_eq!(names(false), ["KUBERNETES_SERVICE_HOST"]);
        assert_eq!(names(true), ["KUBERNETES_SERVICE_HOST", "A_SERVICE_HOST"]);
    }
}
