//! The kernel's data plane: one nftables table, changed by transactions.
//!
//! ```text
//! prerouting, output (nat) -> services --- map cluster: address . protocol . port --> all_… / here_…  (dnat, reject or drop)
//!                                      |-- map external: address . protocol . port -> lb_… -> ext_… -> all_… / here_…
//!                                      \-- map node_ports: protocol . port -----------------> ext_… -> all_… / here_…
//! postrouting (nat) -> masquerade what could not be answered otherwise
//! ```
//!
//! A packet costs one map lookup however many Services there are; a changed Service costs a transaction with
//! only its own chains and map elements. Established TCP connections keep their endpoint, because the kernel
//! translates them by connection and not by rule; UDP flows to an endpoint that is gone are forgotten
//! (`network::conntrack`), so that their next packet meets the new rules.
//!
//! - `ruleset`: the chains and elements of one Service, from its planned ports (pure).
//! - `script`: the text that turns one state of the rules into another (pure).
//! - `udp`: which UDP flows are stale after a change (pure).

mod ruleset;
mod script;
mod udp;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::Ipv4Addr;

use super::ServicesConfig;
use super::model::ObjectKey;
use super::plan::ServicePort;
use crate::network::{Layout, NetworkError, Protocol, conntrack, nft};
use ruleset::Fragment;
use script::Base;
use udp::UdpService;

/// The rules in force and the rules wanted.
pub(super) struct Nftables {
    base: Base,
    /// What every Service needs.
    wanted: BTreeMap<ObjectKey, Wanted>,
    /// How many Services need an address in the set `hairpin`.
    hairpins: BTreeMap<Ipv4Addr, usize>,
    kernel: Kernel,
    /// UDP flows to look through once the rules are in force.
    stale: BTreeMap<ObjectKey, Vec<UdpService>>,
}

/// What is known of the rules in the kernel.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kernel {
    /// Whatever an earlier run left.
    Unknown,
    /// Exactly the rules of `wanted`.
    InSync,
    /// A script was refused.
    Refused,
}

#[derive(Default)]
struct Wanted {
    ports: Vec<ServicePort>,
    rules: Fragment,
}

impl Nftables {
    /// Knows of no Services yet, and replaces whatever rules there are with the first call of `apply`.
    pub(super) fn new(config: &ServicesConfig) -> Result<Self, NetworkError> {
        let layout = Layout::of(config.pod_cidr)?;
        let base = Base {
            service_cidr: config.service_cidr,
            dns: config.dns,
            cluster_cidr: config.cluster_cidr,
            pod_cidr: config.pod_cidr,
            namespaced: layout.namespaced,
            local: layout.local,
        };
        Ok(Self {
            base,
            wanted: BTreeMap::new(),
            hairpins: BTreeMap::new(),
            kernel: Kernel::Unknown,
            stale: BTreeMap::new(),
        })
    }

    /// See `Dataplane`.
    pub(super) async fn apply(&mut self, changes: BTreeMap<ObjectKey, Vec<ServicePort>>) {
        let mut replaced = Vec::new();
        for (key, ports) in changes {
            let known = self.wanted.get(&key).map_or(&[][..], |wanted| &wanted.ports);
            if known != ports {
                self.note_udp(&key, &ports);
                replaced.push((key.clone(), self.want(&key, ports)));
            }
        }
        let in_sync = self.kernel == Kernel::InSync;
        if in_sync && replaced.is_empty() {
            return;
        }
        let script = if in_sync { self.difference(&replaced) } else { self.everything() };
        match nft::apply(script).await {
            Ok(()) => {
                self.kernel = Kernel::InSync;
                self.forget_flows().await;
            }
            Err(error) => self.refused(&error),
        }
    }

    /// See `Dataplane`.
    pub(super) fn wants_retry(&self) -> bool {
        self.kernel == Kernel::Refused
    }

    /// Tells of the first failure of a series.
    fn refused(&mut self, error: &nft::NftError) {
        if self.kernel != Kernel::Refused {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "the rules of Services were not applied; writing them anew until that works"
            );
        }
        self.kernel = Kernel::Refused;
    }

    /// Notes what a Service needs; returns the rules it had.
    fn want(&mut self, key: &ObjectKey, ports: Vec<ServicePort>) -> Fragment {
        let old = if ports.is_empty() {
            self.wanted.remove(key)
        } else {
            let rules = Fragment::of(key, &ports, &self.base);
            for ip in &rules.hairpin {
                *self.hairpins.entry(*ip).or_default() += 1;
            }
            self.wanted.insert(key.clone(), Wanted { ports, rules })
        };
        let old = old.unwrap_or_default().rules;
        for ip in &old.hairpin {
            if let Entry::Occupied(mut count) = self.hairpins.entry(*ip) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
        old
    }

    fn difference(&self, replaced: &[(ObjectKey, Fragment)]) -> String {
        let nothing = Fragment::default();
        let changes: Vec<(&Fragment, &Fragment)> = replaced
            .iter()
            .map(|(key, old)| (old, self.wanted.get(key).map_or(&nothing, |wanted| &wanted.rules)))
            .collect();
        let mut of_batch = BTreeMap::<Ipv4Addr, usize>::new();
        for ip in changes.iter().flat_map(|(_, new)| &new.hairpin) {
            *of_batch.entry(*ip).or_default() += 1;
        }
        script::update(&changes, |ip| self.hairpins.get(&ip) > of_batch.get(&ip))
    }

    fn everything(&self) -> String {
        let nothing = Fragment::default();
        let changes: Vec<(&Fragment, &Fragment)> =
            self.wanted.values().map(|wanted| (&nothing, &wanted.rules)).collect();
        format!("{}{}", self.base, script::update(&changes, |_| false))
    }

    fn note_udp(&mut self, key: &ObjectKey, ports: &[ServicePort]) {
        let before = self.wanted.get(key).map_or(&[][..], |wanted| &wanted.ports);
        let is_udp = |port: &&ServicePort| port.protocol == Protocol::Udp;
        let now: Vec<UdpService> = ports.iter().filter(is_udp).map(UdpService::of).collect();
        let gone = before.iter().filter(is_udp).map(|port| UdpService::of(port).without_backends());
        let gone = gone.filter(|old| now.iter().all(|new| !new.same_front(old)));
        let all: Vec<UdpService> = gone.chain(now.iter().cloned()).collect();
        if !all.is_empty() {
            self.stale.insert(key.clone(), all);
        }
    }

    async fn forget_flows(&mut self) {
        let services: Vec<UdpService> = std::mem::take(&mut self.stale).into_values().flatten().collect();
        if services.is_empty() {
            return;
        }
        let is_stale = move |flow: &conntrack::Flow| services.iter().any(|service| service.is_stale(flow));
        match conntrack::forget(is_stale).await {
            Ok(0) => {}
            Ok(flows) => tracing::debug!(flows, "forgot UDP flows to endpoints that are gone"),
            Err(error) => tracing::warn!(
                error = &error as &dyn std::error::Error,
                "UDP flows may keep going to endpoints that are gone"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
