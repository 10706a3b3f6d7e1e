//! What the stored Services hold, kept current event by event.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use wherry_store::{Entry, EventKind, Revision, Store, Watch};

use crate::error::Failure;
use crate::extract::{CLUSTER_IPS, NODE_PORTS};
use crate::follow::catch_up;

const SERVICES: &str = "/registry/services/";

/// See the module's documentation.
pub(super) struct Taken {
    held: HashMap<Arc<str>, Held>,
    ips: Owners<IpAddr>,
    /// Protocols and numbers.
    ports: Owners<Box<str>>,
    /// The revision up to which this is known to be right.
    checked: Revision,
    changes: Watch,
}

/// Who has something. More than one only where two Services claim the same from of old.
struct Owners<T>(HashMap<T, Vec<Arc<str>>>);

/// What one Service has.
struct Held {
    ips: Vec<IpAddr>,
    ports: Vec<Box<str>>,
}

impl Taken {
    /// What is held as of now, made anew only where what changed cannot be told any more.
    pub(super) fn current<'t>(found: &'t mut Option<Self>, store: &Store) -> Result<&'t Self, Failure> {
        let revision = store.revision();
        if found.as_mut().is_some_and(|taken| !taken.follow(revision)) {
            *found = None;
        }
        match found {
            Some(taken) => Ok(taken),
            None => Ok(found.insert(Self::read(store)?)),
        }
    }

    fn read(store: &Store) -> Result<Self, Failure> {
        let snapshot = store.snapshot();
        let checked = snapshot.revision();
        let changes = store.watch(SERVICES, checked);
        let changes =
            changes.map_err(|error| Failure::Internal(format!("Services cannot be followed: {error}")))?;
        let (ips, ports) = (Owners(HashMap::new()), Owners(HashMap::new()));
        let mut taken = Self { held: HashMap::new(), ips, ports, checked, changes };
        for entry in snapshot.range(SERVICES, None) {
            taken.put(entry);
        }
        Ok(taken)
    }

    /// Takes over what changed up to a revision; false if that cannot be told from memory any more.
    fn follow(&mut self, revision: Revision) -> bool {
        if self.checked >= revision {
            return true;
        }
        let mut events = Vec::new();
        let followed = catch_up(&mut self.changes, revision, |event| events.push(event));
        for event in events {
            self.forget(&event.entry.key);
            if event.kind == EventKind::Put {
                self.put(&event.entry);
            }
        }
        self.checked = revision;
        followed
    }

    fn put(&mut self, entry: &Entry) {
        let list = |name: &str| entry.attributes.get(name).unwrap_or_default().to_owned();
        let ips = list(CLUSTER_IPS);
        let held = Held {
            ips: ips.split(',').filter_map(|ip| ip.parse().ok()).collect(),
            ports: list(NODE_PORTS).split(',').filter(|port| !port.is_empty()).map(Into::into).collect(),
        };
        let key: Arc<str> = (*entry.key).into();
        held.ips.iter().for_each(|ip| self.ips.add(*ip, &key));
        held.ports.iter().for_each(|port| self.ports.add(port.clone(), &key));
        self.held.insert(key, held);
    }

    fn forget(&mut self, key: &str) {
        let Some(held) = self.held.remove(key) else { return };
        held.ips.iter().for_each(|ip| self.ips.remove(ip, key));
        held.ports.iter().for_each(|port| self.ports.remove(port, key));
    }

    /// Whether a Service other than this one has the address.
    pub(super) fn has_ip(&self, ip: IpAddr, but: &str) -> bool {
        self.ips.has(&ip, but)
    }

    /// Whether this Service has the address.
    pub(super) fn owns(&self, ip: IpAddr, key: &str) -> bool {
        self.held.get(key).is_some_and(|held| held.ips.contains(&ip))
    }

    /// Whether a Service other than this one has the port, told by protocol and number.
    pub(super) fn has_port(&self, port: &str, but: &str) -> bool {
        self.ports.0.get(port).is_some_and(|owners| owners.iter().any(|owner| &**owner != but))
    }
}

impl<T: Hash + Eq> Owners<T> {
    fn add(&mut self, what: T, owner: &Arc<str>) {
        self.0.entry(what).or_default().push(Arc::clone(owner));
    }

    fn remove(&mut self, what: &T, owner: &str) {
        if let Some(owners) = self.0.get_mut(what) {
            owners.retain(|found| &**found != owner);
            if owners.is_empty() {
                self.0.remove(what);
            }
        }
    }

    fn has(&self, what: &T, but: &str) -> bool {
        self.0.get(what).is_some_and(|owners| owners.iter().any(|owner| &**owner != but))
    }
}
