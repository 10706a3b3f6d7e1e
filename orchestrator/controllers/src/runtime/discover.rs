//! Discovery: which kinds the API serves, as far as that can be told.
//!
//! Servers behind the API may not work at the moment. What they serve is then not known, which is no reason not to know
//! the rest.

use std::collections::{BTreeMap, HashSet};

use kube::Client;
use kube::api::ApiResource;

/// A kind as discovery shows it.
#[derive(Clone, Debug)]
pub(crate) struct Kind {
    pub(crate) resource: ApiResource,
    pub(crate) namespaced: bool,
    pub(crate) verbs: Vec<String>,
    /// Whether no better version of its group has the resource.
    pub(crate) is_preferred: bool,
}

/// The kinds that were found, by API version and kind.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) kinds: BTreeMap<(String, String), Kind>,
    /// The groups and versions that nobody could tell of.
    pub(super) stale: Vec<String>,
}

/// Asks for all kinds of all groups.
pub(super) async fn discover(client: &Client) -> Result<Found, kube::Error> {
    let mut found = Found::default();
    let core = client.list_core_api_versions_aggregated().await?;
    let others = client.list_api_groups_aggregated().await?;
    for group in core.items.into_iter().chain(others.items) {
        let name = group.metadata.and_then(|metadata| metadata.name).unwrap_or_default();
        let mut seen = HashSet::new();
        for version in group.versions {
            let of = (name.as_str(), version.version.unwrap_or_default());
            if version.freshness.as_deref() == Some("Stale") {
                found.stale.push(api_version(of.0, &of.1));
            }
            for resource in version.resources {
                let plural = resource.resource.unwrap_or_default();
                let kind = Kind {
                    resource: named(of.0, &of.1, &plural, resource.response_kind.and_then(|kind| kind.kind)),
                    namespaced: resource.scope.as_deref() == Some("Namespaced"),
                    verbs: resource.verbs,
                    is_preferred: seen.insert(plural),
                };
                found.kinds.insert((kind.resource.api_version.clone(), kind.resource.kind.clone()), kind);
            }
        }
    }
    found.stale.sort_unstable();
    Ok(found)
}

fn named(group: &str, version: &str, plural: &str, kind: Option<String>) -> ApiResource {
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: api_version(group, version),
        kind: kind.unwrap_or_default(),
        plural: plural.to_owned(),
    }
}

fn api_version(group: &str, version: &str) -> String {
    if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") }
}
