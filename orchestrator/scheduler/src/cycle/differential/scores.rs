//! How good the nodes that fit are, by the letter of the rules.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::filters::{amount, counts_in, requests, term_holds, tolerated};
use super::world::{World, label, list};
use crate::plugins::{float, whole};

impl World {
    /// The weighted sums of all scores, by name.
    pub(super) fn scores(&self, pod: &Value, fitting: &[&Value]) -> BTreeMap<String, i64> {
        let taints = lowest_is_best(fitting.iter().map(|node| untolerated(pod, node)).collect());
        let wishes = highest_is_best(fitting.iter().map(|node| wishes(pod, node)).collect());
        let spread = self.spread_scores(pod, fitting);
        let near = self.affinity_scores(pod, fitting);
        let total = |(at, node): (usize, &&Value)| {
            let alone = self.least_allocated(pod, node) + self.balanced(pod, node) + self.images(pod, node);
            let sum = alone + 3 * taints[at] + 2 * wishes[at] + 2 * spread[at] + 2 * near[at];
            (node["metadata"]["name"].as_str().unwrap().to_owned(), sum)
        };
        fitting.iter().enumerate().map(total).collect()
    }

    fn least_allocated(&self, pod: &Value, node: &Value) -> i64 {
        let wanted = requests(pod, true);
        let free = |name: &str| {
            let all = amount(name, &node["status"]["allocatable"][name]);
            let used = self.requested(node, name, true) + wanted[name];
            if used > all { 0 } else { (all - used) * 100 / all }
        };
        i64::midpoint(free("cpu"), free("memory"))
    }

    fn balanced(&self, pod: &Value, node: &Value) -> i64 {
        let wanted = requests(pod, false);
        let of = |name: &str| wanted.get(name).copied().unwrap_or(0);
        if of("cpu") == 0 && of("memory") == 0 {
            return 0;
        }
        let part = |name: &str| {
            let all = amount(name, &node["status"]["allocatable"][name]);
            (float(self.requested(node, name, false) + of(name)) / float(all)).min(1.0)
        };
        whole((1.0 - ((part("cpu") - part("memory")) / 2.0).abs()) * 100.0)
    }

    fn images(&self, pod: &Value, node: &Value) -> i64 {
        let size = |node: &Value, name: &str| {
            let images = list(&node["status"]["images"]);
            let found = images.iter().filter(|image| image["names"][0] == name);
            found.map(|image| image["sizeBytes"].as_i64().unwrap()).min()
        };
        let containers = list(&pod["spec"]["containers"]).iter().chain(list(&pod["spec"]["initContainers"]));
        let (mut sum, mut count) = (0, 0);
        for container in containers {
            let name = format!("{}:latest", container["image"].as_str().unwrap());
            let having = self.nodes.values().filter(|node| size(node, &name).is_some()).count();
            let share =
                float(i64::try_from(having).unwrap()) / float(i64::try_from(self.nodes.len()).unwrap());
            sum += size(node, &name).map_or(0, |size| whole(float(size) * share));
            count += 1;
        }
        let (least, most) = (23 << 20, (1000 << 20) * count);
        100 * (sum.clamp(least, most) - least) / (most - least)
    }

