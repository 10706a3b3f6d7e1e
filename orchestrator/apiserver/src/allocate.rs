//! Cluster IPs and node ports of Services.
//!
//! What is taken is read from the stored Services, so there is nothing to leak and nothing to repair. Writers of
//! Services hold [`Allocator`]'s lock from reading to writing, so nothing is given out twice.

use std::collections::HashSet;
use std::net::IpAddr;
use std::ops::RangeInclusive;

use ipnet::IpNet;
use tokio::sync::{Mutex, MutexGuard};
use wherry_schema::Value;
use wherry_store::Snapshot;

use crate::extract::{CLUSTER_IPS, NODE_PORTS};
use crate::kinds::service::{needs_ip, needs_node_ports};
use crate::object::Fields;
use crate::validation::service::check_ips;
use crate::validation::{Errors, Path};

const POLICY: &str = "spec.ipFamilyPolicy";
const FAMILIES: &str = "spec.ipFamilies";
const SERVICES: &str = "/registry/services/";

/// Gives out addresses and ports.
pub(crate) struct Allocator {
    range: IpNet,
    ports: RangeInclusive<u16>,
    cursor: Mutex<Cursor>,
}

/// Where the search continues, so that an address just freed is not reused at once.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    ip: u64,
    port: u16,
}

/// The right to write Services.
pub(crate) type Guard<'a> = MutexGuard<'a, Cursor>;

/// What the stored Services, other than one, hold.
struct Taken {
    ips: HashSet<IpAddr>,
    ports: HashSet<String>,
}

impl Taken {
    fn read(snapshot: &Snapshot, except: &str) -> Self {
        let mut taken = Self { ips: HashSet::new(), ports: HashSet::new() };
        for entry in snapshot.range(SERVICES, None).filter(|e| &*e.key != except) {
            let list = |name: &str| entry.attributes.get(name).unwrap_or_default().to_owned();
            taken.ips.extend(list(CLUSTER_IPS).split(',').filter_map(|ip| ip.parse::<IpAddr>().ok()));
            taken.ports.extend(list(NODE_PORTS).split(',').filter(|p| !p.is_empty()).map(str::to_owned));
        }
        taken
    }
}

impl Allocator {
    /// An allocator for these ranges.
    pub(crate) fn new(range: IpNet, ports: RangeInclusive<u16>) -> Self {
        Self { range, ports, cursor: Mutex::new(Cursor::default()) }
    }

    /// Where Services get their addresses from.
    pub(crate) fn service_cidr(&self) -> IpNet {
        self.range
    }

    /// Waits for the right to write Services.
    pub(crate) async fn lock(&self) -> Guard<'_> {
        self.cursor.lock().await
    }

    /// Begins to give out what is free of the state. `key` is the Service's own storage key. A dry run holds nothing,
    /// so it does not mind what others hold.
    pub(crate) fn search<'a>(
        &'a self,
        cursor: &'a mut Cursor,
        snapshot: &Snapshot,
        key: &str,
        dry_run: bool,
    ) -> Search<'a> {
        let taken = Taken::read(snapshot, key);
        Search { allocator: self, cursor, taken, dry_run, errors: Errors::default() }
    }

    fn at(&self, offset: u64) -> IpAddr {
        match self.range.network() {
            IpAddr::V4(base) => {
                let offset = u32::try_from(offset).expect("an offset has at most 20 bits");
                IpAddr::V4(u32::from(base).wrapping_add(offset).into())
            }
            IpAddr::V6(base) => IpAddr::V6(u128::from(base).wrapping_add(u128::from(offset)).into()),
        }
    }
}

/// Completes one Service.
pub(crate) struct Search<'a> {
    allocator: &'a Allocator,
    cursor: &'a mut Cursor,
    taken: Taken,
    dry_run: bool,
    errors: Errors,
}

