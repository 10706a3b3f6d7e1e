//! Which Pods belong together though they do not say so: those that a Service or their controller selects.
//!
//! They are spread by default.

use std::collections::HashMap;

use wherry_api::selector::{LabelRequirement, LabelSelector, Operator};

use crate::pod::{Rules, holds};

/// The kinds of controllers whose Pods belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OwnerKind {
    ReplicationController,
    ReplicaSet,
    StatefulSet,
}

impl OwnerKind {
    /// The kind of a name.
    pub(crate) fn named(kind: &str) -> Option<Self> {
        match kind {
            "ReplicationController" => Some(Self::ReplicationController),
            "ReplicaSet" => Some(Self::ReplicaSet),
            "StatefulSet" => Some(Self::StatefulSet),
            _ => None,
        }
    }
}

/// Selectors by the name of who has them, in one namespace.
#[derive(Default)]
struct InNamespace {
    services: HashMap<String, LabelSelector>,
    owners: HashMap<(OwnerKind, String), LabelSelector>,
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Selectors {
    namespaces: HashMap<String, InNamespace>,
    changes: u64,
}

impl Selectors {
    /// Takes over what a Service selects; nothing if it selects nothing or is gone.
    pub(crate) fn set_service(&mut self, namespace: &str, name: &str, selector: Option<LabelSelector>) {
        let services = &mut self.namespaces.entry(namespace.to_owned()).or_default().services;
        self.changes += u64::from(replace(services, name.to_owned(), selector));
    }

    /// Takes over what a controller selects; nothing if it is gone.
    pub(crate) fn set_owner(
        &mut self,
        namespace: &str,
        owner: (OwnerKind, String),
        selector: Option<LabelSelector>,
    ) {
        let owners = &mut self.namespaces.entry(namespace.to_owned()).or_default().owners;
        self.changes += u64::from(replace(owners, owner, selector));
    }

    /// How often anything changed.
    pub(crate) fn changes(&self) -> u64 {
        self.changes
    }

    /// What selects the Pods that belong together with this one; nothing if none do.
    pub(crate) fn of(&self, pod: &Rules) -> Option<LabelSelector> {
        let here = self.namespaces.get(&pod.namespace)?;
        let mut clauses: Vec<LabelRequirement> = Vec::new();
        let owner = pod.owner.as_ref().and_then(|owner| here.owners.get(owner));
        let services = here.services.values().filter(|selector| holds(selector, Some(&pod.labels)));
        for clause in services.chain(owner).flat_map(|selector| selector.requirements().iter()) {
            if !clauses.contains(clause) {
                clauses.push(clause.clone());
            }
        }
        clauses.sort_by(|one, other| {
            (&one.key, order(&one.operator)).cmp(&(&other.key, order(&other.operator)))
        });
        (!clauses.is_empty()).then(|| LabelSelector::from_requirements(clauses))
    }
}

/// Replaces an entry; returns whether that changed anything.
fn replace<K: std::hash::Hash + Eq>(
    entries: &mut HashMap<K, LabelSelector>,
    key: K,
    selector: Option<LabelSelector>,
) -> bool {
    let selector = selector.filter(|selector| !selector.is_empty());
    if entries.get(&key) == selector.as_ref() {
        return false;
    }
    match selector {
        Some(selector) => entries.insert(key, selector),
        None => entries.remove(&key),
    };
    true
}

/// Some order, so that the same clauses make the same selector.
fn order(operator: &Operator) -> (u8, &[String]) {
    match operator {
        Operator::In(values) => (0, values),
        Operator::NotIn(values) => (1, values),
        Operator::Exists => (2, &[]),
        Operator::DoesNotExist => (3, &[]),
        Operator::GreaterThan(_) => (4, &[]),
        Operator::LessThan(_) => (5, &[]),
    }
}
