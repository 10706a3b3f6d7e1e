//! What a single name leads to.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::rr::rdata::{NS, PTR, SRV, TXT};
use hickory_proto::rr::{Name, RData, Record};

use super::{Zone, record};
use crate::subject::Subject;
use crate::{Endpoint, Face, Key, Port, Slice};

/// The version of the specification that names follow.
const VERSION: &str = "1.1.0";

/// What a single name leads to.
pub(super) enum Found {
    /// Records, with those that explain them.
    Records(Vec<Record>, Vec<Record>),
    /// Another name.
    Alias(Name),
    /// There is no such name.
    Missing,
    /// It is not for us to say.
    Elsewhere,
}

/// A named port, and the endpoints that have it where its Service has no address.
struct Offer<'a> {
    port: &'a Port,
    endpoints: Option<&'a [Endpoint]>,
}

impl Zone {
    /// What is known of a name, without what it may stand for.
    pub(super) fn find(&self, name: &Name) -> Found {
        if !self.domain.zone_of(name) {
            return self.find_address(name);
        }
        let own = name.iter().count() - self.domain.iter().count();
        let labels: Option<Vec<String>> = name.iter().take(own).map(small).collect();
        let Some(labels) = labels else { return Found::Missing };
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        self.find_subject(name, Subject::of(&labels))
    }

    fn find_subject(&self, name: &Name, subject: Subject) -> Found {
        let only = |data| Found::Records(vec![record(name, data)], Vec::new());
        match subject {
            Subject::Domain => self.top(name),
            Subject::Version => only(RData::TXT(TXT::new(vec![VERSION.to_owned()]))),
            Subject::NameServer => {
                let servers = self.servers.iter().map(|ip| record(name, (*ip).into()));
                Found::Records(servers.collect(), Vec::new())
            }
            Subject::Branch => Found::Records(Vec::new(), Vec::new()),
            Subject::Namespace(namespace) => {
                let first = Key { namespace: namespace.clone(), name: String::new() };
                let next = self.services.range(first..).next();
                if next.is_some_and(|(key, _)| key.namespace == namespace) {
                    Found::Records(Vec::new(), Vec::new())
                } else {
                    Found::Missing
                }
            }
            Subject::Service(key) => self.find_service(name, &key),
            Subject::Protocol(key, protocol) => {
                let known = self.offers(&key).iter().any(|offer| offer.port.protocol == protocol);
                if known { Found::Records(Vec::new(), Vec::new()) } else { Found::Missing }
            }
            Subject::Port { service, port, protocol } => self.find_port(name, &service, &port, &protocol),
            Subject::Endpoint(key, host) => self.find_endpoint(name, &key, &host),
            Subject::Pod(ip) => only(ip.into()),
            Subject::Nothing => Found::Missing,
        }
    }

    fn top(&self, name: &Name) -> Found {
        let mut records = vec![self.start_of_authority()];
        records.extend(self.name_below(&["ns", "dns"]).map(|server| record(name, RData::NS(NS(server)))));
        Found::Records(records, Vec::new())
    }

    fn find_service(&self, name: &Name, key: &Key) -> Found {
        let Some(service) = self.services.get(key) else { return Found::Missing };
        let addresses: BTreeSet<IpAddr> = match &service.face {
            Face::Cluster(ips) => ips.iter().copied().collect(),
            Face::Headless => self.endpoints(key).map(|endpoint| endpoint.ip).collect(),
            Face::Alias(target) => return alias(target).map_or(Found::Missing, Found::Alias),
        };
        Found::Records(addresses.into_iter().map(|ip| record(name, ip.into())).collect(), Vec::new())
    }

    fn find_endpoint(&self, name: &Name, key: &Key, host: &str) -> Found {
        let named = self.endpoints(key).filter(|endpoint| endpoint.host() == host);
        let addresses: BTreeSet<IpAddr> = named.map(|endpoint| endpoint.ip).collect();
        if addresses.is_empty() {
            return Found::Missing;
        }
        Found::Records(addresses.into_iter().map(|ip| record(name, ip.into())).collect(), Vec::new())
    }