impl Search<'_> {
    /// Completes a Service with the address and ports it needs.
    pub(crate) fn complete(mut self, object: &mut Value) -> Result<(), Errors> {
        if object.text("spec.type") != "ExternalName" {
            let spec = object.field("spec").unwrap_or(&Value::Null);
            check_ips(spec, &Path::new("spec"), &mut self.errors);
            if self.errors.is_empty() {
                self.families(object);
            }
            if needs_ip(object) && self.errors.is_empty() {
                self.address(object);
            }
        }
        if needs_node_ports(object) && self.errors.is_empty() {
            self.node_ports(object);
        }
        if self.errors.is_empty() { Ok(()) } else { Err(self.errors) }
    }

    /// Settles which families of addresses the Service has.
    fn families(&mut self, object: &mut Value) {
        let own = if self.allocator.range.addr().is_ipv4() { "IPv4" } else { "IPv6" };
        let everywhere = object.text("spec.clusterIP") == "None"
            && object.map("spec.selector").is_none_or(wherry_schema::Object::is_empty);
        if !object.has(POLICY) {
            object.put(POLICY, if everywhere { "RequireDualStack" } else { "SingleStack" });
        }
        let policy = object.text(POLICY).to_owned();
        let mut families = self.asked_families(object, &policy, own);
        if self.errors.is_empty() && !everywhere {
            if policy == "RequireDualStack" {
                let detail = "this cluster is not configured for dual-stack services";
                self.errors.invalid(&Path::new(POLICY), &policy, detail);
            }
            for (index, family) in families.iter().enumerate().filter(|(_, family)| *family != own) {
                let path = Path::new(FAMILIES).index(index);
                self.errors.invalid(&path, family, "not configured on this cluster");
            }
        }
        if families.is_empty() {
            families.push(own.to_owned());
        }
        if everywhere && families.len() < 2 && policy != "SingleStack" {
            families.push(if families[0] == "IPv4" { "IPv6" } else { "IPv4" }.to_owned());
        }
        object.put(FAMILIES, families);
    }

    /// The families the Service names, or has by its addresses.
    fn asked_families(&mut self, object: &Value, policy: &str, own: &str) -> Vec<String> {
        let list = |field: &str| -> Vec<String> {
            object.items(field).iter().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let (ips, mut families) = (list("spec.clusterIPs"), list(FAMILIES));
        for (count, what) in [(ips.len(), "cluster IPs"), (families.len(), "IP families")] {
            if policy == "SingleStack" && count == 2 {
                let detail = format!(
                    "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                );
                self.errors.invalid(&Path::new(POLICY), policy, &detail);
            }
        }
        let asked = families.len();
        for (index, ip) in ips.iter().enumerate().skip(asked).filter(|(_, ip)| *ip != "None") {
            let family = if ip.contains(':') { "IPv6" } else { "IPv4" };
            if family == own {
                families.push(family.to_owned());
            } else {
                let shown = Value::Array(object.items("spec.clusterIPs").to_vec());
                let detail = format!("{family} is not configured on this cluster");
                self.errors.invalid(&Path::new("spec.clusterIPs").index(index), &shown, &detail);
            }
        }
        families
    }

    fn address(&mut self, object: &mut Value) {
        let path = Path::new("spec.clusterIPs");
        if let Ok(ip) = object.text("spec.clusterIP").parse::<IpAddr>() {
            let list = Value::Array(object.items("spec.clusterIPs").to_vec());
            let range = self.allocator.range;
            if !range.contains(&ip) {
                // Upstream asks one range in a dry run, else it looks for the range to ask.
                let why = if self.dry_run {
                    format!(
                        "the provided IP ({ip}) is not in the valid range. The range of valid IPs is {range}"
                    )
                } else {
                    "the provided network does not match the current range".to_owned()
                };
                let detail = format!("failed to allocate IP {ip}: {why}");
                self.errors.invalid(&path, &list, &detail);
            } else if self.taken.ips.contains(&ip) && !self.dry_run {
                let detail = format!("failed to allocate IP {ip}: provided IP is already allocated");
                self.errors.invalid(&path, &list, &detail);
            }
            return;
        }
        match self.free_address() {
            Some(ip) => {
                object.put("spec.clusterIP", ip.to_string());
                object.put("spec.clusterIPs", vec![ip.to_string()]);
            }
            None => self.errors.invalid(&path, "", "failed to allocate a serviceIP: range is full"),
        }
    }

    /// The next free address: first of the part kept for addresses nobody asked for by number, then of the rest.
    fn free_address(&mut self) -> Option<IpAddr> {
        let range = self.allocator.range;
        let bits = u32::from(range.max_prefix_len() - range.prefix_len()).min(20);
        let size = (1_u64 << bits).saturating_sub(2);
        let reserved = (size / 16).clamp(16, 256).min(size / 2);
        let dynamic = size.saturating_sub(reserved);
        // Offset 0 is the network, 1 the API server's own Service.
        let first = self.cursor.ip;
        let late = (0..dynamic).map(|i| 1 + reserved + (first + i) % dynamic.max(1));
        let early = 2..=reserved;
        let free = |offset: &u64| *offset <= size && !self.taken.ips.contains(&self.allocator.at(*offset));
        let offset = late.chain(early).find(free)?;
        self.cursor.ip = offset.saturating_sub(reserved);
        Some(self.allocator.at(offset))
    }

    fn node_ports(&mut self, object: &mut Value) {
        if self.dry_run {
            self.taken.ports.clear();
        }
        for (index, port) in object.items("spec.ports").iter().enumerate() {
            if port.int("nodePort").unwrap_or(0) != 0 {
                self.take_port(port, &Path::new("spec.ports").index(index).child("nodePort"));
            }
        }
        for port in object.items_mut("spec.ports") {
            if port.int("nodePort").unwrap_or(0) == 0 {
                self.give_port(port);
            }
        }
        let local = object.text("spec.externalTrafficPolicy") == "Local"
            && object.text("spec.type") == "LoadBalancer";
        if local && object.int("spec.healthCheckNodePort").unwrap_or(0) == 0 {
            let mut port = Value::object();
            port.put("protocol", "TCP");
            self.give_port(&mut port);
            object.assign("spec.healthCheckNodePort", port.take("nodePort"));
        }
    }

    /// Takes the port that was asked for.
    fn take_port(&mut self, port: &Value, path: &Path) {
        let asked = port.int("nodePort").unwrap_or(0);
        let (low, high) = (self.allocator.ports.start(), self.allocator.ports.end());
        if !self.dry_run && !(i64::from(*low)..=i64::from(*high)).contains(&asked) {
            let detail =
                format!("provided port is not in the valid range. The range of valid ports is {low}-{high}");
            self.errors.invalid(path, asked, &detail);
        } else if !self.taken.ports.insert(format!("{}/{asked}", port.text("protocol"))) {
            self.errors.invalid(path, asked, "provided port is already allocated");
        }
    }

    /// Gives the next free port.
    fn give_port(&mut self, port: &mut Value) {
        let protocol = port.text("protocol").to_owned();
        let (start, end) = (*self.allocator.ports.start(), *self.allocator.ports.end());
        let size = end - start + 1;
        let first = self.cursor.port;
        let free = (0..size)
            .map(|i| start + (first + i) % size)
            .map(|number| (number, format!("{protocol}/{number}")))
            .find(|(_, key)| !self.taken.ports.contains(key));
        if let Some((number, key)) = free {
            self.cursor.port = (number - start + 1) % size;
            self.taken.ports.insert(key);
            port.put("nodePort", i64::from(number));
        } else {
            let detail = "failed to allocate a nodePort: range is full";
            self.errors.invalid(&Path::new("spec.ports"), "", detail);
        }
    }
}
