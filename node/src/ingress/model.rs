//! What the controller needs of objects, parsed once when an object arrives.

use std::net::{IpAddr, SocketAddr};

use jiff::Timestamp;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use k8s_openapi::api::networking::v1 as networking;
use kube::ResourceExt as _;
use rustls::crypto::CryptoProvider;
use wherry_api::ingress::CONTROLLER;
use wherry_ingress::{Certificate, CertificateError, Host, PathMatch, Protocol};

use crate::services::{ObjectKey, service_of};

/// Where an Ingress named its class before there was a field for it.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";

/// An Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ingress {
    /// Of two that say something of the same requests the older one counts.
    pub(super) created: Option<Timestamp>,
    pub(super) class: Option<String>,
    pub(super) default: Option<Target>,
    pub(super) rules: Vec<(Host, PathMatch, Target)>,
    pub(super) tls: Vec<Tls>,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Target {
    /// A port of a Service.
    Service(String, PortRef),
    /// An object of another kind, which no rule here knows.
    Resource,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum PortRef {
    Number(u16),
    Name(String),
}

/// For which hosts a certificate is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Tls {
    pub(super) secret: Option<String>,
    pub(super) hosts: Vec<Host>,
}

impl Ingress {
    pub(super) fn parse(object: &networking::Ingress) -> Option<Self> {
        let spec = object.spec.as_ref()?;
        let annotated = || object.annotations().get(CLASS_ANNOTATION).cloned();
        let rules = spec.rules.iter().flatten().flat_map(|rule| {
            let host = host(rule.host.as_deref());
            let paths = rule.http.iter().flat_map(|http| &http.paths);
            paths
                .filter_map(move |path| Some((host.clone(), path_match(path), Target::parse(&path.backend)?)))
        });
        let tls = spec.tls.iter().flatten().map(|tls| Tls {
            secret: tls.secret_name.clone(),
            hosts: tls.hosts.iter().flatten().map(|name| host(Some(name))).collect(),
        });
        Some(Self {
            created: object.metadata.creation_timestamp.as_ref().map(|time| time.0),
            class: spec.ingress_class_name.clone().or_else(annotated),
            default: spec.default_backend.as_ref().and_then(Target::parse),
            rules: rules.collect(),
            tls: tls.collect(),
        })
    }
}

impl Target {
    fn parse(backend: &networking::IngressBackend) -> Option<Self> {
        let Some(service) = &backend.service else {
            return backend.resource.as_ref().map(|_| Self::Resource);
        };
        let port = service.port.as_ref()?;
        let by_number = || port.number.and_then(|number| u16::try_from(number).ok()).map(PortRef::Number);
        let by_name = port.name.clone().filter(|name| !name.is_empty()).map(PortRef::Name);
        Some(Self::Service(service.name.clone(), by_name.or_else(by_number)?))
    }
}

fn host(name: Option<&str>) -> Host {
    let name = name.unwrap_or_default().to_ascii_lowercase();
    match name.strip_prefix("*.") {
        _ if name.is_empty() => Host::Any,
        Some(domain) => Host::LabelBefore(domain.to_owned()),
        None => Host::Exactly(name),
    }
}

/// `ImplementationSpecific` is a prefix here.
fn path_match(path: &networking::HTTPIngressPath) -> PathMatch {
    let text = path.path.clone().filter(|path| !path.is_empty()).unwrap_or_else(|| "/".to_owned());
    if path.path_type == "Exact" { PathMatch::Exactly(text) } else { PathMatch::Prefix(text) }
}

/// Whether a class is this controller's.
pub(super) fn is_ours(class: &networking::IngressClass) -> Option<()> {
    let controller = class.spec.as_ref()?.controller.as_deref();
    (controller == Some(CONTROLLER)).then_some(())
}

/// A Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Service {
    /// With endpoints, at these TCP ports.
    Ports(Vec<ServicePort>),
    /// It stands for a name elsewhere, and nobody is led there: who may make Services could reach through the controller what only
    /// the node, or only another namespace, reaches.
    External,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ServicePort {
    pub(super) name: String,
    number: u16,
    pub(super) protocol: Protocol,
}

