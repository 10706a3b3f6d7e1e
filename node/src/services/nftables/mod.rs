//! The kernel's data plane: an nftables table for each family, changed together by transactions.
//!
//! ```text
//! prerouting, output (nat) -> services --- map cluster: address . protocol . port --> all_… / here_…  (dnat, reject or drop)
//!                                      |-- maps endpoint_0 and so on: address . protocol . port -> dnat
//!                                      |-- map external: address . protocol . port -> lb_… -> ext_… -> all_… / here_…
//!                                      \-- map node_ports: protocol . port -----------------> ext_… -> all_… / here_…
//! postrouting (nat) -> masquerade what could not be answered otherwise
//! ```
//!
//! A packet costs a few lookups however many Services there are; a changed Service costs a transaction with
//! only its own elements and, where it needs any, chains. Established TCP connections keep their endpoint, because the kernel
//! translates them by connection and not by rule; UDP flows to an endpoint that is gone are forgotten
//! (`network::conntrack`), so that their next packet meets the new rules.
//!
//! - `table`: what all Services need of the table of one family (pure).
//! - `ruleset`: the chains and elements of one Service, from its planned ports (pure).
//! - `spread`: the part of the table that ports with few endpoints share (pure).
//! - `script`: the text that turns one state of the rules into another (pure).
//! - `udp`: which UDP flows are stale after a change (pure).

mod ruleset;
mod script;
mod spread;
mod table;
mod udp;

use std::collections::BTreeMap;

use super::ServicesConfig;
use super::model::ObjectKey;
use super::plan::ServicePort;
use crate::network::nft::{NftError, Transactions};
use crate::network::{Layout, NetworkError, Protocol, conntrack};
use script::Base;
use table::Table;
use udp::UdpService;

/// The rules in force and the rules wanted.
pub(super) struct Nftables {
    /// One for each family.
    tables: Vec<Table>,
    kernel: Kernel,
    transactions: Transactions,
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

impl Nftables {
    /// Knows of no Services yet, and replaces whatever rules there are with the first call of `apply`.
    pub(super) fn new(config: &ServicesConfig) -> Result<Self, NetworkError> {
        let layout = Layout::of(config.pod_cidr)?;
        let tables = layout.families().filter_map(|family| Base::of(family, config, &layout)).map(Table::new);
        Ok(Self {
            tables: tables.collect(),
            kernel: Kernel::Unknown,
            transactions: Transactions::default(),
            stale: BTreeMap::new(),
        })
    }

    /// See `Dataplane`.
    pub(super) async fn apply(&mut self, changes: BTreeMap<ObjectKey, Vec<ServicePort>>) {
        for (key, ports) in changes {
            let known: Vec<_> = self.tables.iter().flat_map(|table| table.known(&key)).cloned().collect();
            self.note_udp(&key, &known, &ports);
            for table in &mut self.tables {
                let ports = table.ports_of(&ports);
                if table.known(&key) != ports {
                    table.want(&key, ports);
                }
            }
        }
        let in_sync = self.kernel == Kernel::InSync;
        if in_sync && !self.tables.iter().any(Table::is_changed) {
            return;
        }
        let of_table: fn(&mut Table) -> String = if in_sync { Table::difference } else { Table::everything };
        let script: String = self.tables.iter_mut().map(of_table).collect();
        match self.transactions.apply(script).await {
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
    fn refused(&mut self, error: &NftError) {
        if self.kernel != Kernel::Refused {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "the rules of Services were not applied; writing them anew until that works"
            );
        }
        self.kernel = Kernel::Refused;
    }

    fn note_udp(&mut self, key: &ObjectKey, before: &[ServicePort], ports: &[ServicePort]) {
        if before == ports {
            return;
        }
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
