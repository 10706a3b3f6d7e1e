//! Variables that many containers have in common.

use std::fmt;
use std::sync::Arc;

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
}

impl CommonEnv {
    /// Puts these variables in the place of those the group had.
    pub fn set(&mut self, group: &str, variables: Arc<[Variable]>) {
        self.groups.insert(group.into(), variables);
    }

    /// Takes a group away.
    pub fn remove(&mut self, group: &str) {
        self.groups.remove(group);
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

    /// The value of a variable. All may have to be looked at: what uses many is better off with an index of its own.
    pub fn get(&self, name: &str) -> Option<&Arc<str>> {
        self.iter().rev().find(|(known, _)| **known == *name).map(|(_, value)| value)
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
        let names: Vec<&str> = all.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["A", "C", "A", "B"]);
        assert_eq!(all.get("A").map(|value| &**value), Some("web"));
        assert_eq!(all.get("C").map(|value| &**value), Some("first"));
        assert_eq!((before.get("C"), before.group("web").map(|group| group.len())), (None, Some(2)));
        all.remove("web");
        assert_eq!(all.get("A").map(|value| &**value), Some("first"));
        all.remove("");
        assert!(all.is_empty() && !before.is_empty());
    }

    proptest! {
        /// What is written down is read as the same variables.
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
            prop_assert_eq!(read.get("A"), all.get("A"));
            all.set("zz", variables(&[("Z", "z")]));
            prop_assert_ne!(read, all);
        }
    }
}
