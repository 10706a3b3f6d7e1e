//! The scripts: the table as it starts, and the step from one set of rules to another. Pure.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use wherry_api::ranges::IpFamily;

use super::super::ServicesConfig;
use super::ruleset::Fragment;
use super::spread;
use crate::dns::PORT;
use crate::network::Layout;
use crate::network::nft::{Script, address_type, base_chains, header};

/// The bit of the packet mark that asks for the node's address. Only set and read within one traversal.
pub(super) const MARK: u32 = 0x4000;

/// The table of a family.
fn table(family: IpFamily) -> &'static str {
    match family {
        IpFamily::V4 => "ip wherry_services",
        IpFamily::V6 => "ip6 wherry_services",
    }
}

/// What the fixed part of a family's table depends on; displayed, it is the script that replaces the table by an
/// empty one.
pub(super) struct Base {
    pub(super) family: IpFamily,
    pub(super) service_cidr: IpNet,
    /// The ClusterIP that is this node's own, for questions about names.
    pub(super) dns: Option<IpAddr>,
    pub(super) cluster_cidr: IpNet,
    pub(super) pod_cidr: IpNet,
    /// This node's Pods with a network namespace.
    pub(super) namespaced: IpNet,
    /// This node's Pods without one.
    pub(super) local: IpNet,
}

impl Base {
    /// Of a node with these ranges; nothing for a family in which there are no Services.
    pub(super) fn of(family: IpFamily, config: &ServicesConfig, layout: &Layout) -> Option<Self> {
        Some(Self {
            family,
            service_cidr: config.service_cidr.of(family)?,
            dns: config.dns.iter().copied().find(|ip| IpFamily::of(*ip) == family),
            cluster_cidr: config.cluster_cidr.of(family)?,
            pod_cidr: config.pod_cidr.of(family)?,
            namespaced: layout.namespaced(family)?,
            local: layout.local(family)?,
        })
    }
}

impl fmt::Display for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, ip, address) = (table(self.family), header(self.family), address_type(self.family));
        let own = self
            .dns
            .map(|dns| format!("{ip} daddr {dns} meta l4proto {{ tcp, udp }} th dport {PORT} return\n    "));
        let marked = format!("meta mark & {MARK:#x} == {MARK:#x} {ip} daddr != {} masquerade", self.pod_cidr);
        write!(
            f,
            "add table {table}
delete table {table}
table {table} {{
  map cluster {{ type {address} . inet_proto . inet_service : verdict; }}
  map external {{ type {address} . inet_proto . inet_service : verdict; }}
  map node_ports {{ type inet_proto . inet_service : verdict; }}
  set hairpin {{ type {address} . {address}; }}
  {spread}
  chain services {{
    {own}{ip} daddr . meta l4proto . th dport vmap @cluster
    {lead}
    {ip} daddr {services} meta l4proto tcp reject with tcp reset
    {ip} daddr {services} meta l4proto udp reject
    {ip} daddr . meta l4proto . th dport vmap @external
    {ip} daddr != {local} fib daddr type local meta l4proto . th dport vmap @node_ports
  }}
  {base_chains}
}}
",
            own = own.unwrap_or_default(),
            spread = spread::of_table(self.family),
            lead = spread::rules(self.family),
            services = self.service_cidr,
            local = self.local,
            base_chains = base_chains(self.family, "services", &marked),
        )
    }
}

/// The script that replaces the first rules of each pair by the second, in one transaction. `kept` tells which addresses of
/// the set `hairpin` others need.
pub(super) fn update(
    family: IpFamily,
    changes: &[(&Fragment, &Fragment)],
    kept: impl Fn(IpAddr) -> bool,
) -> String {
    let mut script = Script::about(table(family));
    // Elements first: they refer to chains that may go, and a key may move from one Service to another.
    for (old, new) in changes {
        script.missing_elements("delete", old, new);
    }
    for (old, new) in changes {
        script.replace_chains(family, old, new);
    }
    for (old, new) in changes {
        script.missing_elements("add", new, old);
    }
    script.change_hairpin(changes, kept);
    script.text
}

impl Script {
    /// Adds or deletes what the second lacks of the first.
    fn missing_elements(&mut self, verb: &str, first: &Fragment, second: &Fragment) {
        for (set, elements) in &first.elements {
            let others = second.elements.get(set);
            let missing = elements
                .iter()
                .filter(|(key, data)| others.and_then(|others| others.get(*key)) != Some(data));
            let missing: Vec<String> = missing
                .map(|(key, data)| {
                    data.as_ref().map_or_else(|| key.clone(), |data| format!("{key} : {data}"))
                })
                .collect();
            self.elements(verb, set, &missing);
        }
    }

    fn replace_chains(&mut self, family: IpFamily, old: &Fragment, new: &Fragment) {
        let (table, address) = (table(family), address_type(family));
        for (set, seconds) in new.sets.iter().filter(|(set, _)| !old.sets.contains_key(*set)) {
            self.line(&format!(
                "add set {table} {set} {{ type {address}; flags dynamic, timeout; timeout {seconds}s; }}"
            ));
        }
        self.chains(&old.chains, &new.chains);
        for set in old.sets.keys().filter(|set| !new.sets.contains_key(*set)) {
            self.line(&format!("delete set {table} {set}"));
        }
    }

    fn change_hairpin(&mut self, changes: &[(&Fragment, &Fragment)], kept: impl Fn(IpAddr) -> bool) {
        let had: BTreeSet<IpAddr> = changes.iter().flat_map(|(old, _)| &old.hairpin).copied().collect();
        let has: BTreeSet<IpAddr> = changes.iter().flat_map(|(_, new)| &new.hairpin).copied().collect();
        let pairs = |from: &BTreeSet<IpAddr>, other: &BTreeSet<IpAddr>| -> Vec<String> {
            let changed = from.difference(other).filter(|ip| !kept(**ip));
            changed.map(|ip| format!("{ip} . {ip}")).collect()
        };
        self.elements("delete", "hairpin", &pairs(&had, &has));
        self.elements("add", "hairpin", &pairs(&has, &had));
    }
}
