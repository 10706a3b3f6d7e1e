//! A cluster as the objects in it, and the selectors over them, read anew for every question.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Found;

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub(super) struct World {
    pub(super) nodes: BTreeMap<String, Value>,
    /// Pods by uid, with their nodes.
    pub(super) pods: BTreeMap<String, (Value, String)>,
    /// The labels of namespaces.
    pub(super) namespaces: BTreeMap<String, Value>,
    pub(super) services: BTreeMap<(String, String), Value>,
    /// How many Pods of each label `app` may be ended in each namespace.
    pub(super) budgets: BTreeMap<(String, String), i32>,
}

impl World {
    /// What each node is to a Pod.
    pub(super) fn judge(&self, pod: &Value) -> Found {
        let refusals: BTreeMap<_, _> =
            self.nodes.iter().map(|(name, node)| (name.clone(), self.refusal(pod, node))).collect();
        let fitting: Vec<_> = refusals
            .iter()
            .filter(|(_, refusal)| refusal.is_none())
            .map(|(name, _)| &self.nodes[name])
            .collect();
        let scores = self.scores(pod, &fitting);
        refusals
            .into_iter()
            .map(|(name, refusal)| {
                let found = refusal.map_or_else(|| Ok(scores[&name]), Err);
                (name, found)
            })
            .collect()
    }

    /// The Pods on a node.
    pub(super) fn pods_on<'w>(&'w self, node: &'w Value) -> impl Iterator<Item = &'w Value> {
        let name = node["metadata"]["name"].as_str();
        self.pods.values().filter(move |(_, on)| Some(on.as_str()) == name).map(|(pod, _)| pod)
    }

    /// The placed Pods on nodes that are there, with these nodes.
    pub(super) fn placed(&self) -> impl Iterator<Item = (&Value, &Value)> {
        self.pods.values().filter_map(|(pod, node)| Some((pod, self.nodes.get(node)?)))
    }

    /// Whether a term of `owner` speaks of a Pod.
    pub(super) fn speaks(&self, term: &Value, owner: &Value, pod: &Value) -> bool {
        let namespace = pod["metadata"]["namespace"].as_str().unwrap();
        let listed: Vec<_> = list(&term["namespaces"]).iter().filter_map(Value::as_str).collect();
        let by_labels = &term["namespaceSelector"];
        let is_own = listed.is_empty() && by_labels.is_null() && owner["metadata"]["namespace"] == namespace;
        (is_own || listed.contains(&namespace) || selects(by_labels, &self.namespaces[namespace]))
            && selects(&term["labelSelector"], &pod["metadata"]["labels"])
    }

    /// The constraints of a Pod, its own or those by default.
    pub(super) fn constraints(&self, pod: &Value) -> Vec<Value> {
        let own = list(&pod["spec"]["topologySpreadConstraints"]);
        if !own.is_empty() {
            return own.to_vec();
        }
        let mut labels = serde_json::Map::new();
        for ((namespace, _), selector) in &self.services {
            if pod["metadata"]["namespace"] == *namespace && selects(selector, &pod["metadata"]["labels"]) {
                labels.extend(selector["matchLabels"].as_object().unwrap().clone());
            }
        }
        if labels.is_empty() {
            return Vec::new();
        }
        let over = |key: &str, skew: i32| {
            serde_json::json!({
                "topologyKey": key, "maxSkew": skew, "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": { "matchLabels": labels },
            })
        };
        vec![over("kubernetes.io/hostname", 3), over("topology.kubernetes.io/zone", 5)]
    }
}

/// The elements of a list that may be missing.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Whether a label selector selects these labels.
pub(super) fn selects(selector: &Value, labels: &Value) -> bool {
    if selector.is_null() {
        return false;
    }
    let by_value = selector["matchLabels"].as_object().into_iter().flatten();
    by_value.into_iter().all(|(key, value)| labels[key] == *value)
        && list(&selector["matchExpressions"]).iter().all(|expression| holds(expression, labels))
}

/// Whether one requirement holds.
pub(super) fn holds(expression: &Value, labels: &Value) -> bool {
    let found = &labels[expression["key"].as_str().unwrap()];
    let values = list(&expression["values"]);
    let numbers = || {
        let number = |value: &Value| value.as_str().and_then(|text| text.parse::<i64>().ok());
        Some((number(found)?, number(values.first()?)?))
    };
    match expression["operator"].as_str().unwrap() {
        "In" => values.contains(found),
        "NotIn" => !values.contains(found),
        "Exists" => !found.is_null(),
        "DoesNotExist" => found.is_null(),
        "Gt" => numbers().is_some_and(|(found, wanted)| found > wanted),
        "Lt" => numbers().is_some_and(|(found, wanted)| found < wanted),
        other => panic!("{other}"),
    }
}

/// The value of a node's label.
pub(super) fn label<'n>(node: &'n Value, key: &Value) -> Option<&'n str> {
    node["metadata"]["labels"][key.as_str().unwrap()].as_str()
}
