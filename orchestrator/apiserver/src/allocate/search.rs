//! The search for what one Service needs.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;

use ipnet::IpNet;
use wherry_api::ranges::IpFamily;
use wherry_schema::Value;
use wherry_store::Precondition;

use super::Allocator;
use super::ranges::{Range, Ranges};
use super::taken::Taken;
use crate::admission::kind;
use crate::codec;
use crate::kinds::service::{needs_ip, needs_node_ports};
use crate::object::{self, Fields};
use crate::validation::service::check_ips;
use crate::validation::{Errors, Path};

const POLICY: &str = "spec.ipFamilyPolicy";
const FAMILIES: &str = "spec.ipFamilies";
const IPS: &str = "spec.clusterIPs";

/// Completes one Service.
pub(super) struct Search<'a> {
    allocator: &'a Allocator,
    ranges: &'a Ranges,
    /// Where the search for an address continues in each range.
    ips: &'a mut HashMap<IpNet, u64>,
    /// Where the search for a port continues.
    port: &'a mut u16,
    taken: &'a Taken,
    /// The Service's own key.
    key: &'a str,
    dry_run: bool,
    /// The ports that this Service has by now.
    ports: HashSet<String>,
    /// What must hold when the Service is written.
    preconditions: Vec<Precondition>,
    errors: Errors,
}

impl<'a> Search<'a> {
    pub(super) fn new(
        allocator: &'a Allocator,
        ranges: &'a Ranges,
        (ips, port): (&'a mut HashMap<IpNet, u64>, &'a mut u16),
        (taken, key): (&'a Taken, &'a str),
        dry_run: bool,
    ) -> Self {
        let (ports, preconditions, errors) = (HashSet::new(), Vec::new(), Errors::default());
        Self { allocator, ranges, ips, port, taken, key, dry_run, ports, preconditions, errors }
    }

    /// Completes a Service, that was `old`, with the addresses and ports it needs.
    pub(super) fn complete(
        mut self,
        object: &mut Value,
        old: Option<&Value>,
    ) -> Result<Vec<Precondition>, Errors> {
        if object.text("spec.type") != "ExternalName" {
            if !old.is_some_and(|old| is_settled(object, old)) {
                let spec = object.field("spec").unwrap_or(&Value::Null);
                check_ips(spec, &Path::new("spec"), &mut self.errors);
                if self.errors.is_empty() {
                    self.families(object);
                }
            }
            if needs_ip(object) && self.errors.is_empty() {
                self.addresses(object);
            }
        }
        if needs_node_ports(object) && self.errors.is_empty() {
            self.node_ports(object);
        }
        if self.errors.is_empty() { Ok(self.preconditions) } else { Err(self.errors) }
    }

    /// Settles which families of addresses the Service has.
    fn families(&mut self, object: &mut Value) {
        let own = self.allocator.default;
        let everywhere = object.text("spec.clusterIP") == "None"
            && object.map("spec.selector").is_none_or(wherry_schema::Object::is_empty);
        if !object.has(POLICY) {
            object.put(POLICY, if everywhere { "RequireDualStack" } else { "SingleStack" });
        }
        let policy = object.text(POLICY).to_owned();
        let mut families = self.asked_families(object, &policy);
        if self.errors.is_empty() && !everywhere {
            if policy == "RequireDualStack" && own.secondary().is_none() {
                let detail = "this cluster is not configured for dual-stack services";
                self.errors.invalid(&Path::new(POLICY), &policy, detail);
            }
            for (index, family) in families.iter().enumerate() {
                if IpFamily::named(family).is_none_or(|family| own.of(family).is_none()) {
                    let path = Path::new(FAMILIES).index(index);
                    self.errors.invalid(&path, family, "not configured on this cluster");
                }
            }
        }
        if families.is_empty() {
            families.extend(own.families().take(1).map(|family| family.name().to_owned()));
        }
        if policy != "SingleStack"
            && (everywhere || own.secondary().is_some())
            && let [only] = &families[..]
            && let Some(family) = IpFamily::named(only)
        {
            families.push(family.other().name().to_owned());
        }
        object.put(FAMILIES, families);
    }

