//! What objects count for in the quotas of their namespace.
//!
//! The API server charges what is written, and a controller counts again what is there; both must mean the same, so
//! both ask here. [`Resource::usage`] says how much of which resource an object takes, [`Quota::matches`] whether a
//! quota is about an object at all, [`amounts`] is arithmetic on what they say.

pub mod amounts;
mod claims;
mod pods;
mod read;
mod scope;
mod services;
#[cfg(test)]
mod tests;

use jiff::Timestamp;

use crate::data::Data;
use crate::quantity::Quantity;
pub use amounts::Amounts;
pub use scope::Scope;

/// A resource of the API, as requests name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Resource<'a> {
    /// Its group, empty for the core.
    pub group: &'a str,
    /// Its name.
    pub plural: &'a str,
}

/// Resources that have been counted by their bare names since before others were counted at all.
const BARE: &[&str] = &["configmaps", "resourcequotas", "replicationcontrollers", "secrets"];
/// Resources that are never counted.
const IGNORED: &[(&str, &str)] = &[("", "bindings"), ("", "events"), ("events.k8s.io", "events")];

impl Resource<'_> {
    /// Whether quotas count the resource at all.
    pub fn is_counted(&self) -> bool {
        !IGNORED.contains(&(self.group, self.plural))
    }

    /// `count/deployments.apps`: what a quota of all its objects is of.
    pub fn count_name(&self) -> String {
        match self.group {
            "" => format!("count/{}", self.plural),
            group => format!("count/{}.{group}", self.plural),
        }
    }

    /// Whether a quota of this name is about objects of the resource.
    pub fn tracks(&self, name: &str) -> bool {
        let counts = name.strip_prefix("count/").is_some_and(|_| name == self.count_name());
        counts
            || match (self.group, self.plural) {
                ("", "pods") => pods::tracks(name),
                ("", "services") => services::NAMES.contains(&name),
                ("", "persistentvolumeclaims") => claims::tracks_storage(name),
                ("resource.k8s.io", "resourceclaims") => name.ends_with(claims::DEVICES),
                ("", plural) => plural == name && BARE.contains(&name),
                _ => false,
            }
    }

    /// How much of everything an object takes.
    pub fn usage(&self, object: &dyn Data, now: Timestamp) -> Amounts {
        let mut usage = match (self.group, self.plural) {
            ("", "pods") => pods::usage(object, now),
            ("", "services") => services::usage(object),
            ("", "persistentvolumeclaims") => claims::storage(object),
            ("resource.k8s.io", "resourceclaims") => claims::devices(object),
            ("", plural) if BARE.contains(&plural) => Amounts::from([(plural.to_owned(), one())]),
            _ => Amounts::new(),
        };
        usage.insert(self.count_name(), one());
        usage
    }

    /// What the object must say and does not where a quota limits these resources, in upstream's words.
    pub fn missing(&self, object: &dyn Data, limited: &[&str]) -> Option<String> {
        if (self.group, self.plural) == ("", "pods") { pods::missing(object, limited) } else { None }
    }

    fn is_in(&self, scope: &Scope, object: &dyn Data) -> bool {
        match (self.group, self.plural) {
            ("", "pods") => pods::is_in(scope, object),
            ("", "persistentvolumeclaims") => claims::is_in(scope, object),
            _ => false,
        }
    }
}

fn one() -> Quantity {
    Quantity::from_units(1)
}

/// A ResourceQuota as its object says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Its name.
    pub name: String,
    /// What it shall allow.
    pub wanted: Amounts,
    /// What it allows.
    pub hard: Amounts,
    /// What is used of it.
    pub used: Amounts,
    /// Which objects it is about; all must hold.
    pub scopes: Vec<Scope>,
}

impl Quota {
    /// Reads a ResourceQuota.
    pub fn of(object: &dyn Data) -> Self {
        Self {
            name: read::text(object, "metadata.name").to_owned(),
            wanted: read::amounts(object, "spec.hard"),
            hard: read::amounts(object, "status.hard"),
            used: read::amounts(object, "status.used"),
            scopes: Scope::all(object),
        }
    }

    /// Whether it is about the object, whatever it limits.
    pub fn covers(&self, resource: &Resource<'_>, object: &dyn Data) -> bool {
        self.scopes.iter().all(|scope| resource.is_in(scope, object))
    }

    /// Whether it limits something that the object takes, or could take.
    pub fn matches(&self, resource: &Resource<'_>, object: &dyn Data) -> bool {
        self.hard.keys().any(|name| resource.tracks(name)) && self.covers(resource, object)
    }
}
