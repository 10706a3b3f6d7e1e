//! What the data planes need of Services and EndpointSlices, parsed once when an object arrives.

use std::net::Ipv4Addr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use kube::ResourceExt;

use crate::network::Protocol;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// The default of `service.spec.sessionAffinityConfig.clientIP.timeoutSeconds`.
const AFFINITY_SECONDS: u32 = 10_800;

/// Namespace and name of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ObjectKey {
    pub(crate) namespace: String,
    pub(crate) name: String,
}

impl ObjectKey {
    /// The key of an object.
    pub(crate) fn of(object: &impl ResourceExt) -> Self {
        Self { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// The Service whose endpoints a slice names.
pub(crate) fn service_of(slice: &discovery::EndpointSlice) -> Option<ObjectKey> {
    let name = slice.labels().get(SERVICE_NAME)?.clone();
    Some(ObjectKey { namespace: slice.namespace().unwrap_or_default(), name })
}

/// Which endpoints a kind of traffic may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// All of the cluster.
    Cluster,
    /// Those on this node.
    Local,
}

impl Scope {
    fn parse(text: Option<&str>) -> Self {
        if text == Some("Local") { Self::Local } else { Self::Cluster }
    }
}

/// A Service with an address of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) cluster_ips: Vec<Ipv4Addr>,
    pub(super) ports: Vec<Port>,
    /// How long a client stays with its endpoint, in seconds.
    pub(super) affinity: Option<u32>,
    pub(super) internal: Scope,
    pub(super) external: Scope,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    pub(super) name: String,
    pub(super) protocol: Protocol,
    pub(super) number: u16,
    pub(super) on_node: Option<u16>,
}

/// A part of a Service's endpoints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) service: ObjectKey,
    pub(super) ports: Vec<SlicePort>,
    pub(super) endpoints: Vec<Endpoint>,
}

/// The port number behind a port name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlicePort {
    pub(super) name: String,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
}

/// An endpoint and its state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Endpoint {
    pub(super) ip: Ipv4Addr,
    pub(super) node: Option<String>,
    pub(super) ready: bool,
    /// It answers, although it is about to end.
    pub(super) winding_down: bool,
}

impl Service {
    /// `None` for a Service without an IPv4 address: headless, `ExternalName`, or not allocated yet.
    pub(super) fn parse(object: &core::Service) -> Option<Self> {
        let spec = object.spec.as_ref()?;
        if spec.type_.as_deref() == Some("ExternalName") {
            return None;
        }
        let listed = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
        let mut cluster_ips: Vec<Ipv4Addr> = listed.filter_map(|ip| ip.parse().ok()).collect();
        cluster_ips.sort_unstable();
        cluster_ips.dedup();
        if cluster_ips.is_empty() {
            return None;
        }
        Some(Self {
            cluster_ips,
            ports: spec.ports.iter().flatten().filter_map(|port| Port::parse(object, port)).collect(),
            affinity: affinity(spec),
            internal: Scope::parse(spec.internal_traffic_policy.as_deref()),
            external: Scope::parse(spec.external_traffic_policy.as_deref()),
        })
    }
}

fn affinity(spec: &core::ServiceSpec) -> Option<u32> {
    if spec.session_affinity.as_deref() != Some("ClientIP") {
        return None;
    }
    let configured = spec.session_affinity_config.as_ref().and_then(|config| config.client_ip.as_ref());
    let seconds = configured.and_then(|config| config.timeout_seconds);
    Some(seconds.and_then(|seconds| u32::try_from(seconds).ok()).unwrap_or(AFFINITY_SECONDS))
}

impl Port {
    fn parse(service: &core::Service, port: &core::ServicePort) -> Option<Self> {
        let Some(protocol) = Protocol::parse(port.protocol.as_deref()) else {
            let (service, protocol) = (ObjectKey::of(service), port.protocol.as_deref());
            tracing::warn!(%service, protocol, "a Service port is not served: only TCP and UDP are");
            return None;
        };
        Some(Self {
            name: port.name.clone().unwrap_or_default(),
            protocol,
            number: u16::try_from(port.port).ok()?,
            on_node: port.node_port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0),
        })
    }
}

impl Slice {
    /// `None` for a slice that belongs to no Service or has no IPv4 addresses.
    pub(super) fn parse(object: &discovery::EndpointSlice) -> Option<Self> {
        if object.address_type != "IPv4" {
            return None;
        }
        Some(Self {
            service: service_of(object)?,
            ports: object.ports.iter().flatten().filter_map(SlicePort::parse).collect(),
            endpoints: object.endpoints.iter().flatten().filter_map(Endpoint::parse).collect(),
        })
    }
}

impl SlicePort {
    fn parse(port: &discovery::EndpointPort) -> Option<Self> {
        Some(Self {
            name: port.name.clone().unwrap_or_default(),
            protocol: Protocol::parse(port.protocol.as_deref())?,
            port: u16::try_from(port.port?).ok()?,
        })
    }
}

impl Endpoint {
    fn parse(object: &discovery::Endpoint) -> Option<Self> {
        // The addresses of one endpoint are interchangeable; like everybody else, use the first.
        let ip = object.addresses.first()?.parse().ok()?;
        let conditions = object.conditions.as_ref();
        let ready = conditions.and_then(|found| found.ready).unwrap_or(true);
        let serving = conditions.and_then(|found| found.serving).unwrap_or(ready);
        let terminating = conditions.and_then(|found| found.terminating).unwrap_or(false);
        let winding_down = serving && terminating;
        Some(Self { ip, node: object.node_name.clone(), ready, winding_down })
    }
}
