//! The kernel's part: a table for each family, whose maps say where the node's ports lead.
//!
//! ```text
//! prerouting, output (nat) -> lead --- map at:  address . protocol . port -> Pod . port
//!                                  \-- map any: protocol . port -> Pod . port, at the node's addresses
//! postrouting (nat) -> masquerade what could not be answered otherwise
//! ```
//!
//! Addresses of Pods and of Services are the node's own, too, where nothing is translated: they are left alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;
use wherry_api::ranges::{IpFamily, Ranges};

use super::{HostPort, HostPortError};
use crate::network::nft::{self, Transactions};
use crate::network::{Layout, NetworkConfig, PodAddress, Protocol, conntrack};

/// What the table is called in each family.
const TABLE: &str = "wherry_host_ports";

/// The ports of one Pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Led {
    pod_uid: String,
    ip: IpAddr,
    #[serde(default)]
    ip6: Option<Ipv6Addr>,
    ports: Vec<HostPort>,
}

impl Led {
    fn ips(&self) -> impl Iterator<Item = IpAddr> + use<> {
        [Some(self.ip), self.ip6.map(IpAddr::V6)].into_iter().flatten()
    }

    /// The Pod's address of a family.
    fn address(&self, family: IpFamily) -> Option<IpAddr> {
        self.ips().find(|ip| IpFamily::of(*ip) == family)
    }
}

/// See the module.
pub(super) struct Kernel {
    journal: PathBuf,
    /// The node's addresses.
    node: Vec<IpAddr>,
    services: Ranges,
    layout: Layout,
    /// What is wanted, in the order in which it was asked for.
    led: Vec<Led>,
    /// Whether the kernel's table is exactly that.
    in_sync: bool,
    transactions: Transactions,
}

/// The elements of the maps and of the set.
#[derive(Debug, Default, PartialEq, Eq)]
struct Elements {
    at: BTreeMap<String, String>,
    any: BTreeMap<String, String>,
    hairpin: BTreeSet<String>,
}

impl Kernel {
    /// Reads what led where and makes the table anew.
    pub(super) async fn open(config: &NetworkConfig, node: Vec<IpAddr>) -> Result<Self, HostPortError> {
        let layout = Layout::of(config.pod_cidr).map_err(HostPortError::Network)?;
        let directory = config.data_dir.join("network");
        let journal = directory.join("host-ports");
        let failed = |step| {
            let path = journal.clone();
            move |source| HostPortError::Journal { step, path, source }
        };
        std::fs::create_dir_all(&directory).map_err(failed("create the folder of"))?;
        let led = read(&journal).map_err(failed("read"))?;
        let (services, transactions) = (config.service_cidr, Transactions::default());
        let mut kernel = Self { journal, node, services, layout, led, in_sync: false, transactions };
        kernel.apply(&[]).await?;
        Ok(kernel)
    }

    /// See `HostPorts`.
    pub(super) async fn lead(
        &mut self,
        pod_uid: &str,
        pod: &PodAddress,
        ports: Vec<HostPort>,
    ) -> Result<(), HostPortError> {
        let led = Led { pod_uid: pod_uid.to_owned(), ip: pod.ip, ip6: pod.ip6, ports };
        let lost = |port: &&HostPort| {
            port.address.is_some_and(|address| led.address(IpFamily::of(address)).is_none())
        };
        if let Some(HostPort { number, address: Some(address), .. }) = led.ports.iter().find(lost) {
            return Err(HostPortError::Family { port: *number, address: *address });
        }
        let known = self.led.iter().find(|known| known.pod_uid == pod_uid);
        let same = known.map_or(led.ports.is_empty(), |known| *known == led);
        if same && self.in_sync {
            return Ok(());
        }
        let mut wanted = self.others(pod_uid);
        if !led.ports.is_empty() {
            wanted.push(led);
        }
        self.change(wanted).await
    }

    /// See `HostPorts`.
    pub(super) async fn withdraw(&mut self, pod_uid: &str) -> Result<(), HostPortError> {
        if self.led.iter().any(|led| led.pod_uid == pod_uid) {
            let others = self.others(pod_uid);
            return self.change(others).await;
        }
        Ok(())
    }

    fn others(&self, pod_uid: &str) -> Vec<Led> {
        self.led.iter().filter(|led| led.pod_uid != pod_uid).cloned().collect()
    }

    async fn change(&mut self, wanted: Vec<Led>) -> Result<(), HostPortError> {
        write(&self.journal, &wanted).map_err(|source| HostPortError::Journal {
            step: "write down",
            path: self.journal.clone(),
            source,
        })?;
        let before = std::mem::take(&mut self.led);
        let fronts: Vec<HostPort> =
            before.iter().chain(&wanted).flat_map(|led| led.ports.iter().copied()).collect();
        self.led = wanted;
        self.apply(&before).await?;
        self.forget_flows(fronts).await;
        Ok(())
    }

    /// Brings the kernel from what led where before, if it has just that, to what is wanted.
    async fn apply(&mut self, before: &[Led]) -> Result<(), HostPortError> {
        let of_family = |family: IpFamily| {
            let wanted = Elements::of(&self.led, &self.layout, family);
            if self.in_sync {
                return step(family, &Elements::of(before, &self.layout, family), &wanted);
            }
            format!("{}{}", self.table(family), step(family, &Elements::default(), &wanted))
        };
        let script: String = self.layout.families().map(of_family).collect();
        self.in_sync = false;
        self.transactions.apply(script).await.map_err(HostPortError::Rules)?;
        self.in_sync = true;
        Ok(())
    }

