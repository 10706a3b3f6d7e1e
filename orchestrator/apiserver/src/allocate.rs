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
use crate::validation::{Errors, Path};

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

    /// Waits for the right to write Services.
    pub(crate) async fn lock(&self) -> Guard<'_> {
        self.cursor.lock().await
    }

    /// Completes a Service with the address and ports it needs. `key` is its own storage key. A dry run holds
    /// nothing, so it does not mind what others hold.
    pub(crate) fn complete(
        &self,
        cursor: &mut Cursor,
        snapshot: &Snapshot,
        key: &str,
        object: &mut Value,
        dry_run: bool,
    ) -> Result<(), Errors> {
        let mut errors = Errors::default();
        let taken = Taken::read(snapshot, key);
        if object.text("spec.type") != "ExternalName" {
            self.families(object, &mut errors);
            if needs_ip(object) && errors.is_empty() {
                self.address(cursor, &taken.ips, object, dry_run, &mut errors);
            }
        }
        if needs_node_ports(object) && errors.is_empty() {
            self.node_ports(cursor, taken.ports, object, dry_run, &mut errors);
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn families(&self, object: &mut Value, errors: &mut Errors) {
        let family = if self.range.addr().is_ipv4() { "IPv4" } else { "IPv6" };
        let asked =
            object.items("spec.ipFamilies").first().and_then(Value::as_str).unwrap_or(family).to_owned();
        if asked != family {
            let path = Path::new("spec.ipFamilies").index(0);
            errors.invalid(&path, &asked, "not configured on this cluster");
            return;
        }
        if object.text("spec.ipFamilyPolicy") == "RequireDualStack" && object.map("spec.selector").is_some() {
            let detail = "this cluster is not configured for dual-stack services";
            errors.invalid(&Path::new("spec.ipFamilyPolicy"), "RequireDualStack", detail);
            return;
        }
        if !object.has("spec.ipFamilies") {
            object.put("spec.ipFamilies", vec![family]);
        }
        if !object.has("spec.ipFamilyPolicy") {
            object.put("spec.ipFamilyPolicy", "SingleStack");
        }
    }

    fn address(
        &self,
        cursor: &mut Cursor,
        taken: &HashSet<IpAddr>,
        object: &mut Value,
        dry_run: bool,
        errors: &mut Errors,
    ) {
        let asked = object.text("spec.clusterIP").to_owned();
        let path = Path::new("spec.clusterIPs");
        if let Ok(ip) = asked.parse::<IpAddr>() {
            let list = Value::Array(object.items("spec.clusterIPs").to_vec());
            if !self.range.contains(&ip) {
                let detail = format!(
                    "failed to allocate IP {ip}: the provided IP ({ip}) is not in the valid range. The range of \
                     valid IPs is {}",
                    self.range
                );
                errors.invalid(&path, &list, &detail);
            } else if taken.contains(&ip) && !dry_run {
                let detail = format!("failed to allocate IP {ip}: provided IP is already allocated");
                errors.invalid(&path, &list, &detail);
            }
            return;
        }
        match self.free_address(cursor, taken) {
            Some(ip) => {
                object.put("spec.clusterIP", ip.to_string());
                object.put("spec.clusterIPs", vec![ip.to_string()]);
            }
            None => errors.invalid(&path, "", "failed to allocate a serviceIP: range is full"),
        }
    }

    /// The next free address: first of the part kept for addresses nobody asked for by number, then of the rest.
    fn free_address(&self, cursor: &mut Cursor, taken: &HashSet<IpAddr>) -> Option<IpAddr> {
        let bits = u32::from(self.range.max_prefix_len() - self.range.prefix_len()).min(20);
        let size = (1_u64 << bits).saturating_sub(2);
        let reserved = (size / 16).clamp(16, 256).min(size / 2);
        let dynamic = size.saturating_sub(reserved);
        // Offset 0 is the network, 1 the API server's own Service.
        let late = (0..dynamic).map(|i| 1 + reserved + (cursor.ip + i) % dynamic.max(1));
        let early = 2..=reserved;
        let offset = late.chain(early).find(|o| *o <= size && !taken.contains(&self.at(*o)))?;
        cursor.ip = offset.saturating_sub(reserved);
        Some(self.at(offset))
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

    fn node_ports(
        &self,
        cursor: &mut Cursor,
        mut taken: HashSet<String>,
        object: &mut Value,
        dry_run: bool,
        errors: &mut Errors,
    ) {
        if dry_run {
            taken.clear();
        }
        for (index, port) in object.items_mut("spec.ports").iter_mut().enumerate() {
            let path = Path::new("spec.ports").index(index).child("nodePort");
            let protocol = port.text("protocol").to_owned();
            let asked = port.int("nodePort").unwrap_or(0);
            if asked != 0 {
                self.take_port(asked, &protocol, &mut taken, dry_run, &path, errors);
            }
        }
        for port in object.items_mut("spec.ports") {
            if port.int("nodePort").unwrap_or(0) == 0 {
                self.give_port(cursor, port, &mut taken, errors);
            }
        }
        let local = object.text("spec.externalTrafficPolicy") == "Local"
            && object.text("spec.type") == "LoadBalancer";
        if local && object.int("spec.healthCheckNodePort").unwrap_or(0) == 0 {
            let mut port = Value::object();
            port.put("protocol", "TCP");
            self.give_port(cursor, &mut port, &mut taken, errors);
            object.assign("spec.healthCheckNodePort", port.take("nodePort"));
        }
    }

    fn take_port(
        &self,
        asked: i64,
        protocol: &str,
        taken: &mut HashSet<String>,
        dry_run: bool,
        path: &Path,
        errors: &mut Errors,
    ) {
        let (low, high) = (self.ports.start(), self.ports.end());
        if !dry_run && !(i64::from(*low)..=i64::from(*high)).contains(&asked) {
            let detail =
                format!("provided port is not in the valid range. The range of valid ports is {low}-{high}");
            errors.invalid(path, asked, &detail);
        } else if !taken.insert(format!("{protocol}/{asked}")) {
            errors.invalid(path, asked, "provided port is already allocated");
        }
    }

    fn give_port(
        &self,
        cursor: &mut Cursor,
        port: &mut Value,
        taken: &mut HashSet<String>,
        errors: &mut Errors,
    ) {
        let protocol = port.text("protocol").to_owned();
        let size = self.ports.end() - self.ports.start() + 1;
        let candidates = (0..size).map(|i| self.ports.start() + (cursor.port + i) % size);
        let free = candidates
            .map(|number| (number, format!("{protocol}/{number}")))
            .find(|(_, key)| !taken.contains(key));
        match free {
            Some((number, key)) => {
                cursor.port = (number - self.ports.start() + 1) % size;
                taken.insert(key);
                port.put("nodePort", i64::from(number));
            }
            None => {
                errors.invalid(&Path::new("spec.ports"), "", "failed to allocate a nodePort: range is full")
            }
        }
    }
}
