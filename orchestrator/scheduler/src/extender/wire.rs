//! What is sent and answered, under the names that Go gives the fields of upstream's types.
//!
//! Answers are read whatever the case of their names is, as Go reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Node, Pod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ListMeta;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Nodes as Go writes a NodeList.
#[derive(Serialize)]
pub(super) struct Nodes<'a> {
    pub(super) metadata: ListMeta,
    pub(super) items: &'a [Arc<Node>],
}

/// The question which nodes fit, or how good they are.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Args<'a> {
    pub(super) pod: &'a Pod,
    pub(super) nodes: Option<Nodes<'a>>,
    pub(super) node_names: Option<&'a [String]>,
}

/// The question whose end is right.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PreemptionArgs<'a> {
    pub(super) pod: &'a Pod,
    pub(super) node_name_to_victims: Option<&'a BTreeMap<String, WholeVictims>>,
    pub(super) node_name_to_meta_victims: Option<&'a BTreeMap<String, MetaVictims>>,
}

/// The Pods to end on a node.
#[derive(Serialize)]
pub(crate) struct WholeVictims {
    #[serde(rename = "Pods")]
    pub(crate) pods: Vec<Pod>,
    #[serde(rename = "NumPDBViolations")]
    pub(crate) violations: usize,
}

/// The same by uid alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MetaVictims {
    #[serde(rename(serialize = "Pods", deserialize = "pods"))]
    pub(crate) pods: Vec<MetaPod>,
    #[serde(rename(serialize = "NumPDBViolations", deserialize = "numpdbviolations"))]
    pub(crate) violations: usize,
}

/// One of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MetaPod {
    #[serde(rename(serialize = "UID", deserialize = "uid"))]
    pub(crate) uid: String,
}

/// The wish to bind a Pod.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct BindingArgs<'a> {
    pub(super) pod_name: &'a str,
    pub(super) pod_namespace: &'a str,
    #[serde(rename = "PodUID")]
    pub(super) pod_uid: &'a str,
    pub(super) node: &'a str,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "lowercase")]
pub(super) struct FilterResult {
    pub(super) nodes: Option<Items>,
    #[serde(rename = "nodenames")]
    pub(super) node_names: Option<Vec<String>>,
    #[serde(rename = "failednodes")]
    pub(super) failed: Option<BTreeMap<String, String>>,
    #[serde(rename = "failedandunresolvablenodes")]
    pub(super) failed_for_good: Option<BTreeMap<String, String>>,
    pub(super) error: Option<String>,
}

/// A list of objects of which only names are looked at.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Items {
    pub(super) items: Option<Vec<Item>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Item {
    pub(super) metadata: Metadata,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    pub(super) name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct HostPriority {
    pub(super) host: String,
    pub(super) score: i64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct PreemptionResult {
    #[serde(rename = "nodenametometavictims")]
    pub(super) victims: Option<BTreeMap<String, Option<MetaVictims>>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct BindingResult {
    pub(super) error: Option<String>,
}

/// Reads an answer.
pub(super) fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, serde_json::Error> {
    serde_json::from_value(in_lower_case(serde_json::from_slice(body)?))
}

/// All names of fields in lower case. Names of nodes, which are keys too, have no other.
fn in_lower_case(value: Value) -> Value {
    match value {
        Value::Object(fields) => fields
            .into_iter()
            .map(|(name, value)| (name.to_lowercase(), in_lower_case(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Value::Array(items) => items.into_iter().map(in_lower_case).collect::<Vec<_>>().into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_read_in_any_case() {
        let answer = |nodes: &str, failed: &str| {
            let mut answer = json!({});
            answer[nodes] = json!(["a"]);
            answer[failed] = json!({"b": "No GPU"});
            read::<FilterResult>(answer.to_string().as_bytes()).unwrap()
        };
        for (nodes, failed) in [("NodeNames", "FailedNodes"), ("nodenames", "failedNodes")] {
            let read = answer(nodes, failed);
            assert_eq!(read.node_names.unwrap(), ["a"]);
            assert_eq!(read.failed.unwrap()["b"], "No GPU");
        }
    }

    #[test]
    fn what_go_leaves_empty_is_null() {
        let result = br#"{"Nodes":null,"NodeNames":null,"FailedNodes":null,"FailedAndUnresolvableNodes":null,"Error":""}"#;
        let read = read::<FilterResult>(result).unwrap();
        assert!(read.nodes.is_none() && read.node_names.is_none() && read.failed.is_none());
        assert_eq!(read.error.as_deref(), Some(""));
    }

    #[test]
    fn victims_come_back_as_they_were_sent() {
        let victims = MetaVictims { pods: vec![MetaPod { uid: "Uid-1".to_owned() }], violations: 2 };
        let sent = json!({ "NodeNameToMetaVictims": { "n": victims } });
        assert_eq!(
            sent["NodeNameToMetaVictims"]["n"],
            json!({"Pods": [{"UID": "Uid-1"}], "NumPDBViolations": 2})
        );
        let read = read::<PreemptionResult>(sent.to_string().as_bytes()).unwrap();
        assert_eq!(read.victims.unwrap()["n"].as_ref(), Some(&victims));
    }

    proptest! {
        #[test]
        fn whatever_is_answered_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = read::<FilterResult>(&body);
            let _ = read::<Vec<HostPriority>>(&body);
            let _ = read::<PreemptionResult>(&body);
            let _ = read::<BindingResult>(&body);
        }
    }
}
