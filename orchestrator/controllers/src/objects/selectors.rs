//! Which Services may select a Pod, found by the Pod's labels instead of by asking every Service.
//!
//! A Service selects only Pods that have all the labels of its selector, so it is filed under one of them, the one that fewest others
//! are filed under. What is found is a Service that may select the Pod; whether it does, its selector says.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::meta::Key;

type Label = (String, String);
type Labels = BTreeMap<String, String>;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Selectors {
    namespaces: HashMap<String, OfNamespace>,
}

#[derive(Default)]
struct OfNamespace {
    /// Names of Services.
    filed: HashMap<Label, BTreeSet<String>>,
    /// Those that select all Pods.
    unconditional: BTreeSet<String>,
    /// Where each Service is filed; nowhere, if it selects all Pods.
    places: HashMap<String, Option<Label>>,
}

impl Selectors {
    /// Notes what a Service selects by; nothing, if it is gone or has no selector.
    pub(super) fn note(&mut self, service: &Key, selector: Option<&Labels>) {
        let of_namespace = self.namespaces.entry(service.namespace.clone()).or_default();
        of_namespace.forget(&service.name);
        if let Some(selector) = selector {
            of_namespace.file(&service.name, selector);
        }
        if of_namespace.places.is_empty() {
            self.namespaces.remove(&service.namespace);
        }
    }

    /// The Services of a namespace that may select what has these labels, by name.
    pub(super) fn about(&self, namespace: &str, labels: &Labels) -> BTreeSet<Key> {
        let Some(of_namespace) = self.namespaces.get(namespace) else { return BTreeSet::new() };
        let labels = labels.iter().map(|(key, value)| (key.clone(), value.clone()));
        let filed = labels.filter_map(|label| of_namespace.filed.get(&label)).flatten();
        filed.chain(&of_namespace.unconditional).map(|name| Key::new(namespace, name)).collect()
    }
}

impl OfNamespace {
    fn file(&mut self, name: &str, selector: &Labels) {
        let labels = selector.iter().map(|(key, value)| (key.clone(), value.clone()));
        let place = labels.min_by_key(|label| self.filed.get(label).map_or(0, BTreeSet::len));
        let names = match &place {
            Some(label) => self.filed.entry(label.clone()).or_default(),
            None => &mut self.unconditional,
        };
        names.insert(name.to_owned());
        self.places.insert(name.to_owned(), place);
    }

    fn forget(&mut self, name: &str) {
        match self.places.remove(name) {
            None => {}
            Some(None) => drop(self.unconditional.remove(name)),
            Some(Some(label)) => {
                let Some(names) = self.filed.get_mut(&label) else { return };
                names.remove(name);
                if names.is_empty() {
                    self.filed.remove(&label);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn labels() -> impl Strategy<Value = Labels> {
        prop::collection::btree_map("[ab]", "[xy]", 0..3)
    }

    proptest! {
        /// Whatever Services come, change and go: who selects a Pod is found, and nobody who is gone.
        #[test]
        fn who_selects_a_pod_is_found(
            changes in prop::collection::vec(("[st]", "[1-5]", prop::option::of(labels())), 0..30),
            pod in labels(),
        ) {
            let (mut selectors, mut model) = (Selectors::default(), BTreeMap::new());
            for (namespace, name, selector) in changes {
                let key = Key::new(namespace, &name);
                selectors.note(&key, selector.as_ref());
                match selector {
                    Some(selector) => model.insert(key, selector),
                    None => model.remove(&key),
                };
            }
            for namespace in ["s", "t"] {
                let found = selectors.about(namespace, &pod);
                for (key, selector) in model.iter().filter(|(key, _)| key.namespace == namespace) {
                    let selects = selector.iter().all(|(name, value)| pod.get(name) == Some(value));
                    prop_assert!(!selects || found.contains(key), "{key:?} selects by {selector:?}");
                }
                prop_assert!(found.iter().all(|key| model.contains_key(key)), "somebody who is gone: {found:?}");
            }
        }
    }

    #[test]
    fn services_with_a_label_in_common_are_told_apart_by_another() {
        let mut selectors = Selectors::default();
        let of = |number: usize| {
            Labels::from([("app".into(), "shop".into()), ("part".into(), number.to_string())])
        };
        for number in 0..100 {
            selectors.note(&Key::new("ns", number.to_string()), Some(&of(number)));
        }
        assert!(selectors.about("ns", &of(7)).len() <= 2);
        for number in 0..100 {
            selectors.note(&Key::new("ns", number.to_string()), None);
        }
        assert!(selectors.namespaces.is_empty());
    }
}
