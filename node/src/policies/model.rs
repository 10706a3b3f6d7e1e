//! What is needed of NetworkPolicies and Pods, parsed once when an object arrives.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::networking::v1 as networking;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::ResourceExt;
use kube::core::{Selector, SelectorExt as _};
use wherry_api::ranges::IpFamily;

/// Labels of an object.
pub(super) type Labels = BTreeMap<String, String>;

/// A NetworkPolicy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Policy {
    pub(super) namespace: String,
    /// The Pods it is about.
    pub(super) pods: Select,
    /// Who may reach them; everybody, if it says nothing of it.
    pub(super) ingress: Option<Vec<Rule>>,
    /// Whom they may reach; everybody, if it says nothing of it.
    pub(super) egress: Option<Vec<Rule>>,
}

/// What a policy lets through.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Rule {
    /// From or to whom; everybody, where nobody is named.
    pub(super) peers: Option<Vec<Peer>>,
    /// At which ports; at all, where none is named.
    pub(super) ports: Option<Vec<Port>>,
}

/// Whom a rule is about.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Peer {
    /// Pods of the policy's namespace, or of those chosen.
    Pods { namespaces: Option<Select>, pods: Select },
    /// Addresses, but for some of them.
    Block { range: IpNet, except: Vec<IpNet> },
}

/// A port of whoever is connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Port {
    /// As nftables call it.
    pub(super) protocol: &'static str,
    pub(super) numbers: Numbers,
}

/// Which numbers a port means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Numbers {
    All,
    Range(u16, u16),
    /// What the container calls so.
    Named(String),
}

/// A label selector. One that cannot be understood selects nothing.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Select(Option<Selector>);

impl Select {
    fn of(selector: &LabelSelector) -> Self {
        Self(Selector::try_from(selector.clone()).ok())
    }

    /// Selects everything.
    pub(super) fn all() -> Self {
        Self(Some(Selector::default()))
    }

    pub(super) fn matches(&self, labels: &Labels) -> bool {
        self.0.as_ref().is_some_and(|selector| selector.matches(labels))
    }
}

impl Policy {
    /// A policy as the API server has it: it names its types.
    pub(super) fn parse(object: &networking::NetworkPolicy) -> Option<Self> {
        let spec = object.spec.as_ref()?;
        let says = |what: &str| spec.policy_types.iter().flatten().any(|kind| kind == what);
        let ingress = spec
            .ingress
            .iter()
            .flatten()
            .map(|rule| Rule::parse(rule.from.as_deref(), rule.ports.as_deref()));
        let egress =
            spec.egress.iter().flatten().map(|rule| Rule::parse(rule.to.as_deref(), rule.ports.as_deref()));
        Some(Self {
            namespace: object.namespace()?,
            pods: spec.pod_selector.as_ref().map_or_else(Select::all, Select::of),
            ingress: says("Ingress").then(|| ingress.collect()),
            egress: says("Egress").then(|| egress.collect()),
        })
    }
}

impl Rule {
    fn parse(
        peers: Option<&[networking::NetworkPolicyPeer]>,
        ports: Option<&[networking::NetworkPolicyPort]>,
    ) -> Self {
        let peers = peers.filter(|peers| !peers.is_empty());
        let ports = ports.filter(|ports| !ports.is_empty());
        Self {
            peers: peers.map(|peers| peers.iter().filter_map(Peer::parse).collect()),
            ports: ports.map(|ports| ports.iter().filter_map(Port::parse).collect()),
        }
    }
}

impl Peer {
    /// `None` for a block that cannot be understood.
    fn parse(peer: &networking::NetworkPolicyPeer) -> Option<Self> {
        if let Some(block) = &peer.ip_block {
            let except = block.except.iter().flatten().filter_map(|range| range.parse().ok());
            return Some(Self::Block { range: block.cidr.parse().ok()?, except: except.collect() });
        }
        Some(Self::Pods {
            namespaces: peer.namespace_selector.as_ref().map(Select::of),
            pods: peer.pod_selector.as_ref().map_or_else(Select::all, Select::of),
        })
    }
}

impl Port {
    /// `None` for what no packet is of.
    fn parse(port: &networking::NetworkPolicyPort) -> Option<Self> {
        let protocol = protocol(port.protocol.as_deref())?;
        let numbers = match &port.port {
            None => Numbers::All,
            Some(IntOrString::String(name)) => Numbers::Named(name.clone()),
            Some(IntOrString::Int(first)) => {
                let first = u16::try_from(*first).ok()?;
                let last = port.end_port.map_or(Some(first), |last| u16::try_from(last).ok())?;
                (first <= last).then_some(Numbers::Range(first, last))?
            }
        };
        Some(Self { protocol, numbers })
    }
}

fn protocol(text: Option<&str>) -> Option<&'static str> {
    match text.unwrap_or("TCP") {
        "TCP" => Some("tcp"),
        "UDP" => Some("udp"),
        "SCTP" => Some("sctp"),
        _ => None,
    }
}

/// A Pod with an address of its own, or one that gets it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) namespace: String,
    pub(super) labels: Labels,
    pub(super) node: Option<String>,
    /// Its address of IPv4, or of IPv6 where it has that alone.
    pub(super) ip: IpAddr,
    /// Its address of IPv6, where it has one beside.
    pub(super) ip6: Option<Ipv6Addr>,
    /// Its ports by name: protocol and number.
    pub(super) ports: BTreeMap<String, BTreeSet<(&'static str, u16)>>,
}

impl Pod {
    /// `None` for a Pod without an address of its own: on its node's network, not started or ended.
    pub(super) fn parse(object: &core::Pod) -> Option<Self> {
        let status = object.status.as_ref()?;
        if matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
            return None;
        }
        let listed = status.pod_ips.iter().flatten().map(|told| told.ip.as_str());
        let ips: Vec<IpAddr> =
            listed.chain(status.pod_ip.as_deref()).filter_map(|ip| ip.parse().ok()).collect();
        Self::with_addresses(object, &ips)
    }

    /// The same with addresses that it has not told yet.
    pub(super) fn with_addresses(object: &core::Pod, ips: &[IpAddr]) -> Option<Self> {
        let ip = ips.iter().copied().find(IpAddr::is_ipv4).or(ips.first().copied())?;
        let ip6 = ips.iter().find_map(|other| match other {
            IpAddr::V6(ip6) if *other != ip => Some(*ip6),
            _ => None,
        });
        let spec = object.spec.as_ref()?;
        if spec.host_network == Some(true) {
            return None;
        }
        let mut ports = BTreeMap::<String, BTreeSet<_>>::new();
        let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
        for port in containers.flat_map(|container| container.ports.iter().flatten()) {
            let number = u16::try_from(port.container_port).ok();
            if let (Some(name), Some(protocol), Some(number)) =
                (&port.name, protocol(port.protocol.as_deref()), number)
            {
                ports.entry(name.clone()).or_default().insert((protocol, number));
            }
        }
        Some(Self {
            namespace: object.namespace().unwrap_or_default(),
            labels: object.labels().clone(),
            node: spec.node_name.clone(),
            ip,
            ip6,
            ports,
        })
    }

    /// Its address of a family.
    pub(super) fn address(&self, family: IpFamily) -> Option<IpAddr> {
        let all = [Some(self.ip), self.ip6.map(IpAddr::V6)];
        all.into_iter().flatten().find(|ip| IpFamily::of(*ip) == family)
    }
}
