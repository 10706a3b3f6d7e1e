//! Which resource a storage key belongs to.

use std::collections::HashMap;
use std::fmt;
use std::sync::LazyLock;

use wherry_api::kinds::rows;

/// A resource of a group, either of which may be `*` in a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct GroupResource {
    pub(super) group: String,
    pub(super) resource: String,
}

/// All there is.
pub(super) const ANY: &str = "*";

impl GroupResource {
    pub(super) fn new(group: &str, resource: &str) -> Self {
        Self { group: group.to_owned(), resource: resource.to_owned() }
    }

    /// What a rule names: `secrets`, `deployments.apps`, `*.apps`, `*.` (of the core group) or `*.*`.
    pub(super) fn parse(text: &str) -> Self {
        let (resource, group) = text.split_once('.').unwrap_or((text, ""));
        Self::new(group, resource)
    }
}

impl fmt::Display for GroupResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.group.as_str(), self.resource.as_str()) {
            ("", ANY) => f.write_str("*."),
            ("", resource) => f.write_str(resource),
            (group, resource) => write!(f, "{resource}.{group}"),
        }
    }
}

/// The resources of built-in kinds by where they are stored. Of those that two groups share the first one counts: of
/// Events the core group, as upstream has it.
static STORED: LazyLock<HashMap<&'static str, (&'static str, &'static str)>> = LazyLock::new(|| {
    let mut stored = HashMap::new();
    for kind in rows().filter(|kind| kind.stored()) {
        stored.entry(kind.storage).or_insert((kind.group, kind.plural));
    }
    stored
});

/// The group and the resource of what is stored under a key; none if it is no object.
pub(super) fn of_key(key: &str) -> Option<(&str, &str)> {
    let rest = key.strip_prefix("/registry/")?;
    let (first, rest) = rest.split_once('/')?;
    if let Some(found) = STORED.get(first) {
        return Some(*found);
    }
    let (second, _) = rest.split_once('/')?;
    let both = &key["/registry/".len()..][..first.len() + 1 + second.len()];
    Some(STORED.get(both).copied().unwrap_or((first, second)))
}

#[cfg(test)]
mod tests {
    use wherry_api::kinds::by_kind;

    use super::*;
    use crate::codec;

    #[test]
    fn keys_lead_back_to_their_resources() {
        for kind in rows().filter(|kind| kind.stored()) {
            let key = codec::key(kind, "ns", "name");
            let (group, resource) = of_key(&key).unwrap();
            let first = rows().find(|one| one.storage == kind.storage).unwrap();
            assert_eq!((group, resource), (first.group, first.plural), "{key}");
        }
        let event = codec::key(by_kind("", "v1", "Event").unwrap(), "ns", "name");
        assert_eq!(of_key(&event), Some(("", "events")));
        assert_eq!(of_key("/registry/example.com/secrets/ns/x"), Some(("example.com", "secrets")));
        for other in ["/registry/secrets", "/other/secrets/a/b", "", "/registry/a.b/c"] {
            assert_eq!(of_key(other), None, "{other}");
        }
    }

    #[test]
    fn names_read_as_they_are_written() {
        for name in ["secrets", "deployments.apps", "*.", "*.apps", "*.*"] {
            assert_eq!(GroupResource::parse(name).to_string(), name);
        }
    }
}