    /// The script that replaces a family's table by an empty one.
    fn table(&self, family: IpFamily) -> String {
        let (ip, address) = (nft::header(family), nft::address_type(family));
        let own = [self.services.of(family), self.layout.local(family)];
        let own: Vec<String> = own.iter().flatten().map(ToString::to_string).collect();
        format!(
            "add table {ip} {TABLE}
delete table {ip} {TABLE}
table {ip} {TABLE} {{
  map at {{ type {address} . inet_proto . inet_service : {address} . inet_service; }}
  map any {{ type inet_proto . inet_service : {address} . inet_service; }}
  set hairpin {{ type {address} . {address}; }}
  chain lead {{
    {ip} daddr {{ {own} }} return
    meta l4proto {{ tcp, udp }} dnat {ip} to {ip} daddr . meta l4proto . th dport map @at
    meta l4proto {{ tcp, udp }} fib daddr type local dnat {ip} to meta l4proto . th dport map @any
  }}
  {base_chains}
}}
",
            own = own.join(", "),
            base_chains = nft::base_chains(family, "lead", ""),
        )
    }

    /// Forgets UDP flows to these ports that lead elsewhere than they would now.
    async fn forget_flows(&self, fronts: Vec<HostPort>) {
        let fronts: Vec<HostPort> =
            fronts.into_iter().filter(|port| port.protocol == Protocol::Udp).collect();
        if fronts.is_empty() {
            return;
        }
        let of_pod = |led: &Led| {
            let ports = led.ports.clone();
            led.ips().flat_map(move |ip| ports.clone().into_iter().map(move |port| (ip, port)))
        };
        let pods: Vec<(IpAddr, HostPort)> = self.led.iter().flat_map(of_pod).collect();
        let node = self.node.clone();
        let is_stale = move |flow: &conntrack::Flow| {
            let ours = fronts.iter().any(|port| port.has(flow, &node));
            ours && !pods
                .iter()
                .any(|(ip, port)| port.has(flow, &node) && flow.answered_by == SocketAddr::new(*ip, port.to))
        };
        if let Err(error) = conntrack::forget(is_stale).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "UDP flows to hostPorts may keep going where they went before"
            );
        }
    }
}

impl HostPort {
    /// Whether the flow was sent to this port of the node.
    fn has(&self, flow: &conntrack::Flow, node: &[IpAddr]) -> bool {
        let to = flow.destination;
        if self.protocol != Protocol::Udp || to.port() != self.number {
            return false;
        }
        match self.address {
            Some(address) => to.ip() == address,
            // A flow to another machine's port of that number is not ours: it is answered by whom it was sent to.
            None => flow.answered_by != to || to.ip().is_loopback() || node.contains(&to.ip()),
        }
    }
}

impl Elements {
    fn of(led: &[Led], layout: &Layout, family: IpFamily) -> Self {
        let mut elements = Self::default();
        for pod in led {
            let Some(ip) = pod.address(family) else { continue };
            let of_family = |address: IpAddr| IpFamily::of(address) == family;
            for port in pod.ports.iter().filter(|port| port.address.is_none_or(of_family)) {
                let (protocol, number) = (port.protocol.as_str(), port.number);
                let to = format!("{ip} . {}", port.to);
                match port.address {
                    Some(address) => elements.at.insert(format!("{address} . {protocol} . {number}"), to),
                    None => elements.any.insert(format!("{protocol} . {number}"), to),
                };
            }
            if layout.namespaced(family).is_some_and(|range| range.contains(&ip)) {
                elements.hairpin.insert(format!("{ip} . {ip}"));
            }
        }
        elements
    }
}

/// The script from some elements to others, as one transaction.
fn step(family: IpFamily, before: &Elements, wanted: &Elements) -> String {
    let ip = nft::header(family);
    let mut script = String::new();
    let mut elements = |verb: &str, name: &str, list: Vec<String>| {
        if !list.is_empty() {
            // Writing to a String cannot fail.
            let _ = writeln!(script, "{verb} element {ip} {TABLE} {name} {{ {} }}", list.join(", "));
        }
    };
    let missing = |from: &BTreeMap<String, String>, of: &BTreeMap<String, String>| -> Vec<String> {
        let changed = from.iter().filter(|(key, to)| of.get(*key) != Some(to));
        changed.map(|(key, to)| format!("{key} : {to}")).collect()
    };
    for (name, old, new) in [("at", &before.at, &wanted.at), ("any", &before.any, &wanted.any)] {
        elements("delete", name, missing(old, new));
        elements("add", name, missing(new, old));
    }
    elements("delete", "hairpin", before.hairpin.difference(&wanted.hairpin).cloned().collect());
    elements("add", "hairpin", wanted.hairpin.difference(&before.hairpin).cloned().collect());
    script
}

/// What cannot be understood is as good as nothing: workers ask for their Pods' ports again.
fn read(path: &Path) -> io::Result<Vec<Led>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).unwrap_or_else(|error| {
            tracing::warn!(path = %path.display(), %error, "the list of hostPorts is damaged and starts anew");
            Vec::new()
        })),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

fn write(path: &Path, led: &[Led]) -> io::Result<()> {
    let mut file = NamedTempFile::new_in(path.parent().unwrap_or(path))?;
    serde_json::to_writer(&mut file, led)?;
    file.flush()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