    fn find_port(&self, name: &Name, key: &Key, port: &str, protocol: &str) -> Found {
        let offers = self.offers(key);
        let asked = offers.iter().filter(|offer| offer.port.name == port && offer.port.protocol == protocol);
        let (mut records, mut additional, mut known) = (Vec::new(), Vec::new(), BTreeSet::new());
        for Offer { port, endpoints } in asked {
            for (target, ips) in self.targets(key, *endpoints) {
                additional.extend(ips.into_iter().map(|ip| record(&target, ip.into())));
                if known.insert((port.number, target.clone())) {
                    records.push(record(name, RData::SRV(SRV::new(0, 100, port.number, target))));
                }
            }
        }
        if records.is_empty() { Found::Missing } else { Found::Records(records, additional) }
    }

    /// What a Service offers under a name.
    fn offers(&self, key: &Key) -> Vec<Offer<'_>> {
        let Some(service) = self.services.get(key) else { return Vec::new() };
        let mut offers: Vec<Offer<'_>> = match &service.face {
            Face::Alias(_) => Vec::new(),
            Face::Cluster(_) => service.ports.iter().map(|port| Offer { port, endpoints: None }).collect(),
            Face::Headless => {
                let offers = self.slices_of(key).flat_map(|slice| {
                    slice.ports.iter().map(|port| Offer { port, endpoints: Some(&slice.endpoints) })
                });
                offers.collect()
            }
        };
        offers.retain(|offer| !offer.port.name.is_empty());
        offers
    }

    /// The hosts of an offer, with their addresses.
    fn targets(&self, key: &Key, endpoints: Option<&[Endpoint]>) -> Vec<(Name, Vec<IpAddr>)> {
        let Key { namespace, name } = key;
        let Some(endpoints) = endpoints else {
            let ips = self.services.get(key).map(|service| service.cluster_ips().to_vec());
            let own = self.name_below(&[name, namespace, "svc"]);
            return own.into_iter().map(|own| (own, ips.clone().unwrap_or_default())).collect();
        };
        let host = |endpoint: &Endpoint| self.name_below(&[&endpoint.host(), name, namespace, "svc"]);
        endpoints.iter().filter_map(|endpoint| Some((host(endpoint)?, vec![endpoint.ip]))).collect()
    }

    /// The names of an address.
    fn find_address(&self, name: &Name) -> Found {
        let Some(ip) = name.parse_arpa_name().ok().filter(|net| net.prefix_len() == net.max_prefix_len())
        else {
            return Found::Elsewhere;
        };
        let ip = ip.addr();
        let names: BTreeSet<Name> = match self.by_cluster_ip.get(&ip) {
            Some(key) => self.name_below(&[&key.name, &key.namespace, "svc"]).into_iter().collect(),
            None => {
                self.by_endpoint.get(&ip).into_iter().flatten().flat_map(|key| self.hosts(key, ip)).collect()
            }
        };
        if !names.is_empty() {
            return Found::Records(
                names.into_iter().map(|of| record(name, RData::PTR(PTR(of)))).collect(),
                Vec::new(),
            );
        }
        if self.ranges.iter().any(|range| range.contains(&ip)) { Found::Missing } else { Found::Elsewhere }
    }

    /// The names that an address has as an endpoint in a slice. Those of headless Services always have one.
    fn hosts(&self, slice: &Key, ip: IpAddr) -> Vec<Name> {
        let Some(slice) = self.slices.get(slice) else { return Vec::new() };
        let Some(service) = self.services.get(&slice.service) else { return Vec::new() };
        let has_name = |endpoint: &&Endpoint| {
            endpoint.ip == ip && (endpoint.hostname.is_some() || service.face == Face::Headless)
        };
        let Key { namespace, name } = &slice.service;
        let named = slice.endpoints.iter().filter(has_name);
        named.filter_map(|endpoint| self.name_below(&[&endpoint.host(), name, namespace, "svc"])).collect()
    }

    fn slices_of(&self, key: &Key) -> impl Iterator<Item = &Slice> {
        let slices = self.by_service.get(key).into_iter().flatten();
        slices.filter_map(|slice| self.slices.get(slice)).map(Arc::as_ref)
    }

    fn endpoints(&self, key: &Key) -> impl Iterator<Item = &Endpoint> {
        let known = self.services.contains_key(key).then(|| self.slices_of(key));
        known.into_iter().flatten().flat_map(|slice| &slice.endpoints)
    }
}

fn small(label: &[u8]) -> Option<String> {
    std::str::from_utf8(label).ok().map(str::to_ascii_lowercase)
}

fn alias(target: &str) -> Option<Name> {
    let mut name = Name::from_ascii(target).ok()?.to_lowercase();
    name.set_fqdn(true);
    Some(name)
}
