//! The table of one family: what Services need of it, and the scripts that bring it there. Pure.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;

use super::super::model::ObjectKey;
use super::super::plan::ServicePort;
use super::ruleset::Fragment;
use super::script::{self, Base};

/// See the module.
pub(super) struct Table {
    base: Base,
    /// What every Service needs.
    wanted: BTreeMap<ObjectKey, Wanted>,
    /// How many Services need an address in the set `hairpin`.
    hairpins: BTreeMap<IpAddr, usize>,
    /// The rules that Services had which changed since the last script.
    replaced: Vec<(ObjectKey, Fragment)>,
}

#[derive(Default)]
struct Wanted {
    ports: Vec<ServicePort>,
    rules: Fragment,
}

impl Table {
    /// Of no Services.
    pub(super) fn new(base: Base) -> Self {
        Self { base, wanted: BTreeMap::new(), hairpins: BTreeMap::new(), replaced: Vec::new() }
    }

    /// What of these ports is of this family.
    pub(super) fn ports_of(&self, ports: &[ServicePort]) -> Vec<ServicePort> {
        ports.iter().filter(|port| port.family == self.base.family).cloned().collect()
    }

    /// The ports the Service has.
    pub(super) fn known(&self, key: &ObjectKey) -> &[ServicePort] {
        self.wanted.get(key).map_or(&[], |wanted| &wanted.ports)
    }

    /// Notes what a Service needs.
    pub(super) fn want(&mut self, key: &ObjectKey, ports: Vec<ServicePort>) {
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
        self.replaced.push((key.clone(), old));
    }

    /// Whether there is something that no script said yet.
    pub(super) fn is_changed(&self) -> bool {
        !self.replaced.is_empty()
    }

    /// The script from what the last one led to; nothing for a table that is right.
    pub(super) fn difference(&mut self) -> String {
        let replaced = std::mem::take(&mut self.replaced);
        let nothing = Fragment::default();
        let changes: Vec<(&Fragment, &Fragment)> = replaced
            .iter()
            .map(|(key, old)| (old, self.wanted.get(key).map_or(&nothing, |wanted| &wanted.rules)))
            .collect();
        let mut of_batch = BTreeMap::<IpAddr, usize>::new();
        for ip in changes.iter().flat_map(|(_, new)| &new.hairpin) {
            *of_batch.entry(*ip).or_default() += 1;
        }
        script::update(self.base.family, &changes, |ip| self.hairpins.get(&ip) > of_batch.get(&ip))
    }

    /// The script that makes the table anew.
    pub(super) fn everything(&mut self) -> String {
        self.replaced.clear();
        let nothing = Fragment::default();
        let changes: Vec<(&Fragment, &Fragment)> =
            self.wanted.values().map(|wanted| (&nothing, &wanted.rules)).collect();
        format!("{}{}", self.base, script::update(self.base.family, &changes, |_| false))
    }
}
