//! Which Pods belong together though they do not say so: those that a Service or their controller selects.
//!
//! They are spread by default.

use std::collections::HashMap;

use wherry_api::selector::{LabelRequirement, LabelSelector, Operator, SelectorIndex};

use crate::pod::{Labels, Rules, holds};

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
    services: Services,
    owners: HashMap<(OwnerKind, String), LabelSelector>,
}

/// What Services select, found by what a Pod has, so that a Pod's turn does not take as long as there are Services.
#[derive(Default)]
struct Services {
    all: HashMap<String, LabelSelector>,
    index: SelectorIndex,
}

impl Services {
    /// Replaces what a Service selects; returns whether that changed anything.
    fn set(&mut self, name: &str, selector: Option<LabelSelector>) -> bool {
        let selector = selector.filter(|selector| !selector.is_empty());
        if self.all.get(name) == selector.as_ref() {
            return false;
        }
        if let Some(selector) = selector {
            self.index.put(name, selector.labels());
            self.all.insert(name.to_owned(), selector);
        } else {
            self.index.remove(name);
            self.all.remove(name);
        }
        true
    }

    /// The selectors that hold for these labels.
    fn selecting<'a>(&'a self, labels: &'a Labels) -> impl Iterator<Item = &'a LabelSelector> {
        let candidates = self.index.about(labels).filter_map(|name| self.all.get(name));
        candidates.filter(|selector| holds(selector, Some(labels)))
    }
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
        self.changes += u64::from(services.set(name, selector));
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
        for clause in here
            .services
            .selecting(&pod.labels)
            .chain(owner)
            .flat_map(|selector| selector.requirements().iter())
        {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels() -> impl Strategy<Value = Labels> {
        prop::collection::btree_map("[ab]", "[xy]", 0..3)
    }

    fn clause() -> impl Strategy<Value = LabelRequirement> {
        let operator = prop_oneof![
            4 => "[xy]".prop_map(|value| Operator::In(vec![value])),
            1 => Just(Operator::In(vec!["x".into(), "y".into()])),
            1 => Just(Operator::Exists),
            1 => Just(Operator::NotIn(vec!["x".into()])),
        ];
        ("[ab]", operator).prop_map(|(key, operator)| LabelRequirement { key, operator })
    }

    /// A Service and what it selects from then on, if anything.
    fn change() -> impl Strategy<Value = (String, Option<LabelSelector>)> {
        let clauses = prop::collection::vec(clause(), 0..3);
        ("[a-d]", prop::option::of(clauses.prop_map(LabelSelector::from_requirements)))
    }

    proptest! {
        /// Those that are found by labels are those that going through all of them would find.
        #[test]
        fn services_are_found_by_what_a_pod_has(
            changes in prop::collection::vec(change(), 0..12),
            pod in labels(),
        ) {
            let mut services = Services::default();
            let mut all = HashMap::new();
            for (name, selector) in changes {
                let expected = replace(&mut all, name.clone(), selector.clone());
                prop_assert_eq!(services.set(&name, selector), expected);
            }
            let sorted = |mut found: Vec<&LabelSelector>| {
                found.sort_by_key(|selector| format!("{selector:?}"));
                found.into_iter().cloned().collect::<Vec<_>>()
            };
            let found = sorted(services.selecting(&pod).collect());
            let expected = sorted(all.values().filter(|selector| holds(selector, Some(&pod))).collect());
            prop_assert_eq!(found, expected);
            prop_assert_eq!(services.index.is_empty(), all.is_empty());
        }
    }
}
