//! Who has an address of the outside that several Services ask for: the one that was made first. Pure.
//!
//! Cluster IPs and NodePorts are given out by the API server, to one Service each. `externalIPs` are whatever people write, and
//! the addresses of load balancers whatever those say who run them, so here they are told apart: rules for one address of two
//! Services could not stand beside each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::model::{ObjectKey, Port, Service};
use crate::network::Protocol;

/// An address of the outside with a port.
type Front = (IpAddr, Protocol, u16);

/// What Services ask for.
#[derive(Default)]
pub(super) struct Fronts {
    /// Who asks, by age and name.
    claims: BTreeMap<Front, BTreeSet<(i64, ObjectKey)>>,
}

impl Fronts {
    /// Takes note of a change of a Service; the Services to which it may make a difference.
    pub(super) fn change(
        &mut self,
        key: &ObjectKey,
        old: Option<&Service>,
        new: Option<&Service>,
    ) -> BTreeSet<ObjectKey> {
        let mut touched = BTreeSet::new();
        for (service, asks) in [(old, false), (new, true)] {
            let Some(service) = service else { continue };
            let claim = (service.made, key.clone());
            for front in fronts(service) {
                let claims = self.claims.entry(front).or_default();
                if asks {
                    claims.insert(claim.clone());
                } else {
                    claims.remove(&claim);
                }
                touched.extend(claims.iter().map(|(_, key)| key.clone()));
                if claims.is_empty() {
                    self.claims.remove(&front);
                }
            }
        }
        touched
    }

    /// Whether this Service has the address at the port.
    pub(super) fn has(&self, key: &ObjectKey, ip: IpAddr, port: &Port) -> bool {
        let claims = self.claims.get(&(ip, port.protocol, port.number));
        claims.and_then(BTreeSet::first).is_some_and(|(_, first)| first == key)
    }
}

fn fronts(service: &Service) -> impl Iterator<Item = Front> {
    let ips = || service.external_ips.iter().chain(&service.balancer_ips);
    service.ports.iter().flat_map(move |port| ips().map(|ip| (*ip, port.protocol, port.number)))
}
