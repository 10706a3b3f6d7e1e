//! The nftables objects of one Service in one family. Pure.
//!
//! What is sent to a ClusterIP whose port has up to [`FEW`] endpoints, and no session affinity, is led by elements of sets and maps
//! that all such ports share (`spread`): no chains, no rules, so however many Services there are the kernel has nothing to check
//! again when one of them changes. A port without any endpoints in the range of Services needs not even that.
//!
//! Every other port has up to five kinds of chains, named by a hash of the port's identity:
//! - `all_…` sends to any endpoint, `here_…` to one of this node. Without endpoints `all_…` rejects;
//!   `here_…` rejects when there are none anywhere, and drops when they are on other nodes.
//! - `ext_…` is for traffic to the NodePort and to addresses of the outside: it decides which of the two, and marks what must be
//!   masqueraded.
//! - `lb_…` is for traffic to the load balancer that lets only some in: those it sends to `ext_…`.
//! - `ep_…` exists with session affinity only: it remembers the client in the set `aff_…` and sends to its endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use sha2::{Digest, Sha256};

use super::super::model::{ObjectKey, Scope};
use super::super::plan::ServicePort;
use super::script::{Base, MARK};
use super::spread::{FEW, SEVERAL, endpoint, with};
use crate::network::Protocol;
use crate::network::nft::{self, Chains};

/// What one Service has in the table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fragment {
    /// Rules by chain.
    pub(super) chains: Chains,
    /// Sets of clients with the seconds an element lives.
    pub(super) sets: BTreeMap<String, u32>,
    /// Elements by the names of their sets and maps: keys, and what those of maps lead to.
    pub(super) elements: BTreeMap<String, BTreeMap<String, Option<String>>>,
    /// Endpoints that may be their own clients.
    pub(super) hairpin: BTreeSet<IpAddr>,
}

impl Fragment {
    /// The rules of a Service with these ports, which are all of the family.
    pub(super) fn of(service: &ObjectKey, ports: &[ServicePort], base: &Base) -> Self {
        let mut fragment = Self::default();
        for port in ports {
            fragment.add(&Names::of(service, port), port, base);
        }
        fragment
    }

    fn add(&mut self, names: &Names, port: &ServicePort, base: &Base) {
        let key = |ip: &IpAddr| format!("{ip} . {} . {}", port.protocol.as_str(), port.port);
        for ip in &port.cluster_ips {
            self.add_cluster_ip(names, port, base, *ip);
        }
        if port.is_exposed() {
            self.chains.insert(names.external(), external_rules(names, port.external, base));
            self.add_pool(names, port, Scope::Cluster);
            self.add_pool(names, port, port.external);
            for ip in &port.external_ips {
                self.lead("external", &key(ip), &names.external());
            }
            let balanced = self.add_balancer(names, port, base);
            for ip in &port.balancer_ips {
                self.lead("external", &key(ip), &balanced);
            }
        }
        if let Some(node_port) = port.node_port {
            self.lead("node_ports", &format!("{} . {node_port}", port.protocol.as_str()), &names.external());
        }
        // Endpoints that people write need not name their node.
        let own = port.cluster.iter().chain(&port.local).map(SocketAddr::ip);
        self.hairpin.extend(own.filter(|ip| base.namespaced.contains(ip)));
    }

    fn add_cluster_ip(&mut self, names: &Names, port: &ServicePort, base: &Base, ip: IpAddr) {
        let key = format!("{ip} . {} . {}", port.protocol.as_str(), port.port);
        let backends = port.backends(port.internal);
        let is_shared = port.affinity.is_none() && (1..=FEW).contains(&backends.len());
        if is_shared {
            if backends.len() > 1 {
                self.element(SEVERAL, &key, None);
                self.element(&with(backends.len()), &key, None);
            }
            for (at, backend) in backends.iter().enumerate() {
                self.element(&endpoint(at), &key, Some(&to(*backend)));
            }
            return;
        }
        // For a packet that meets the port while it comes to have a chain of its own.
        if let Some(backend) = backends.last() {
            self.element(&endpoint(0), &key, Some(&to(*backend)));
        }
        // All ports that nobody has are refused there.
        if !port.cluster.is_empty() || !base.service_cidr.contains(&ip) {
            self.add_pool(names, port, port.internal);
            self.lead("cluster", &key, &names.pool(port.internal));
        }
    }

    fn lead(&mut self, map: &str, key: &str, chain: &str) {
        self.element(map, key, Some(&format!("goto {chain}")));
    }

    fn element(&mut self, set: &str, key: &str, data: Option<&str>) {
        let elements = self.elements.entry(set.to_owned()).or_default();
        elements.insert(key.to_owned(), data.map(str::to_owned));
    }

    /// The chain for traffic to the load balancer.
    fn add_balancer(&mut self, names: &Names, port: &ServicePort, base: &Base) -> String {
        let Some(sources) = port.sources.as_ref().filter(|_| !port.balancer_ips.is_empty()) else {
            return names.external();
        };
        let ranges: Vec<String> = sources.iter().map(ToString::to_string).collect();
        let ip = nft::header(base.family);
        let admit = format!("{ip} saddr {{ {} }} goto {}", ranges.join(", "), names.external());
        let admit = Some(admit).filter(|_| !ranges.is_empty());
        self.chains.insert(names.balancer(), admit.into_iter().chain(["drop".to_owned()]).collect());
        names.balancer()
    }

