//! Which nodes fit, by the letter of the rules.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use wherry_api::quantity::Quantity;

use super::world::{World, holds, label, list, selects};

impl World {
    /// Why a node does not fit.
    pub(super) fn refusal(&self, pod: &Value, node: &Value) -> Option<String> {
        if !is_named(pod, node) {
            return Some("node(s) didn't satisfy plugin(s) [NodeAffinity]".to_owned());
        }
        let cordon = json!({ "key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule" });
        if node["spec"]["unschedulable"] == true && !tolerated(pod, &cordon) {
            return Some("node(s) were unschedulable".to_owned());
        }
        if !bears_taints(pod, node) {
            return Some("node(s) had untolerated taint(s)".to_owned());
        }
        if !is_asked_for(pod, node) {
            return Some("node(s) didn't match Pod's node affinity/selector".to_owned());
        }
        if ports(pod)
            .any(|wanted| self.pods_on(node).any(|other| ports(other).any(|used| meets(wanted, used))))
        {
            return Some("node(s) didn't have free ports for the requested pod ports".to_owned());
        }
        let resources = self.insufficient(pod, node);
        if !resources.is_empty() {
            return Some(resources.join(", "));
        }
        self.spread_refusal(pod, node).or_else(|| self.affinity_refusal(pod, node)).map(str::to_owned)
    }

    fn insufficient(&self, pod: &Value, node: &Value) -> Vec<String> {
        let (wanted, all) = (requests(pod, false), &node["status"]["allocatable"]);
        let mut lacking = Vec::new();
        if self.pods_on(node).count() + 1 > all["pods"].as_str().unwrap().parse().unwrap() {
            lacking.push("Too many pods".to_owned());
        }
        for name in ["cpu", "memory", "example.com/gpu"] {
            let wanted = wanted.get(name).copied().unwrap_or(0);
            if wanted > 0 && self.requested(node, name, false) + wanted > amount(name, &all[name]) {
                lacking.push(format!("Insufficient {name}"));
            }
        }
        lacking
    }

    /// What the Pods of a node ask for.
    pub(super) fn requested(&self, node: &Value, name: &str, usual: bool) -> i64 {
        self.pods_on(node).map(|pod| requests(pod, usual).get(name).copied().unwrap_or(0)).sum()
    }

    fn spread_refusal(&self, pod: &Value, node: &Value) -> Option<&'static str> {
        let all = self.constraints(pod);
        let hard: Vec<_> = all.iter().filter(|rule| rule["whenUnsatisfiable"] == "DoNotSchedule").collect();
        for rule in &hard {
            let Some(value) = label(node, &rule["topologyKey"]) else {
                return Some("node(s) didn't match pod topology spread constraints (missing required label)");
            };
            let mut counts = BTreeMap::<&str, i64>::new();
            for other in self.nodes.values() {
                if hard.iter().all(|rule| label(other, &rule["topologyKey"]).is_some())
                    && counts_in(rule, pod, other)
                {
                    *counts.entry(label(other, &rule["topologyKey"]).unwrap()).or_default() +=
                        self.matching(rule, pod, other);
                }
            }
            let domains = i64::try_from(counts.len()).unwrap();
            let least = counts.values().min().copied().unwrap_or(i64::from(i32::MAX));
            let least = if domains < rule["minDomains"].as_i64().unwrap_or(1) { 0 } else { least };
            let itself = i64::from(selects(&rule["labelSelector"], &pod["metadata"]["labels"]));
            let here = counts.get(value).copied().unwrap_or(0);
            if here + itself - least > rule["maxSkew"].as_i64().unwrap() {
                return Some("node(s) didn't match pod topology spread constraints");
            }
        }
        None
    }

    /// How many Pods of a node a constraint counts.
    pub(super) fn matching(&self, rule: &Value, pod: &Value, node: &Value) -> i64 {
        let counted = self.pods_on(node).filter(|other| {
            other["metadata"]["namespace"] == pod["metadata"]["namespace"]
                && other["metadata"]["deletionTimestamp"].is_null()
                && selects(&rule["labelSelector"], &other["metadata"]["labels"])
        });
        i64::try_from(counted.count()).unwrap()
    }

    fn affinity_refusal(&self, pod: &Value, node: &Value) -> Option<&'static str> {
        let required = |pod: &Value, which: &str| {
            list(&pod["spec"]["affinity"][which]["requiredDuringSchedulingIgnoredDuringExecution"]).to_vec()
        };
        let same_domain = |term: &Value, other: &Value| {
            let key = &term["topologyKey"];
            label(node, key).is_some() && label(node, key) == label(other, key)
        };
        let near = required(pod, "podAffinity");
        let wanted = |other: &Value| near.iter().all(|term| self.speaks(term, pod, other));
        let has_label = |term: &Value, node: &Value| label(node, &term["topologyKey"]).is_some();
        let is_first =
            !self.placed().any(|(other, on)| wanted(other) && near.iter().any(|term| has_label(term, on)))
                && wanted(pod);
        for term in &near {
            let found = self.placed().any(|(other, on)| same_domain(term, on) && wanted(other));
            if !has_label(term, node) || (!found && !is_first) {
                return Some("node(s) didn't match pod affinity rules");
            }
        }
        for term in required(pod, "podAntiAffinity") {
            if self.placed().any(|(other, on)| same_domain(&term, on) && self.speaks(&term, pod, other)) {
                return Some("node(s) didn't match pod anti-affinity rules");
            }
        }
        for (other, on) in self.placed() {
            let terms = required(other, "podAntiAffinity");
            if terms.iter().any(|term| same_domain(term, on) && self.speaks(term, other, pod)) {
                return Some("node(s) didn't satisfy existing pods anti-affinity rules");
            }
        }
        None
    }
}