    fn spread_scores(&self, pod: &Value, fitting: &[&Value]) -> Vec<i64> {
        let all = self.constraints(pod);
        let soft: Vec<_> = all.iter().filter(|rule| rule["whenUnsatisfiable"] == "ScheduleAnyway").collect();
        if soft.is_empty() {
            return vec![0; fitting.len()];
        }
        let is_own = !list(&pod["spec"]["topologySpreadConstraints"]).is_empty();
        let has_all =
            |node: &Value| !is_own || soft.iter().all(|rule| label(node, &rule["topologyKey"]).is_some());
        let scored: Vec<_> = fitting.iter().copied().filter(|node| has_all(node)).collect();
        let raw = |node: &Value| {
            let mut score = 0.0;
            for rule in &soft {
                let Some(value) = label(node, &rule["topologyKey"]) else { continue };
                let by_node = rule["topologyKey"] == "kubernetes.io/hostname";
                let domains: BTreeSet<_> =
                    scored.iter().map(|node| label(node, &rule["topologyKey"])).collect();
                let size = if by_node { scored.len() } else { domains.len() };
                let same = self.nodes.values().filter(|other| {
                    has_all(other)
                        && label(other, &rule["topologyKey"]) == Some(value)
                        && counts_in(rule, pod, other)
                });
                let count = if by_node {
                    self.matching(rule, pod, node)
                } else {
                    same.map(|other| self.matching(rule, pod, other)).sum()
                };
                let weight = float(i64::try_from(size).unwrap() + 2).ln();
                score += float(count) * weight + float(rule["maxSkew"].as_i64().unwrap() - 1);
            }
            whole(score.round())
        };
        let raws: Vec<_> = scored.iter().map(|node| raw(node)).collect();
        let (least, most) =
            (raws.iter().min().copied().unwrap_or(0), raws.iter().max().copied().unwrap_or(0));
        let score = |node: &&Value| match raw(node) {
            _ if !has_all(node) => 0,
            _ if most == 0 => 100,
            raw => 100 * (most + least - raw) / most,
        };
        fitting.iter().map(score).collect()
    }

    fn affinity_scores(&self, pod: &Value, fitting: &[&Value]) -> Vec<i64> {
        let raw = |node: &Value| -> i64 {
            self.placed().map(|(other, on)| self.attraction(pod, node, other, on)).sum()
        };
        let raws: Vec<_> = fitting.iter().map(|node| raw(node)).collect();
        let (least, most) =
            (raws.iter().min().copied().unwrap_or(0), raws.iter().max().copied().unwrap_or(0));
        if most == least {
            return vec![0; raws.len()];
        }
        raws.iter().map(|raw| whole(100.0 * (float(raw - least) / float(most - least)))).collect()
    }

    /// What a placed Pod adds to a node for this one.
    fn attraction(&self, pod: &Value, node: &Value, other: &Value, on: &Value) -> i64 {
        let mut sum = 0;
        for (which, sign) in [("podAffinity", 1), ("podAntiAffinity", -1)] {
            for (owner, about) in [(pod, other), (other, pod)] {
                let rules = &owner["spec"]["affinity"][which];
                for wish in list(&rules["preferredDuringSchedulingIgnoredDuringExecution"]) {
                    let weight = sign * wish["weight"].as_i64().unwrap();
                    sum += weight * self.pulls(&wish["podAffinityTerm"], owner, about, (node, on));
                }
            }
        }
        for term in
            list(&other["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"])
        {
            sum += self.pulls(term, other, pod, (node, on));
        }
        sum
    }

    /// 1 if the term speaks of the Pod and both nodes are in one domain.
    fn pulls(&self, term: &Value, owner: &Value, about: &Value, (node, on): (&Value, &Value)) -> i64 {
        let key = &term["topologyKey"];
        let is_near = label(node, key).is_some() && label(node, key) == label(on, key);
        i64::from(is_near && self.speaks(term, owner, about))
    }
}

fn untolerated(pod: &Value, node: &Value) -> i64 {
    let soft = list(&node["spec"]["taints"]).iter().filter(|taint| taint["effect"] == "PreferNoSchedule");
    i64::try_from(soft.filter(|taint| !tolerated(pod, taint)).count()).unwrap()
}

fn wishes(pod: &Value, node: &Value) -> i64 {
    let wishes = &pod["spec"]["affinity"]["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"];
    let held = list(wishes).iter().filter(|wish| term_holds(&wish["preference"], node));
    held.map(|wish| wish["weight"].as_i64().unwrap()).sum()
}

fn highest_is_best(raw: Vec<i64>) -> Vec<i64> {
    match raw.iter().max().copied().unwrap_or(0) {
        0 => raw,
        most => raw.into_iter().map(|raw| raw * 100 / most).collect(),
    }
}

fn lowest_is_best(raw: Vec<i64>) -> Vec<i64> {
    match raw.iter().max().copied().unwrap_or(0) {
        0 => vec![100; raw.len()],
        most => raw.into_iter().map(|raw| 100 - raw * 100 / most).collect(),
    }
}
