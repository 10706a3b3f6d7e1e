//! What the APIs of metrics answer, as far as it matters.

use std::collections::BTreeMap;

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::{Deserialize, Deserializer};

use super::samples::{Sample, milli};

/// metrics.k8s.io: what Pods use.
#[derive(Debug, Deserialize)]
pub(super) struct PodValues {
    #[serde(default)]
    pub(super) items: Vec<PodValue>,
}

/// What one Pod uses.
#[derive(Debug, Deserialize)]
pub(super) struct PodValue {
    metadata: ObjectMeta,
    timestamp: Time,
    #[serde(default, deserialize_with = "duration")]
    window: SignedDuration,
    #[serde(default)]
    containers: Vec<ContainerValue>,
}

#[derive(Debug, Deserialize)]
struct ContainerValue {
    name: String,
    #[serde(default)]
    usage: BTreeMap<String, Quantity>,
}

impl PodValue {
    pub(super) fn name(&self) -> String {
        self.metadata.name.clone().unwrap_or_default()
    }

    /// How much of a resource the Pod uses, or its container of this name. Of a Pod of which a container says nothing,
    /// nothing is known.
    pub(super) fn sample(&self, resource: &str, container: Option<&str>) -> Option<Sample> {
        let mut containers = self.containers.iter();
        let used = |container: &ContainerValue| container.usage.get(resource).map(milli);
        let milli = match container {
            Some(wanted) => used(containers.find(|container| container.name == wanted)?)?,
            None if self.containers.is_empty() => return None,
            None => containers.map(used).try_fold(0, |sum: i64, used| Some(sum.saturating_add(used?)))?,
        };
        Some(Sample { at: self.timestamp.0, window: self.window, milli })
    }
}

/// custom.metrics.k8s.io: values of objects.
#[derive(Debug, Deserialize)]
pub(super) struct ObjectValues {
    #[serde(default)]
    pub(super) items: Vec<ObjectValue>,
}

/// One value of one object.
#[derive(Debug, Deserialize)]
pub(super) struct ObjectValue {
    #[serde(rename = "describedObject")]
    pub(super) described: Described,
    pub(super) timestamp: Time,
    /// In seconds.
    #[serde(default, rename = "windowSeconds", alias = "window")]
    pub(super) window: Option<i64>,
    pub(super) value: Quantity,
}

/// Which object.
#[derive(Debug, Deserialize)]
pub(super) struct Described {
    #[serde(default)]
    pub(super) name: String,
}

/// external.metrics.k8s.io: values of something outside the cluster.
#[derive(Debug, Deserialize)]
pub(super) struct ExternalValues {
    #[serde(default)]
    pub(super) items: Vec<ExternalValue>,
}

/// One of them.
#[derive(Debug, Deserialize)]
pub(super) struct ExternalValue {
    pub(super) value: Quantity,
}

/// A duration as Go writes it, like `1m0.5s`.
fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SignedDuration, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(serde::de::Error::custom)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn pod(containers: &Value) -> PodValue {
        let pod = json!({
            "metadata": {"name": "a"}, "timestamp": "2026-01-01T00:00:00Z", "window": "1m0.5s", "containers": containers,
        });
        serde_json::from_value(pod).unwrap()
    }

    #[rstest]
    #[case::all(None, Some(350))]
    #[case::one(Some("b"), Some(100))]
    #[case::one_that_says_nothing(Some("c"), None)]
    #[case::none_of_this_name(Some("x"), None)]
    fn the_use_of_a_pod_is_that_of_its_containers(
        #[case] container: Option<&str>,
        #[case] used: Option<i64>,
    ) {
        let mut containers = json!([
            {"name": "a", "usage": {"cpu": "250m", "memory": "1Mi"}}, {"name": "b", "usage": {"cpu": "100000001n"}},
        ]);
        containers[1]["usage"]["cpu"] = json!("100m");
        if container == Some("c") {
            containers[1] = json!({"name": "c", "usage": {}});
        }
        let sample = pod(&containers).sample("cpu", container);
        assert_eq!(sample.map(|sample| sample.milli), used);
        assert!(sample.is_none_or(|sample| sample.window == SignedDuration::from_millis(60_500)));
    }

    #[test]
    fn of_a_pod_with_a_silent_container_nothing_is_known() {
        let silent = json!([{"name": "a", "usage": {"cpu": "1"}}, {"name": "b", "usage": {"memory": "1"}}]);
        assert_eq!(pod(&silent).sample("cpu", None), None);
        assert_eq!(pod(&json!([])).sample("cpu", None), None);
    }

    #[test]
    fn both_versions_of_custom_metrics_are_understood() {
        let of = |window: &str| json!({"describedObject": {"name": "a"}, "timestamp": "2026-01-01T00:00:00Z", window: 30, "value": "1500m"});
        let list = json!({"items": [of("window"), of("windowSeconds")]});
        let list: ObjectValues = serde_json::from_value(list).unwrap();
        assert!(list.items.iter().all(|item| item.window == Some(30) && milli(&item.value) == 1500));
    }

    proptest! {
        #[test]
        fn whatever_a_server_says_is_read_or_refused(
            timestamp in ".{0,24}", window in "[-+]?[0-9.]{0,24}(ns|us|ms|s|m|h)?.{0,2}", used in ".{0,30}",
        ) {
            let pod = json!({
                "metadata": {"name": "a"}, "timestamp": timestamp, "window": window,
                "containers": [{"name": "a", "usage": {"cpu": used}}, {"name": "b", "usage": {"cpu": "9E"}}],
            });
            if let Ok(pods) = serde_json::from_value::<PodValues>(json!({ "items": [pod] })) {
                prop_assert!(pods.items[0].sample("cpu", None).is_some());
            }
        }
    }
}