impl Service {
    pub(super) fn parse(object: &core::Service) -> Option<Self> {
        let spec = object.spec.as_ref()?;
        if spec.type_.as_deref() == Some("ExternalName") {
            return Some(Self::External);
        }
        let ports = spec.ports.iter().flatten();
        let tcp = ports.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
        let ports = tcp.filter_map(|port| {
            Some(ServicePort {
                name: port.name.clone().unwrap_or_default(),
                number: u16::try_from(port.port).ok()?,
                protocol: protocol(port.app_protocol.as_deref()),
            })
        });
        Some(Self::Ports(ports.collect()))
    }

    pub(super) fn port(&self, wanted: &PortRef) -> Option<&ServicePort> {
        let Self::Ports(ports) = self else { return None };
        ports.iter().find(|port| match wanted {
            PortRef::Number(number) => port.number == *number,
            PortRef::Name(name) => port.name == *name,
        })
    }
}

fn protocol(app_protocol: Option<&str>) -> Protocol {
    match app_protocol {
        Some("kubernetes.io/h2c" | "h2c" | "grpc") => Protocol::Http2,
        Some("https" | "HTTPS" | "kubernetes.io/wss") => Protocol::Https,
        _ => Protocol::Http1,
    }
}

/// A part of a Service's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) service: ObjectKey,
    ports: Vec<(String, u16)>,
    ready: Vec<IpAddr>,
    /// They answer, although they are about to end.
    ending: Vec<IpAddr>,
}

impl Slice {
    /// `None` for a slice that belongs to no Service.
    pub(super) fn parse(object: &discovery::EndpointSlice) -> Option<Self> {
        let service = service_of(object)?;
        let ports = object.ports.iter().flatten();
        let tcp = ports.filter(|port| port.protocol.as_deref().is_none_or(|protocol| protocol == "TCP"));
        let ports = tcp.filter_map(|port| {
            Some((port.name.clone().unwrap_or_default(), u16::try_from(port.port?).ok()?))
        });
        let (mut ready, mut ending) = (Vec::new(), Vec::new());
        for endpoint in object.endpoints.iter().flatten() {
            // The addresses of one endpoint are interchangeable; like everybody else, use the first.
            let Some(ip) = endpoint.addresses.first().and_then(|ip| ip.parse().ok()) else { continue };
            let conditions = endpoint.conditions.clone().unwrap_or_default();
            let is_ready = conditions.ready.unwrap_or(true);
            if is_ready {
                ready.push(ip);
            } else if conditions.serving == Some(true) && conditions.terminating == Some(true) {
                ending.push(ip);
            }
        }
        Some(Self { service, ports: ports.collect(), ready, ending })
    }

    /// The endpoints behind a port: those that are ready, and those that are about to end.
    pub(super) fn behind<'s>(&'s self, port: &'s str) -> impl Iterator<Item = (bool, SocketAddr)> + 's {
        let number = self.ports.iter().find(|(name, _)| name == port).map(|(_, number)| *number);
        let ready = self.ready.iter().map(|ip| (true, *ip));
        let all = ready.chain(self.ending.iter().map(|ip| (false, *ip)));
        number
            .into_iter()
            .flat_map(move |number| all.clone().map(move |(ready, ip)| (ready, SocketAddr::new(ip, number))))
    }
}

/// A Secret of type `kubernetes.io/tls`.
#[derive(Clone, Debug)]
pub(super) struct Secret {
    chain: Vec<u8>,
    key: Vec<u8>,
    pub(super) certificate: Option<Certificate>,
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        (&self.chain, &self.key) == (&other.chain, &other.key)
    }
}

impl Secret {
    pub(super) fn parse(object: &core::Secret, provider: &CryptoProvider) -> Option<Self> {
        let data = object.data.as_ref()?;
        let (chain, key) = (data.get("tls.crt")?.0.clone(), data.get("tls.key")?.0.clone());
        let certificate = Certificate::from_pem(&chain, &key, provider);
        let certificate = certificate.inspect_err(|error: &CertificateError| {
            let (secret, cause) = (ObjectKey::of(object), error as &dyn std::error::Error);
            tracing::warn!(%secret, error = cause, "a certificate for Ingresses cannot be used");
        });
        Some(Self { chain, key, certificate: certificate.ok() })
    }
}
