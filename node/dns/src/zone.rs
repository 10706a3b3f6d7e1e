//! The records of a cluster.

mod find;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use hickory_proto::ProtoError;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use ipnet::IpNet;

use crate::{Face, Key, Service, Slice};
use find::Found;

/// How long clients may keep what they are told, in seconds.
pub const TTL: u32 = 5;
/// How many names of the cluster may stand for each other in a row.
const ALIASES: usize = 8;

/// All that the names of one cluster lead to.
pub struct Zone {
    domain: Name,
    servers: Vec<IpAddr>,
    /// The ranges of addresses that nobody else knows names of.
    ranges: Vec<IpNet>,
    services: BTreeMap<Key, Arc<Service>>,
    slices: BTreeMap<Key, Arc<Slice>>,
    /// The slices of each Service.
    by_service: BTreeMap<Key, BTreeSet<Key>>,
    /// The Services that have an address of their own.
    by_cluster_ip: HashMap<IpAddr, Key>,
    /// The slices that an address is an endpoint of.
    by_endpoint: HashMap<IpAddr, BTreeSet<Key>>,
    changes: u32,
}

/// What is known of a name.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Answer {
    /// The records asked for, after those that lead to their name.
    pub records: Vec<Record>,
    /// Records that the client will ask for next.
    pub additional: Vec<Record>,
    /// The start of authority, where there are no records.
    pub authority: Option<Record>,
    /// Whether there is such a name.
    pub code: ResponseCode,
    /// The name that somebody else has to be asked for to complete the answer.
    pub elsewhere: Option<Name>,
}

impl Zone {
    /// An empty zone of that domain (`cluster.local`), whose server has these addresses. Names of addresses in `ranges` are known to
    /// it alone.
    pub fn new(domain: &str, servers: Vec<IpAddr>, ranges: Vec<IpNet>) -> Result<Self, ProtoError> {
        let mut domain = Name::from_ascii(domain)?.to_lowercase();
        domain.set_fqdn(true);
        Ok(Self {
            domain,
            servers,
            ranges,
            services: BTreeMap::new(),
            slices: BTreeMap::new(),
            by_service: BTreeMap::new(),
            by_cluster_ip: HashMap::new(),
            by_endpoint: HashMap::new(),
            changes: 1,
        })
    }

    /// Takes note of what a Service is now, or that it is gone.
    pub fn set_service(&mut self, key: &Key, service: Option<Arc<Service>>) {
        self.changes = self.changes.wrapping_add(1);
        for ip in self.services.get(key).into_iter().flat_map(|old| old.cluster_ips()) {
            // A new owner may have been seen before the old one was seen to go.
            if self.by_cluster_ip.get(ip) == Some(key) {
                self.by_cluster_ip.remove(ip);
            }
        }
        let Some(service) = service else {
            self.services.remove(key);
            return;
        };
        self.by_cluster_ip.extend(service.cluster_ips().iter().map(|ip| (*ip, key.clone())));
        self.services.insert(key.clone(), service);
    }

    /// Takes note of what a slice is now, or that it is gone.
    pub fn set_slice(&mut self, key: &Key, slice: Option<Arc<Slice>>) {
        self.changes = self.changes.wrapping_add(1);
        if let Some(old) = self.slices.remove(key) {
            forget(&mut self.by_service, &old.service, key);
            for endpoint in &old.endpoints {
                if let Some(slices) = self.by_endpoint.get_mut(&endpoint.ip) {
                    slices.remove(key);
                    if slices.is_empty() {
                        self.by_endpoint.remove(&endpoint.ip);
                    }
                }
            }
        }
        let Some(slice) = slice else { return };
        self.by_service.entry(slice.service.clone()).or_default().insert(key.clone());
        for endpoint in &slice.endpoints {
            self.by_endpoint.entry(endpoint.ip).or_default().insert(key.clone());
        }
        self.slices.insert(key.clone(), slice);
    }

    /// A number that is another one after something changed.
    pub fn version(&self) -> u32 {
        self.changes
    }

    /// The records of that type at a name. Equal questions get the records in turns.
    pub fn answer(&self, name: &Name, wanted: RecordType, turn: u16) -> Answer {
        let mut answer = Answer::default();
        let mut at = name.clone();
        for _ in 0..ALIASES {
            match self.find(&at) {
                Found::Elsewhere => {
                    answer.elsewhere = Some(at);
                    return answer;
                }
                Found::Missing => {
                    answer.code = ResponseCode::NXDomain;
                    answer.authority = Some(self.start_of_authority());
                    return answer;
                }
                Found::Alias(target) => {
                    answer.records.push(record(&at, RData::CNAME(CNAME(target.clone()))));
                    if matches!(wanted, RecordType::CNAME | RecordType::ANY) {
                        return answer;
                    }
                    at = target;
                }
                Found::Records(mut records, additional) => {
                    records.retain(|record| wanted == RecordType::ANY || record.record_type() == wanted);
                    self.complete(&mut answer, records, additional, turn);
                    return answer;
                }
            }
        }
        answer.code = ResponseCode::ServFail;
        answer
    }

    /// Adds the records asked for, or says that there are none.
    fn complete(&self, answer: &mut Answer, mut records: Vec<Record>, additional: Vec<Record>, turn: u16) {
        if records.is_empty() {
            answer.authority = Some(self.start_of_authority());
            return;
        }
        let first = usize::from(turn) % records.len();
        records.rotate_left(first);
        answer.records.append(&mut records);
        answer.additional = additional;
    }

    /// A name below the domain; `None` if it would be too long for a name.
    fn name_below(&self, labels: &[&str]) -> Option<Name> {
        Name::from_labels(labels.iter().map(|label| label.as_bytes())).ok()?.append_domain(&self.domain).ok()
    }

    fn start_of_authority(&self) -> Record {
        let below = |labels: &[&str]| self.name_below(labels).unwrap_or_else(|| self.domain.clone());
        let (server, person) = (below(&["ns", "dns"]), below(&["hostmaster"]));
        let soa = SOA::new(server, person, self.changes, 7200, 1800, 86400, TTL);
        record(&self.domain, RData::SOA(soa))
    }
}

impl Service {
    fn cluster_ips(&self) -> &[IpAddr] {
        match &self.face {
            Face::Cluster(ips) => ips,
            Face::Headless | Face::Alias(_) => &[],
        }
    }
}

fn forget(index: &mut BTreeMap<Key, BTreeSet<Key>>, at: &Key, key: &Key) {
    let Some(keys) = index.get_mut(at) else { return };
    keys.remove(key);
    if keys.is_empty() {
        index.remove(at);
    }
}

fn record(name: &Name, data: RData) -> Record {
    Record::from_rdata(name.clone(), TTL, data)
}

#[cfg(test)]
#[path = "zone_tests.rs"]
mod tests;