    fn add_pool(&mut self, names: &Names, port: &ServicePort, scope: Scope) {
        let backends = port.backends(scope);
        let rules = match (backends, port.affinity) {
            ([], _) if port.cluster.is_empty() => vec![refuse(port.protocol).to_owned()],
            ([], _) => vec!["drop".to_owned()],
            (_, None) => translate(port, backends),
            (_, Some(seconds)) => self.sticky_rules(names, port, backends, seconds),
        };
        self.chains.insert(names.pool(scope), rules);
    }

    fn sticky_rules(
        &mut self,
        names: &Names,
        port: &ServicePort,
        backends: &[SocketAddr],
        seconds: u32,
    ) -> Vec<String> {
        let mut rules = Vec::new();
        let ip = nft::header(port.family);
        for &backend in backends {
            let (clients, chain) = (names.clients(backend, seconds), names.endpoint(backend));
            let remember = format!("update @{clients} {{ {ip} saddr }}");
            self.chains.insert(chain.clone(), vec![remember, to_one(port, backend)]);
            rules.push(format!("{ip} saddr @{clients} goto {chain}"));
            self.sets.insert(clients, seconds);
        }
        let choices = backends.iter().map(|backend| format!("goto {}", names.endpoint(*backend)));
        rules.push(format!("{} vmap {{ {} }}", random(backends.len()), numbered(choices)));
        rules.extend(backends.last().map(|backend| format!("goto {}", names.endpoint(*backend))));
        rules
    }
}

fn external_rules(names: &Names, scope: Scope, base: &Base) -> Vec<String> {
    let everywhere = names.pool(Scope::Cluster);
    let mark = format!("meta mark set meta mark | {MARK:#x}");
    match scope {
        Scope::Cluster => vec![mark, format!("goto {everywhere}")],
        // The policy is about clients outside: those inside reach every endpoint, as by the ClusterIP.
        Scope::Local => vec![
            format!("{} saddr {} goto {everywhere}", nft::header(base.family), base.cluster_cidr),
            format!("fib saddr type local {mark} goto {everywhere}"),
            format!("goto {}", names.pool(Scope::Local)),
        ],
    }
}

/// A reset, because the kernel limits how many ICMP errors it sends, and a client that gets none waits.
fn refuse(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "meta l4proto tcp reject with tcp reset",
        Protocol::Udp => "reject",
    }
}

/// Sends to any of the endpoints.
///
/// The kernel commits a transaction between two steps of a packet that is on its way through the old rules, and from
/// then on the packet finds nothing in the old rules' map. So there is a rule after the map that needs none: without it
/// the packet would leave for an address that nobody has.
fn translate(port: &ServicePort, backends: &[SocketAddr]) -> Vec<String> {
    let any = match backends {
        [] | [_] => None,
        _ => {
            let choices = backends.iter().map(|backend| to(*backend));
            let map = format!("{} map {{ {} }}", random(backends.len()), numbered(choices));
            let ip = nft::header(port.family);
            Some(format!("meta l4proto {} dnat {ip} to {map}", port.protocol.as_str()))
        }
    };
    any.into_iter().chain(backends.last().map(|backend| to_one(port, *backend))).collect()
}

fn to_one(port: &ServicePort, backend: SocketAddr) -> String {
    format!("meta l4proto {} dnat {} to {backend}", port.protocol.as_str(), nft::header(port.family))
}

/// As an element of a map.
fn to(backend: SocketAddr) -> String {
    format!("{} . {}", backend.ip(), backend.port())
}

pub(super) fn random(choices: usize) -> String {
    format!("numgen random mod {choices}")
}

pub(super) fn numbered(choices: impl Iterator<Item = String>) -> String {
    let numbered: Vec<String> = choices.enumerate().map(|(at, choice)| format!("{at} : {choice}")).collect();
    numbered.join(", ")
}

/// The names of a port's objects. They stay the same as long as the port keeps its name.
struct Names {
    id: String,
}

impl Names {
    fn of(service: &ObjectKey, port: &ServicePort) -> Self {
        let identity = format!("{service}:{}/{}/{}", port.name, port.protocol.as_str(), port.port);
        let mut id = String::new();
        for byte in Sha256::digest(identity).iter().take(8) {
            // Writing to a String cannot fail.
            let _ = write!(id, "{byte:02x}");
        }
        Self { id }
    }

    fn pool(&self, scope: Scope) -> String {
        match scope {
            Scope::Cluster => format!("all_{}", self.id),
            Scope::Local => format!("here_{}", self.id),
        }
    }

    fn external(&self) -> String {
        format!("ext_{}", self.id)
    }

    fn balancer(&self) -> String {
        format!("lb_{}", self.id)
    }

    fn endpoint(&self, backend: SocketAddr) -> String {
        format!("ep_{}_{}_{}", self.id, digits(backend.ip()), backend.port())
    }

    /// The name holds the lifetime, because that of a set cannot be changed.
    fn clients(&self, backend: SocketAddr, seconds: u32) -> String {
        format!("aff_{}_{}_{}_{seconds}", self.id, digits(backend.ip()), backend.port())
    }
}

/// An address as a part of a name.
fn digits(ip: IpAddr) -> String {
    match ip {
        IpAddr::V4(ip) => format!("{:08x}", u32::from(ip)),
        IpAddr::V6(ip) => format!("{:032x}", u128::from(ip)),
    }
}
