//! What the data planes need of Services and EndpointSlices, parsed once when an object arrives.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use kube::ResourceExt;
use wherry_api::ranges::IpFamily;

use crate::network::Protocol;

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const SOURCE_RANGES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
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
    /// Seconds since 1970.
    pub(super) made: i64,
    pub(super) cluster_ips: Vec<IpAddr>,
    /// Addresses of others that lead here as well.
    pub(super) external_ips: Vec<IpAddr>,
    /// The addresses of its load balancer.
    pub(super) balancer_ips: Vec<IpAddr>,
    /// Whom the load balancer lets in; everybody, where nothing is said.
    pub(super) sources: Option<Vec<IpNet>>,
    /// Where every node tells whether it has endpoints.
    pub(super) health_port: Option<u16>,
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
    pub(super) ip: IpAddr,
    pub(super) node: Option<String>,
    pub(super) ready: bool,
    /// It answers, although it is about to end.
    pub(super) winding_down: bool,
    /// The nodes whose clients should be sent here.
    pub(super) for_nodes: BTreeSet<String>,
    /// The zones whose clients should be sent here.
    pub(super) for_zones: BTreeSet<String>,
}

impl Service {
    /// `None` for a Service without an address: headless, `ExternalName`, or not allocated yet.
    pub(super) fn parse(object: &core::Service) -> Option<Self> {
        let spec = object.spec.as_ref()?;
        if spec.type_.as_deref() == Some("ExternalName") {
            return None;
        }
        let listed = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
        let mut cluster_ips: Vec<IpAddr> = listed.filter_map(|ip| ip.parse().ok()).collect();
        cluster_ips.sort_unstable();
        cluster_ips.dedup();
        if cluster_ips.is_empty() {
            return None;
        }
        let made = object.metadata.creation_timestamp.as_ref().map_or(0, |time| time.0.as_second());
        Some(Self {
            made,
            cluster_ips,
            external_ips: addresses(spec.external_ips.iter().flatten()),
            balancer_ips: balancer_ips(object),
            sources: sources(object),
            health_port: spec
                .health_check_node_port
                .and_then(|port| u16::try_from(port).ok())
                .filter(|port| *port > 0),
            ports: spec.ports.iter().flatten().filter_map(|port| Port::parse(object, port)).collect(),
            affinity: affinity(spec),
            internal: Scope::parse(spec.internal_traffic_policy.as_deref()),
            external: Scope::parse(spec.external_traffic_policy.as_deref()),
        })
    }
}

fn addresses<'a>(texts: impl Iterator<Item = &'a String>) -> Vec<IpAddr> {
    let addresses: BTreeSet<IpAddr> = texts.filter_map(|text| text.parse().ok()).collect();
    addresses.into_iter().collect()
}

/// Those at which packets arrive as they were sent; what comes through a proxy is sent to a NodePort.
fn balancer_ips(service: &core::Service) -> Vec<IpAddr> {
    if !is_balanced(service) {
        return Vec::new();
    }
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.and_then(|balancer| balancer.ingress.as_ref()).into_iter().flatten();
    let direct = ingress.filter(|ingress| ingress.ip_mode.as_deref().unwrap_or("VIP") == "VIP");
    addresses(direct.filter_map(|ingress| ingress.ip.as_ref()))
}

/// By the field, or by the annotation that came before it.
fn sources(service: &core::Service) -> Option<Vec<IpNet>> {
    if !is_balanced(service) {
        return None;
    }
    let listed = service.spec.as_ref().and_then(|spec| spec.load_balancer_source_ranges.as_ref());
    let listed: Vec<&str> = match listed.filter(|listed| !listed.is_empty()) {
        Some(listed) => listed.iter().map(String::as_str).collect(),
        None => service.annotations().get(SOURCE_RANGES)?.split(',').collect(),
    };
    let mut listed = listed.into_iter().map(str::trim).filter(|range| !range.is_empty()).peekable();
    listed.peek()?;
    Some(IpNet::aggregate(&listed.filter_map(|range| range.parse().ok()).collect()))
}

fn is_balanced(service: &core::Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.type_.as_deref()) == Some("LoadBalancer")
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
    /// `None` for a slice that belongs to no Service or has no addresses.
    pub(super) fn parse(object: &discovery::EndpointSlice) -> Option<Self> {
        IpFamily::named(&object.address_type)?;
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
    /// Whether its Pod is on that node.
    pub(super) fn is_on(&self, node: &str) -> bool {
        self.node.as_deref() == Some(node)
    }

    fn parse(object: &discovery::Endpoint) -> Option<Self> {
        // The addresses of one endpoint are interchangeable; like everybody else, use the first.
        let ip = object.addresses.first()?.parse().ok()?;
        let conditions = object.conditions.as_ref();
        let ready = conditions.and_then(|found| found.ready).unwrap_or(true);
        let serving = conditions.and_then(|found| found.serving).unwrap_or(ready);
        let terminating = conditions.and_then(|found| found.terminating).unwrap_or(false);
        let winding_down = serving && terminating;
        let (nodes, zones) =
            object.hints.clone().map(|hints| (hints.for_nodes, hints.for_zones)).unwrap_or_default();
        let for_nodes = nodes.into_iter().flatten().map(|hint| hint.name).collect();
        let for_zones = zones.into_iter().flatten().map(|hint| hint.name).collect();
        Some(Self { ip, node: object.node_name.clone(), ready, winding_down, for_nodes, for_zones })
    }
}
