//! Who may select an object, found by the object's labels instead of by asking everybody.
//!
//! A selector chooses only what has all the labels that it asks for, so it is filed under one of them, the one that fewest others are
//! filed under. What is found may select the object; whether it does, its selector says.

use std::collections::{BTreeMap, BTreeSet, HashMap};

type Label = (String, String);

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct SelectorIndex {
    filed: HashMap<Label, BTreeSet<String>>,
    /// Those that ask for no one value of any label.
    unfiled: BTreeSet<String>,
    /// Where each is filed, if it is.
    places: HashMap<String, Option<Label>>,
}

impl SelectorIndex {
    /// Notes which labels with which values somebody asks for, instead of what was noted before.
    pub fn put<'a>(&mut self, name: &str, wanted: impl IntoIterator<Item = (&'a String, &'a String)>) {
        self.remove(name);
        let labels = wanted.into_iter().map(|(key, value)| (key.clone(), value.clone()));
        let place = labels.min_by_key(|label| self.filed.get(label).map_or(0, BTreeSet::len));
        let names = match &place {
            Some(label) => self.filed.entry(label.clone()).or_default(),
            None => &mut self.unfiled,
        };
        names.insert(name.to_owned());
        self.places.insert(name.to_owned(), place);
    }

    /// Forgets somebody.
    pub fn remove(&mut self, name: &str) {
        match self.places.remove(name) {
            None => {}
            Some(None) => drop(self.unfiled.remove(name)),
            Some(Some(label)) => {
                let Some(names) = self.filed.get_mut(&label) else { return };
                names.remove(name);
                if names.is_empty() {
                    self.filed.remove(&label);
                }
            }
        }
    }

    /// Those that may select what has these labels, each once.
    pub fn about<'a>(&'a self, labels: &'a BTreeMap<String, String>) -> impl Iterator<Item = &'a String> {
        let labels = labels.iter().map(|(key, value)| (key.clone(), value.clone()));
        labels.filter_map(|label| self.filed.get(&label)).flatten().chain(&self.unfiled)
    }

    /// Whether nobody is noted.
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Labels = BTreeMap<String, String>;

    fn labels() -> impl Strategy<Value = Labels> {
        prop::collection::btree_map("[ab]", "[xy]", 0..3)
    }

    proptest! {
        /// Whoever comes, changes and goes: who selects an object is found, once, and nobody who is gone.
        #[test]
        fn who_selects_an_object_is_found(
            changes in prop::collection::vec(("[1-5]", prop::option::of(labels())), 0..30),
            object in labels(),
        ) {
            let (mut index, mut model) = (SelectorIndex::default(), BTreeMap::new());
            for (name, selector) in changes {
                if let Some(selector) = selector {
                    index.put(&name, &selector);
                    model.insert(name, selector);
                } else {
                    index.remove(&name);
                    model.remove(&name);
                }
            }
            let found: Vec<_> = index.about(&object).collect();
            for (name, selector) in &model {
                let selects = selector.iter().all(|(key, value)| object.get(key) == Some(value));
                let times = found.iter().filter(|other| **other == name).count();
                let text = format!("{name} selects by {selector:?}, found {times} times");
                prop_assert!(times <= 1 && (!selects || times == 1), "{text}");
            }
            prop_assert!(found.iter().all(|name| model.contains_key(*name)), "somebody who is gone: {found:?}");
            prop_assert_eq!(index.is_empty(), model.is_empty());
        }
    }

    #[test]
    fn those_with_a_label_in_common_are_told_apart_by_another() {
        let mut index = SelectorIndex::default();
        let of = |number: usize| {
            Labels::from([("app".into(), "shop".into()), ("part".into(), number.to_string())])
        };
        for number in 0..100 {
            index.put(&number.to_string(), &of(number));
        }
        assert!(index.about(&of(7)).count() <= 2);
        for number in 0..100 {
            index.remove(&number.to_string());
        }
        assert!(index.is_empty() && index.filed.is_empty() && index.unfiled.is_empty());
    }
}
