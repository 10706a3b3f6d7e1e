//! What is answered, as objects of `metrics.k8s.io/v1beta1` and as statuses.

use std::collections::BTreeMap;

use http::StatusCode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::{Value, json};

use crate::server::{GROUP, VERSION};
use crate::usage::Usage;

/// What a node or a Pod uses.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) name: String,
    /// Of a Pod.
    pub(crate) namespace: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    /// Of a Pod, by container; of a node, one without a name.
    pub(crate) parts: Vec<(String, Usage)>,
}

impl Figures {
    /// Of the object with this metadata. Nothing is told of what uses nothing that is known.
    pub(crate) fn new(metadata: ObjectMeta, parts: Vec<(String, Usage)>) -> Option<Self> {
        let ObjectMeta { name, namespace, labels, .. } = metadata;
        (!parts.is_empty()).then(|| Self { name: name.unwrap_or_default(), namespace, labels, parts })
    }

    /// The part whose window ended first: nothing that is told is older.
    pub(crate) fn oldest(&self) -> Option<&Usage> {
        self.parts.iter().map(|(_, usage)| usage).min_by_key(|usage| usage.at)
    }

    /// As an object; `now` is when it was made.
    pub(crate) fn object(&self, now: &str) -> Value {
        let mut metadata = json!({"name": self.name, "creationTimestamp": now});
        if let Some(namespace) = &self.namespace {
            metadata["namespace"] = namespace.as_str().into();
        }
        if let Some(labels) = &self.labels {
            metadata["labels"] = json!(labels);
        }
        let mut object = json!({
            "kind": if self.namespace.is_some() { "PodMetrics" } else { "NodeMetrics" },
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "metadata": metadata,
        });
        if let Some(oldest) = self.oldest() {
            object["timestamp"] = seconds(oldest.at).into();
            object["window"] = window(oldest).into();
        }
        let usage = |usage: &Usage| json!({"cpu": usage.cpu.to_string(), "memory": usage.memory.to_string()});
        match &self.namespace {
            Some(_) => {
                let containers =
                    self.parts.iter().map(|(name, part)| json!({"name": name, "usage": usage(part)}));
                object["containers"] = containers.collect();
            }
            None => object["usage"] = self.oldest().map_or_else(|| json!({}), usage),
        }
        object
    }
}

/// A time without a fraction, as the API has them.
pub(crate) fn seconds(at: jiff::Timestamp) -> String {
    jiff::Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

/// How long a window is, as Go writes durations under a minute.
pub(crate) fn window(usage: &Usage) -> String {
    let millis = usage.window.as_millis();
    let (whole, rest) = (millis / 1000, millis % 1000);
    let fraction = format!(".{rest:03}");
    let (minutes, whole) = (whole / 60, whole % 60);
    let minutes = if minutes == 0 { String::new() } else { format!("{minutes}m") };
    format!("{minutes}{whole}{}s", fraction.trim_end_matches('0').trim_end_matches('.'))
}

/// A list of a kind.
pub(crate) fn list(kind: &str, items: &[Value]) -> Value {
    json!({"kind": format!("{kind}List"), "apiVersion": format!("{GROUP}/{VERSION}"), "metadata": {}, "items": items})
}

/// Which resources there are.
pub(crate) fn resources() -> Value {
    let resource = |name: &str, namespaced: bool, kind: &str| json!({"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list"]});
    json!({
        "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": format!("{GROUP}/{VERSION}"),
        "resources": [resource("nodes", false, "NodeMetrics"), resource("pods", true, "PodMetrics")],
    })
}

/// A failure, told as the API tells it.
pub(crate) fn failure(code: StatusCode, reason: &str, message: &str) -> Value {
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "message": message, "reason": reason, "code": code.as_u16(),
    })
}

#[cfg(test)]
mod tests {
    use jiff::{SignedDuration, Timestamp};
    use rstest::rstest;

    use super::*;

    fn usage(at: i64, millis: i64, cpu: &str) -> Usage {
        Usage {
            at: Timestamp::from_second(at).unwrap(),
            window: SignedDuration::from_millis(millis),
            cpu: cpu.parse().unwrap(),
            memory: "3Mi".parse().unwrap(),
        }
    }

    #[test]
    fn pods_are_told_by_container() {
        let metadata = ObjectMeta {
            name: Some("p".to_owned()),
            namespace: Some("ns".to_owned()),
            labels: Some([("app".to_owned(), "x".to_owned())].into()),
            ..ObjectMeta::default()
        };
        let parts =
            vec![("a".to_owned(), usage(70, 15_000, "1500000n")), ("b".to_owned(), usage(69, 14_250, "2m"))];
        let figures = Figures::new(metadata, parts).unwrap();
        let expected = json!({
            "kind": "PodMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
            "metadata": {
                "name": "p", "namespace": "ns", "labels": {"app": "x"}, "creationTimestamp": "1970-01-01T00:01:11Z",
            },
            "timestamp": "1970-01-01T00:01:09Z", "window": "14.25s",
            "containers": [
                {"name": "a", "usage": {"cpu": "1500u", "memory": "3Mi"}},
                {"name": "b", "usage": {"cpu": "2m", "memory": "3Mi"}},
            ],
        });
        assert_eq!(figures.object("1970-01-01T00:01:11Z"), expected);
        assert!(Figures::new(ObjectMeta::default(), Vec::new()).is_none());
    }

    #[test]
    fn nodes_are_told_as_a_whole() {
        let metadata = ObjectMeta { name: Some("n".to_owned()), ..ObjectMeta::default() };
        let figures = Figures::new(metadata, vec![(String::new(), usage(70, 15_000, "1"))]).unwrap();
        let object = figures.object("1970-01-01T00:01:11Z");
        assert_eq!(
            (&object["kind"], &object["usage"]),
            (&json!("NodeMetrics"), &json!({"cpu": "1", "memory": "3Mi"}))
        );
        assert!(object.get("containers").is_none() && object["metadata"].get("labels").is_none());
    }

    #[rstest]
    #[case(15_000, "15s")]
    #[case(1_001, "1.001s")]
    #[case(60_500, "1m0.5s")]
    fn windows_are_written_as_go_writes_them(#[case] millis: i64, #[case] expected: &str) {
        assert_eq!(window(&usage(0, millis, "0")), expected);
    }
}
