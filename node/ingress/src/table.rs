//! The rules of a door, found by what a request says: the cost is one look-up for each label of its host and each element of
//! its path, however many rules there are.
//!
//! Of the rules that hold for a request the first counts by: the host (a name before a wildcard, a longer domain before a shorter
//! one, all hosts last), the path (exact before prefix, then the longer prefix), the last element, a method, more headers, more parameters, and at last the
//! order in which the rules were given.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use http::request::Parts;

use crate::rule::{Host, PathMatch, Rule};

/// The rules of a door.
#[derive(Debug, Default)]
pub struct Table {
    names: HashMap<String, Paths>,
    domains: HashMap<String, Domain>,
    any: Paths,
    rules: Vec<Arc<Rule>>,
}

/// The rules about hosts in a domain.
#[derive(Debug, Default)]
struct Domain {
    label_before: Paths,
    below: Paths,
}

/// Rules by path, those of one path in the order in which they count.
#[derive(Debug, Default)]
struct Paths {
    exact: HashMap<String, Vec<Arc<Rule>>>,
    /// By the elements of the prefix, without a slash behind them.
    prefix: HashMap<String, Vec<Arc<Rule>>>,
}

impl Table {
    /// A table of these rules.
    pub fn new(rules: impl IntoIterator<Item = Rule>) -> Self {
        let mut table = Self::default();
        for rule in rules {
            let rule = Arc::new(rule);
            table.paths(&rule.host).add(rule.clone());
            table.rules.push(rule);
        }
        let domains = table.domains.values_mut().flat_map(|one| [&mut one.label_before, &mut one.below]);
        table.names.values_mut().chain(domains).chain([&mut table.any]).for_each(Paths::sort);
        table
    }

    /// All rules, as they were given.
    pub fn rules(&self) -> &[Arc<Rule>] {
        &self.rules
    }

    /// The rule for a request to this host, which is in lower case and without a port.
    pub fn find(&self, host: &str, request: &Parts) -> Option<&Arc<Rule>> {
        let by_name = self.names.get(host).into_iter();
        let domains = host.match_indices('.').enumerate().filter(|(_, (at, _))| *at > 0);
        let by_domain = domains.flat_map(|(depth, (at, _))| {
            let domain = self.domains.get(&host[at + 1..]);
            let label_before = domain.map(|found| &found.label_before).filter(|_| depth == 0);
            label_before.into_iter().chain(domain.map(|found| &found.below))
        });
        by_name.chain(by_domain).chain([&self.any]).find_map(|paths| paths.find(request))
    }

    fn paths(&mut self, host: &Host) -> &mut Paths {
        match host {
            Host::Exactly(name) => self.names.entry(name.clone()).or_default(),
            Host::LabelBefore(domain) => &mut self.domains.entry(domain.clone()).or_default().label_before,
            Host::Below(domain) => &mut self.domains.entry(domain.clone()).or_default().below,
            Host::Any => &mut self.any,
        }
    }
}

impl Paths {
    fn add(&mut self, rule: Arc<Rule>) {
        let rules = match &rule.path {
            PathMatch::Exactly(path) => self.exact.entry(path.clone()),
            PathMatch::Prefix(prefix) => self.prefix.entry(PathMatch::elements(prefix).to_owned()),
        };
        rules.or_default().push(rule);
    }

    fn sort(&mut self) {
        for rules in self.exact.values_mut().chain(self.prefix.values_mut()) {
            rules.sort_by_key(|rule| {
                let Rule { conditions, .. } = &**rule;
                let counts = (conditions.headers.len(), conditions.queries.len());
                Reverse((conditions.last_element.is_some(), conditions.method.is_some(), counts))
            });
        }
    }

    fn find(&self, request: &Parts) -> Option<&Arc<Rule>> {
        let path = request.uri.path();
        let exact = self.exact.get(path).into_iter();
        let whole = self.prefix.get(path).into_iter();
        let above = path.rmatch_indices('/').filter_map(|(at, _)| self.prefix.get(&path[..at]));
        exact.chain(whole).chain(above).flatten().find(|rule| rule.conditions.hold(request))
    }
}

#[cfg(test)]
mod tests;
