//! Where an endpoint is: behind a URL, or behind a Service.

use std::net::{IpAddr, SocketAddr};

use wherry_api::kinds::by_kind;
use wherry_schema::Value;

use crate::codec;
use crate::object::Fields;
use crate::state::State;
use crate::validation::url::Url;

/// Where an endpoint is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// Host and port as requests name them; a URL may leave the port out.
    pub(crate) authority: String,
    /// The name that its certificate must have.
    pub(crate) host: String,
    pub(crate) path: String,
    at: At,
}

#[derive(Debug, PartialEq, Eq)]
enum At {
    Host { port: u16 },
    Service { namespace: String, name: String, port: u16 },
}

/// Where to connect to.
pub(crate) enum Address {
    /// A host that is looked up.
    Host(String, u16),
    /// An address of a Service.
    Ip(SocketAddr),
}

impl Place {
    /// The place that a `clientConfig` names.
    pub(crate) fn of(config: &Value) -> Result<Self, String> {
        match config.field("service") {
            Some(service) => Ok(Self::of_service(service)),
            None => Self::of_url(config.text("url")),
        }
    }

    /// The place that a reference to a Service names.
    pub(crate) fn of_service(service: &Value) -> Self {
        let (namespace, name) = (service.text("namespace"), service.text("name"));
        let port = service.int("port").and_then(|port| u16::try_from(port).ok()).unwrap_or(443);
        let host = format!("{name}.{namespace}.svc");
        Self {
            authority: format!("{host}:{port}"),
            host,
            path: clean(service.text("path")),
            at: At::Service { namespace: namespace.to_owned(), name: name.to_owned(), port },
        }
    }

    /// The place that a URL names.
    pub(super) fn of_url(url: &str) -> Result<Self, String> {
        let parsed = Url::parse(url).map_err(|why| format!("Unparsable URL: {why}"))?;
        let authority: http::uri::Authority = parsed.host.parse().map_err(|_| format!("bad host {url:?}"))?;
        let path = url.split_once("://").and_then(|(_, rest)| rest.find('/').map(|at| &rest[at..]));
        let path = path.unwrap_or_default().split(['?', '#']).next().unwrap_or_default();
        Ok(Self {
            host: authority.host().trim_start_matches('[').trim_end_matches(']').to_owned(),
            path: clean(path),
            at: At::Host { port: authority.port_u16().unwrap_or(443) },
            authority: authority.to_string(),
        })
    }

    /// Finds out where to connect to.
    pub(crate) fn find(&self, state: &State) -> Result<Address, String> {
        match &self.at {
            At::Host { port } => Ok(Address::Host(self.host.clone(), *port)),
            At::Service { namespace, name, port } => {
                of_service(state, namespace, name, *port).map_err(|lost| lost.to_string())
            }
        }
    }
}

/// Why a Service leads nowhere.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Lost {
    #[error("service {0:?} not found")]
    Service(String),
    #[error("no service port {1} found for service {0:?}")]
    Port(String, u16),
    #[error("no endpoints available for service {0:?}")]
    Endpoints(String),
}

/// A path without empty segments, as Go joins one.
fn clean(path: &str) -> String {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    format!("/{}", segments.join("/"))
}

/// An address of a Service: of one of its endpoints that are ready, or of the Service itself if nobody lists any.
pub(crate) fn of_service(state: &State, namespace: &str, name: &str, port: u16) -> Result<Address, Lost> {
    let missing = || Lost::Service(name.to_owned());
    let nobody = || Lost::Endpoints(name.to_owned());
    let key = codec::key(by_kind("", "v1", "Service").ok_or_else(missing)?, namespace, name);
    let service = state.find(&key).ok().flatten().ok_or_else(missing)?;
    if service.text("spec.type") == "ExternalName" {
        return Ok(Address::Host(service.text("spec.externalName").to_owned(), port));
    }
    let mut ports = service.items("spec.ports").iter();
    let found = ports.find(|found| found.int("port") == Some(i64::from(port)));
    let found = found.ok_or_else(|| Lost::Port(name.to_owned(), port))?;
    if let Some(ready) = endpoints(state, (namespace, name), found.text("name")) {
        return ready.get(state.pick(ready.len())).copied().map(Address::Ip).ok_or_else(nobody);
    }
    let ip: Result<IpAddr, _> = service.text("spec.clusterIP").parse();
    ip.map(|ip| Address::Ip(SocketAddr::new(ip, port))).map_err(|_| nobody())
}

/// The endpoints of a Service that are ready; none if nobody lists any.
fn endpoints(state: &State, (namespace, service): (&str, &str), port: &str) -> Option<Vec<SocketAddr>> {
    let own = slices(state, namespace, service);
    let addresses = own.iter().flat_map(|slice| ready(slice, port)).collect();
    (!own.is_empty()).then_some(addresses)
}

/// The EndpointSlices of a Service.
pub(crate) fn slices(state: &State, namespace: &str, service: &str) -> Vec<Value> {
    let Some(kind) = by_kind("discovery.k8s.io", "v1", "EndpointSlice") else { return Vec::new() };
    let snapshot = state.store.snapshot();
    let prefix = codec::prefix(kind, Some(namespace));
    let slices = snapshot.range(&prefix, None);
    let slices = slices.filter_map(|entry| codec::decode(&entry.key, &entry.value).ok());
    let label = "kubernetes.io/service-name";
    slices
        .filter(|slice| slice.map("metadata.labels").and_then(|l| l.get(label)?.as_str()) == Some(service))
        .collect()
}

/// The endpoints of a slice that are ready, at the port of this name.
pub(crate) fn ready(slice: &Value, port: &str) -> Vec<SocketAddr> {
    let named = slice.items("ports").iter().find(|found| found.text("name") == port);
    let number = named.and_then(|found| found.int("port")).and_then(|number| u16::try_from(number).ok());
    let Some(port) = number else { return Vec::new() };
    let condition =
        |endpoint: &&Value| endpoint.field("conditions.ready").and_then(Value::as_bool) != Some(false);
    let ready = slice.items("endpoints").iter().filter(condition);
    let ips = ready.filter_map(|endpoint| endpoint.items("addresses").first()?.as_str()?.parse().ok());
    ips.map(|ip| SocketAddr::new(ip, port)).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("https://127.0.0.1:1/x", "127.0.0.1:1", "127.0.0.1", "/x")]
    #[case("https://a.example", "a.example", "a.example", "/")]
    #[case("https://a.example/x//y/", "a.example", "a.example", "/x/y")]
    #[case("https://[::1]:8443/x", "[::1]:8443", "::1", "/x")]
    fn a_url_names_host_port_and_path(
        #[case] url: &str,
        #[case] authority: &str,
        #[case] host: &str,
        #[case] path: &str,
    ) {
        let place = Place::of_url(url).unwrap();
        assert_eq!((&*place.authority, &*place.host, &*place.path), (authority, host, path));
    }

    #[test]
    fn a_service_is_called_by_its_name_in_the_cluster() {
        let service = Value::from_json(br#"{"namespace":"ns","name":"web","path":"hook"}"#).unwrap();
        let place = Place::of_service(&service);
        assert_eq!((&*place.authority, &*place.path), ("web.ns.svc:443", "/hook"));
    }

    proptest! {
        #[test]
        fn any_url_is_read_or_refused(url in "\\PC{0,40}|https://[a-z0-9:./@?#-]{0,30}") {
            if let Ok(place) = Place::of_url(&url) {
                prop_assert!(place.path.starts_with('/'));
            }
        }
    }
}
