//! The kinds table: one row for each resource the API serves.
//!
//! Discovery, storage keys, URL routing and clean-up all read this table; a new kind is one row here and one
//! file of rules in the API server. Facts are those of Kubernetes 1.36 discovery.

mod optional;
mod parts;
mod reviews;
mod table;

pub use optional::{OPTIONAL, RuntimeConfigError, SwitchedOn, optional};
pub use table::KINDS;

/// One resource, in one group and version.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Kind {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Version within the group.
    pub version: &'static str,
    /// The kind's name in objects: `Pod`.
    pub kind: &'static str,
    /// The resource's name in URLs: `pods`.
    pub plural: &'static str,
    /// The singular name tools accept: `pod`.
    pub singular: &'static str,
    /// Abbreviations tools accept.
    pub short_names: &'static [&'static str],
    /// Groups of resources, such as `all`.
    pub categories: &'static [&'static str],
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
    /// Verbs of the resource, sorted.
    pub verbs: &'static [&'static str],
    /// Subresources, sorted by name.
    pub subresources: &'static [Subresource],
    /// Storage prefix below `/registry/`; resources served in two groups share it. Empty for what is answered and not
    /// stored.
    pub storage: &'static str,
}

/// A part of a resource with verbs of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subresource {
    /// The last segment of its URL.
    pub name: &'static str,
    /// Group of its kind where that differs from its parent's.
    pub group: &'static str,
    /// Version of its kind where that differs from its parent's.
    pub version: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its verbs, sorted.
    pub verbs: &'static [&'static str],
}

impl Kind {
    /// `v1` or `apps/v1`.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.to_owned()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The resource with its group, as errors name it: `pods` or `deployments.apps`.
    pub fn group_resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// Whether its objects are stored; others exist only as the answer to their creation.
    pub fn stored(&self) -> bool {
        !self.storage.is_empty()
    }

    /// The subresource of this name.
    pub fn subresource(&self, name: &str) -> Option<&'static Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }
}

/// Everything that can be served: what always is, and what can be switched on.
pub fn rows() -> impl Iterator<Item = &'static Kind> + Clone {
    KINDS.iter().chain(OPTIONAL)
}

/// The row of a resource name.
pub fn by_plural(group: &str, version: &str, plural: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|k| k.plural == plural && k.group == group && k.version == version)
}

/// The row of a kind name.
pub fn by_kind(group: &str, version: &str, kind: &str) -> Option<&'static Kind> {
    KINDS.iter().find(|k| k.kind == kind && k.group == group && k.version == version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_both_its_names() {
        for kind in KINDS {
            assert_eq!(by_plural(kind.group, kind.version, kind.plural), Some(kind));
            assert_eq!(by_kind(kind.group, kind.version, kind.kind), Some(kind));
        }
    }

    #[test]
    fn verbs_and_subresources_are_sorted_as_discovery_prints_them() {
        for kind in KINDS {
            assert!(kind.verbs.is_sorted(), "{}", kind.plural);
            assert!(kind.subresources.is_sorted_by_key(|s| s.name), "{}", kind.plural);
            assert!(kind.subresources.iter().all(|s| s.verbs.is_sorted()), "{}", kind.plural);
        }
    }

    #[test]
    fn names_carry_the_group_where_there_is_one() {
        let deployment = by_kind("apps", "v1", "Deployment").unwrap();
        assert_eq!(deployment.api_version(), "apps/v1");
        assert_eq!(deployment.group_resource(), "deployments.apps");
        let pod = by_kind("", "v1", "Pod").unwrap();
        assert_eq!(pod.api_version(), "v1");
        assert_eq!(pod.group_resource(), "pods");
    }
}
