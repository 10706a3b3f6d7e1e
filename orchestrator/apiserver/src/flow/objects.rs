//! FlowSchemas and PriorityLevelConfigurations as the store holds them.

use serde::{Deserialize, Deserializer};
use wherry_api::kinds::by_kind;
use wherry_store::Store;

use crate::codec;

/// The objects that describe priority and fairness.
#[derive(Debug, Default)]
pub(super) struct Objects {
    pub(super) schemas: Vec<Object<SchemaSpec>>,
    pub(super) levels: Vec<Object<LevelSpec>>,
}

/// An object of either kind.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Object<S> {
    pub(super) metadata: Metadata,
    pub(super) spec: S,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Metadata {
    pub(super) name: String,
    #[serde(default)]
    pub(super) uid: String,
}

/// What a FlowSchema wants.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct SchemaSpec {
    pub(super) priority_level_configuration: Reference,
    pub(super) matching_precedence: i32,
    pub(super) distinguisher_method: Option<Distinguisher>,
    #[serde(deserialize_with = "list")]
    pub(super) rules: Vec<Rule>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Reference {
    pub(super) name: String,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Distinguisher {
    #[serde(rename = "type")]
    pub(super) kind: String,
}

/// Whose requests and which of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Rule {
    #[serde(deserialize_with = "list")]
    pub(super) subjects: Vec<RuleSubject>,
    #[serde(deserialize_with = "list")]
    pub(super) resource_rules: Vec<ResourceRule>,
    #[serde(deserialize_with = "list")]
    pub(super) non_resource_rules: Vec<PathRule>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct RuleSubject {
    pub(super) kind: String,
    pub(super) user: Option<Reference>,
    pub(super) group: Option<Reference>,
    pub(super) service_account: Option<Account>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Account {
    pub(super) namespace: String,
    pub(super) name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ResourceRule {
    #[serde(deserialize_with = "list")]
    pub(super) verbs: Vec<String>,
    #[serde(deserialize_with = "list")]
    pub(super) api_groups: Vec<String>,
    #[serde(deserialize_with = "list")]
    pub(super) resources: Vec<String>,
    pub(super) cluster_scope: bool,
    #[serde(deserialize_with = "list")]
    pub(super) namespaces: Vec<String>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct PathRule {
    #[serde(deserialize_with = "list")]
    pub(super) verbs: Vec<String>,
    #[serde(rename = "nonResourceURLs", deserialize_with = "list")]
    pub(super) paths: Vec<String>,
}

/// What a PriorityLevelConfiguration wants.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct LevelSpec {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) limited: Option<Limited>,
    pub(super) exempt: Option<Exempt>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Exempt {
    pub(super) nominal_concurrency_shares: Option<i32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Limited {
    pub(super) nominal_concurrency_shares: Option<i32>,
    pub(super) limit_response: Response,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Response {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) queuing: Option<Queuing>,
}

/// How requests wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Queuing {
    pub(super) queues: u32,
    pub(super) hand_size: u32,
    pub(super) queue_length_limit: u32,
}

impl Default for Queuing {
    fn default() -> Self {
        Self { queues: 64, hand_size: 8, queue_length_limit: 50 }
    }
}

/// A list, of which null has nothing.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// What the store holds now. Objects that cannot be read are left out and told of.
pub(super) fn read(store: &Store) -> Objects {
    let snapshot = store.snapshot();
    let entries = |kind: &str| -> Vec<_> {
        let kind = by_kind("flowcontrol.apiserver.k8s.io", "v1", kind).expect("the kinds table has both");
        let prefix = codec::prefix(kind, None);
        snapshot.range(&prefix, None).map(|entry| (entry.key.to_string(), entry.value.clone())).collect()
    };
    Objects { schemas: parse(entries("FlowSchema")), levels: parse(entries("PriorityLevelConfiguration")) }
}

fn parse<S: for<'a> Deserialize<'a>>(entries: Vec<(String, bytes::Bytes)>) -> Vec<Object<S>> {
    let one = |(key, bytes): (String, bytes::Bytes)| match serde_json::from_slice(&bytes) {
        Ok(object) => Some(object),
        Err(error) => {
            tracing::error!(key, %error, "an object of priority and fairness cannot be read");
            None
        }
    };
    entries.into_iter().filter_map(one).collect()
}
