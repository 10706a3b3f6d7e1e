//! Variables that many containers have in common.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use imbl::OrdMap;
use serde::ser::SerializeSeq as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A name and a value.
pub type Variable = (Arc<str>, Arc<str>);

/// Variables in groups, in the order of the groups' names. A copy costs nothing and shares the variables; so does one that differs
/// in a group.
#[derive(Clone, Default)]
pub struct CommonEnv {
    groups: OrdMap<Arc<str>, Arc<[Variable]>>,
    merged: Arc<OnceLock<Merged>>,
}

/// All variables, each name once: made when somebody asks, and shared by all copies.
#[derive(Default)]
struct Merged {
    all: Vec<Variable>,
    places: HashMap<Arc<str>, usize>,
}

impl CommonEnv {
    /// Puts these variables in the place of those the group had.
    pub fn set(&mut self, group: &str, variables: Arc<[Variable]>) {
        if self.group(group).is_some_and(|known| Arc::ptr_eq(known, &variables)) {
            return;
        }
        self.groups.insert(group.into(), variables);
        self.merged = Arc::default();
    }

    /// Takes a group away.
    pub fn remove(&mut self, group: &str) {
        if self.groups.remove(group).is_some() {
            self.merged = Arc::default();
        }
    }

    /// The variables of a group, if there is one.
    pub fn group(&self, name: &str) -> Option<&Arc<[Variable]>> {
        self.groups.get(name)
    }

    /// Whether there are no groups.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// All variables; of equal names the last one counts.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Variable> {
        self.groups.values().flat_map(|group| group.iter())
    }

    /// All variables, each name once: where it first stands, with the value that it has last.
    pub fn merged(&self) -> &[Variable] {
        &self.index().all
    }

    /// Where among them a variable is.
    pub fn place(&self, name: &str) -> Option<usize> {
        if self.is_empty() { None } else { self.index().places.get(name).copied() }
    }

    /// The value of a variable.
    pub fn get(&self, name: &str) -> Option<&Arc<str>> {
        self.place(name).map(|place| &self.merged()[place].1)
    }

    fn index(&self) -> &Merged {
        self.merged.get_or_init(|| {
            let mut merged = Merged::default();
            for (name, value) in self.iter() {
                let place = *merged.places.entry(Arc::clone(name)).or_insert(merged.all.len());
                if place == merged.all.len() {
                    merged.all.push((Arc::clone(name), Arc::clone(value)));
                } else {
                    merged.all[place].1 = Arc::clone(value);
                }
            }
            merged
        })
    }
}

/// As many as there are: they are mostly uninteresting.
impl fmt::Debug for CommonEnv {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommonEnv({} groups)", self.groups.len())
    }
}

/// The same variables in the same order, however they are grouped.
impl PartialEq for CommonEnv {
    fn eq(&self, other: &Self) -> bool {
        self.groups.ptr_eq(&other.groups) || self.iter().eq(other.iter())
    }
}

impl Eq for CommonEnv {}

/// A list of pairs.
impl Serialize for CommonEnv {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut all = serializer.serialize_seq(None)?;
        for (name, value) in self.iter() {
            all.serialize_element(&(&**name, &**value))?;
        }
        all.end()
    }
}

impl<'de> Deserialize<'de> for CommonEnv {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = Vec::<(String, String)>::deserialize(deserializer)?;
        let mut read = Self::default();
        if !all.is_empty() {
            read.set("", all.into_iter().map(|(name, value)| (name.into(), value.into())).collect());
        }
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn variables(all: &[(&str, &str)]) -> Arc<[Variable]> {
        all.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn groups_follow_each_other_by_name_and_the_last_of_equal_names_counts() {
        let mut all = CommonEnv::default();
        all.set("web", variables(&[("A", "web"), ("B", "web")]));
        let before = all.clone();
        all.set("", variables(&[("A", "first"), ("C", "first")]));
        let names = |all: &mut dyn Iterator<Item = &Variable>| -> Vec<String> {
            all.map(|(name, _)| name.to_string()).collect()
        };
        assert_eq!(names(&mut all.iter()), ["A", "C", "A", "B"]);
        assert_eq!(names(&mut all.merged().iter()), ["A", "C", "B"]);
        assert_eq!(all.get("A").map(|value| &**value), Some("web"));
        assert_eq!(all.get("C").map(|value| &**value), Some("first"));
        assert_eq!((before.get("C"), before.group("web").map(|group| group.len())), (None, Some(2)));
        all.remove("web");
        assert_eq!(all.get("A").map(|value| &**value), Some("first"));
        all.remove("");
        assert!(all.is_empty() && !before.is_empty());
    }

    proptest! {
        /// What is written down is read as the same variables, of which each name counts once.
        #[test]
        fn what_is_written_is_read(
            groups in prop::collection::btree_map("[a-c]{0,2}", prop::collection::vec(("[A-C]", "[a-c\"]{0,3}"), 0..4), 0..4),
        ) {
            let mut all = CommonEnv::default();
            for (name, group) in &groups {
                let pairs: Vec<_> = group.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                all.set(name, variables(&pairs));
            }
            let read: CommonEnv = serde_json::from_str(&serde_json::to_string(&all).unwrap()).unwrap();
            prop_assert_eq!(&read, &all);
            let mut model: Vec<(String, String)> = Vec::new();
            for (name, value) in groups.values().flatten() {
                match model.iter_mut().find(|(known, _)| known == name) {
                    Some(known) => known.1.clone_from(value),
                    None => model.push((name.clone(), value.clone())),
                }
            }
            let merged: Vec<_> = read.merged().iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            prop_assert_eq!(merged, model);
            for (place, (name, _)) in all.merged().iter().enumerate() {
                prop_assert_eq!(all.place(name), Some(place));
            }
            all.set("zz", variables(&[("Z", "z")]));
            prop_assert_ne!(read, all);
        }
    }
}