/// Whether a node counts for a constraint, by the constraint's policies.
pub(super) fn counts_in(rule: &Value, pod: &Value, node: &Value) -> bool {
    (rule["nodeAffinityPolicy"] == "Ignore" || is_asked_for(pod, node))
        && (rule["nodeTaintsPolicy"] != "Honor" || bears_taints(pod, node))
}

fn is_asked_for(pod: &Value, node: &Value) -> bool {
    let (spec, labels) = (&pod["spec"], &node["metadata"]["labels"]);
    let mut selected = spec["nodeSelector"].as_object().into_iter().flatten();
    let required = &spec["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    selected.all(|(key, value)| labels[key] == *value)
        && (required.is_null()
            || list(&required["nodeSelectorTerms"]).iter().any(|term| term_holds(term, node)))
}

/// Whether a node is among those that the affinity names, if each of its terms names some.
fn is_named(pod: &Value, node: &Value) -> bool {
    let required = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    let terms = list(&required["nodeSelectorTerms"]);
    let field =
        |term: &Value| list(&term["matchFields"]).iter().find(|field| field["operator"] == "In").cloned();
    let fields: Vec<_> = terms.iter().filter_map(field).collect();
    let names = |field: &Value| list(&field["values"]).contains(&node["metadata"]["name"]);
    terms.is_empty() || fields.len() < terms.len() || fields.iter().any(names)
}

/// Whether a node satisfies a term of a node selector.
pub(super) fn term_holds(term: &Value, node: &Value) -> bool {
    let fields = json!({ "metadata.name": node["metadata"]["name"] });
    list(&term["matchExpressions"]).iter().all(|expression| holds(expression, &node["metadata"]["labels"]))
        && list(&term["matchFields"]).iter().all(|field| holds(field, &fields))
}

fn bears_taints(pod: &Value, node: &Value) -> bool {
    let mut hard = list(&node["spec"]["taints"]).iter().filter(|taint| taint["effect"] != "PreferNoSchedule");
    hard.all(|taint| tolerated(pod, taint))
}

/// Whether a Pod tolerates a taint.
pub(super) fn tolerated(pod: &Value, taint: &Value) -> bool {
    list(&pod["spec"]["tolerations"]).iter().any(|toleration| {
        let text = |name: &str| toleration[name].as_str().unwrap_or_default();
        (text("effect").is_empty() || taint["effect"] == text("effect"))
            && (text("key").is_empty() || taint["key"] == text("key"))
            && (text("operator") == "Exists" || text("value") == taint["value"].as_str().unwrap_or_default())
    })
}

fn ports(pod: &Value) -> impl Iterator<Item = &Value> {
    list(&pod["spec"]["containers"]).iter().flat_map(|container| list(&container["ports"]))
}

fn meets(wanted: &Value, used: &Value) -> bool {
    wanted["hostPort"] == used["hostPort"]
        && (wanted["hostIP"] == used["hostIP"] || wanted["hostIP"] == "" || used["hostIP"] == "")
}

/// What a Pod asks for: its containers together, or its first container if that is more. The ones without CPU or
/// memory may count as a tenth of a CPU and 200 MiB.
pub(super) fn requests(pod: &Value, usual: bool) -> BTreeMap<String, i64> {
    let of = |container: &Value| {
        let mut amounts = BTreeMap::new();
        for (name, text) in container["resources"]["requests"].as_object().unwrap() {
            amounts.insert(name.clone(), amount(name, text));
        }
        if usual {
            amounts.entry("cpu".to_owned()).or_insert(100);
            amounts.entry("memory".to_owned()).or_insert(200 * 1024 * 1024);
        }
        amounts
    };
    let mut total = of(&pod["spec"]["containers"][0]);
    for container in list(&pod["spec"]["initContainers"]) {
        for (name, amount) in of(container) {
            let most = total.entry(name).or_default();
            *most = (*most).max(amount);
        }
    }
    total
}

/// A quantity, CPU in thousandths.
pub(super) fn amount(name: &str, text: &Value) -> i64 {
    let Some(text) = text.as_str() else { return 0 };
    let quantity: Quantity = text.parse().unwrap();
    i64::try_from(if name == "cpu" { quantity.as_milli() } else { quantity.value() }).unwrap()
}