    /// The families the Service names, or has by its addresses.
    fn asked_families(&mut self, object: &Value, policy: &str) -> Vec<String> {
        let list = |field: &str| -> Vec<String> {
            object.items(field).iter().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        let (ips, mut families) = (list(IPS), list(FAMILIES));
        for (count, what) in [(ips.len(), "cluster IPs"), (families.len(), "IP families")] {
            if policy == "SingleStack" && count == 2 {
                let detail = format!(
                    "must be 'RequireDualStack' or 'PreferDualStack' when multiple {what} are specified"
                );
                self.errors.invalid(&Path::new(POLICY), policy, &detail);
            }
        }
        let asked = families.len();
        for (index, ip) in ips.iter().enumerate().skip(asked) {
            let Ok(ip) = ip.parse::<IpAddr>() else { continue };
            let family = IpFamily::of(ip);
            if self.allocator.default.of(family).is_some() {
                families.push(family.name().to_owned());
            } else {
                let shown = Value::Array(object.items(IPS).to_vec());
                let detail = format!("{family} is not configured on this cluster");
                self.errors.invalid(&Path::new(IPS).index(index), &shown, &detail);
            }
        }
        families
    }

    /// Takes the addresses that the Service names, and gives it one of each family in which it has none.
    fn addresses(&mut self, object: &mut Value) {
        let path = Path::new(IPS);
        let named: Vec<String> =
            object.items(IPS).iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let mut ips: Vec<IpAddr> = Vec::new();
        for ip in named.iter().filter_map(|ip| ip.parse().ok()) {
            if let Err(why) = self.take_address(ip) {
                let list = Value::Array(object.items(IPS).to_vec());
                self.errors.invalid(&path, &list, &format!("failed to allocate IP {ip}: {why}"));
            }
            ips.push(ip);
        }
        let families = object.items(FAMILIES).iter().filter_map(|family| IpFamily::named(family.as_str()?));
        let lacking: Vec<_> =
            families.filter(|family| ips.iter().all(|ip| IpFamily::of(*ip) != *family)).collect();
        for family in lacking {
            match self.free_address(family) {
                Some(ip) => ips.push(ip),
                None => self.errors.invalid(&path, "", "failed to allocate a serviceIP: range is full"),
            }
        }
        if self.errors.is_empty() && ips.len() > named.len() {
            let ips: Vec<String> = ips.iter().map(ToString::to_string).collect();
            object.put("spec.clusterIP", ips[0].as_str());
            object.put(IPS, ips);
        }
    }

    /// Takes the address that was asked for, or had; says why not.
    fn take_address(&mut self, ip: IpAddr) -> Result<(), String> {
        let ranges = self.ranges;
        let range = ranges.holding(ip);
        if self.dry_run {
            // Upstream asks one range in a dry run, else it looks for the range to ask.
            let family = IpFamily::of(ip);
            let net = ranges.of(family).next().map(|range| range.net);
            let net = net.or(self.allocator.default.of(family)).unwrap_or(self.allocator.default.primary());
            return if range.is_some() {
                Ok(())
            } else {
                Err(format!(
                    "the provided IP ({ip}) is not in the valid range. The range of valid IPs is {net}"
                ))
            };
        }
        if self.taken.owns(ip, self.key) {
            return Ok(());
        }
        let Some(range) = range else {
            return Err("the provided network does not match the current range".to_owned());
        };
        if self.is_taken(ip) {
            return Err("provided IP is already allocated".to_owned());
        }
        self.preconditions.extend(range.stays());
        Ok(())
    }

    /// Whether somebody has the address: a Service, or an IPAddress for whatever reason.
    fn is_taken(&self, ip: IpAddr) -> bool {
        let key = codec::key(kind("networking.k8s.io", "IPAddress"), "", &ip.to_string());
        self.taken.has_ip(ip, self.key) || self.allocator.store.get(&key).is_some()
    }

    fn free_address(&mut self, family: IpFamily) -> Option<IpAddr> {
        let ranges = self.ranges;
        let (range, ip) = ranges.of(family).find_map(|range| Some((range, self.free_address_of(range)?)))?;
        self.preconditions.extend(range.stays());
        Some(ip)
    }

    /// The next free address: first of the part kept for addresses nobody asked for by number, then of the rest.
    fn free_address_of(&mut self, range: &Range) -> Option<IpAddr> {
        let bits = u32::from(range.net.max_prefix_len() - range.net.prefix_len()).min(20);
        let size = (1_u64 << bits).saturating_sub(2);
        let reserved = (size / 16).clamp(16, 256).min(size / 2);
        let dynamic = size.saturating_sub(reserved);
        // Offset 0 is the network, 1 may be the API server's own Service.
        let lowest = if self.ranges.begins_with_server(range) { 2 } else { 1 };
        let first = self.ips.get(&range.net).copied().unwrap_or(0);
        let late = (0..dynamic).map(|i| 1 + reserved + (first + i) % dynamic.max(1));
        let early = lowest..=reserved;
        let offset = late.chain(early).find(|offset| *offset <= size && !self.is_taken(range.at(*offset)))?;
        self.ips.insert(range.net, offset.saturating_sub(reserved));
        Some(range.at(offset))
    }

    fn node_ports(&mut self, object: &mut Value) {
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
        } else if !self.hold_port(format!("{}/{asked}", port.text("protocol"))) {
            self.errors.invalid(path, asked, "provided port is already allocated");
        }
    }

    /// Holds a port, told by protocol and number; false if somebody does.
    fn hold_port(&mut self, port: String) -> bool {
        !self.is_held(&port) && self.ports.insert(port)
    }

    fn is_held(&self, port: &str) -> bool {
        self.ports.contains(port) || (!self.dry_run && self.taken.has_port(port, self.key))
    }

    /// Gives the next free port.
    fn give_port(&mut self, port: &mut Value) {
        let protocol = port.text("protocol").to_owned();
        let (start, end) = (*self.allocator.ports.start(), *self.allocator.ports.end());
        let size = end - start + 1;
        let first = *self.port;
        let free = (0..size)
            .map(|i| start + (first + i) % size)
            .map(|number| (number, format!("{protocol}/{number}")))
            .find(|(_, key)| !self.is_held(key));
        if let Some((number, key)) = free {
            *self.port = (number - start + 1) % size;
            self.ports.insert(key);
            port.put("nodePort", i64::from(number));
        } else {
            let detail = "failed to allocate a nodePort: range is full";
            self.errors.invalid(&Path::new("spec.ports"), "", detail);
        }
    }
}

/// Whether a Service that takes what families there are has taken them: a cluster that gets a second family changes it no more.
fn is_settled(object: &Value, old: &Value) -> bool {
    let takes_what_there_is = |service: &Value| service.text(POLICY) == "PreferDualStack";
    takes_what_there_is(object)
        && takes_what_there_is(old)
        && needs_ip(old)
        && needs_ip(object)
        && ["spec.type", IPS, FAMILIES].iter().all(|field| object::same(object, old, field))
}
