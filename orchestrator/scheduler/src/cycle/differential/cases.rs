//! Random clusters and Pods, small enough that rules meet often.

use serde_json::{Value, json};

use super::{Pair, uid};
use crate::io::random::Random;

const KEYS: [&str; 3] = ["topology.kubernetes.io/zone", "kubernetes.io/hostname", "rack"];
const NAMESPACES: [&str; 3] = ["default", "other", "third"];

/// See the module's documentation.
pub(super) struct Cases {
    pub(super) random: Random,
    templates: Vec<Value>,
    pods: usize,
    nodes: usize,
    /// Whether no Pod asks for anything of other Pods.
    is_plain: bool,
}

impl Cases {
    pub(super) fn new(seed: u64) -> Self {
        let mut cases =
            Self { random: Random::new(seed), templates: Vec::new(), pods: 0, nodes: 0, is_plain: false };
        cases.is_plain = cases.one_in(4);
        cases.nodes = 1 + cases.random.below(7);
        cases.templates = (0..4).map(|_| cases.template()).collect();
        cases
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.random.below(count) == 0
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.random.below(from.len())]
    }

    /// Some of what `make` makes.
    fn some(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> Value) -> Vec<Value> {
        (0..self.random.below(most + 1)).map(|_| make(self)).collect()
    }

    /// A value, or nothing.
    fn maybe(&mut self, one_in: usize, make: impl FnOnce(&mut Self) -> Value) -> Value {
        if self.one_in(one_in) { make(self) } else { Value::Null }
    }

    /// Makes the cluster as it is at first.
    pub(super) fn fill(&mut self, pair: &mut Pair) {
        for name in NAMESPACES {
            let namespace = self.namespace(name);
            pair.set_namespace(&namespace);
        }
        for place in 0..self.nodes {
            let node = self.node(place);
            pair.set_node(node);
        }
        for (namespace, app) in [("default", "x"), ("other", "y")] {
            if self.one_in(2) {
                pair.set_budget(namespace, app, i32::try_from(self.random.below(2)).unwrap());
            }
        }
        for _ in 0..self.random.below(12) {
            let (pod, node) = (self.pod(), self.random.below(self.nodes + 1));
            pair.place(pod, &format!("n{node}"));
        }
    }

    /// Changes something.
    pub(super) fn change(&mut self, pair: &mut Pair) {
        match self.random.below(12) {
            0 => {
                let node = self.random.below(self.nodes);
                let node = self.node(node);
                pair.set_node(node);
            }
            1 => {
                let node = self.random.below(self.nodes);
                pair.remove_node(&format!("n{node}"));
            }
            2 | 3 => self.with_some_pod(pair, |_, pair, pod, _| pair.remove_pod(&uid(&pod))),
            4 => self.with_some_pod(pair, |_, pair, mut pod, node| {
                pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
                pair.place(pod, &node);
            }),
            5 => self.with_some_pod(pair, |cases, pair, mut pod, node| {
                pod["metadata"]["labels"] = cases.labels();
                pair.place(pod, &node);
            }),
            6 => {
                let name = self.pick(&NAMESPACES);
                let namespace = self.namespace(name);
                pair.set_namespace(&namespace);
            }
            7 => {
                let (namespace, selector) = (self.pick(&NAMESPACES), self.labels());
                pair.set_service(namespace, "service", &selector);
            }
            8 => {
                let at = self.random.below(self.templates.len());
                self.templates[at] = self.template();
            }
            _ => {}
        }
    }

    fn with_some_pod(&mut self, pair: &mut Pair, change: impl FnOnce(&mut Self, &mut Pair, Value, String)) {
        let at = self.random.below(pair.world.pods.len());
        if let Some((pod, node)) = pair.world.pods.values().nth(at).cloned() {
            change(self, pair, pod, node);
        }
    }

    fn namespace(&mut self, name: &str) -> Value {
        json!({ "metadata": { "name": name, "labels": { "team": self.pick(&["a", "b"]) } } })
    }

    fn node(&mut self, place: usize) -> Value {
        let mut labels = json!({ "kubernetes.io/hostname": format!("n{place}") });
        if !self.one_in(5) {
            labels["topology.kubernetes.io/zone"] = json!(self.pick(&["a", "b", "c"]));
        }
        if self.one_in(2) {
            labels["rack"] = json!(self.pick(&["1", "2", "30"]));
        }
        let taints = if self.one_in(4) { self.some(2, Self::taint) } else { Vec::new() };
        let gpus = self.maybe(2, |cases| json!(cases.random.below(4).to_string()));
        let images = self.some(2, |cases| {
            let size = 100_000_000 * (1 + cases.random.below(9));
            json!({ "names": [format!("image-{}:latest", cases.random.below(3))], "sizeBytes": size })
        });
        let mut allocatable = json!({
            "cpu": format!("{}m", 500 + 500 * self.random.below(4)),
            "memory": format!("{}Mi", 512 + 512 * self.random.below(4)),
            "pods": (2 + self.random.below(8)).to_string(),
        });
        if !gpus.is_null() {
            allocatable["example.com/gpu"] = gpus;
        }
        json!({
            "metadata": { "name": format!("n{place}"), "labels": labels },
            "spec": { "taints": taints, "unschedulable": self.one_in(10) },
            "status": { "allocatable": allocatable, "images": images },
        })
    }

    fn taint(&mut self) -> Value {
        let effect = self.pick(&["NoSchedule", "PreferNoSchedule", "PreferNoSchedule", "NoExecute"]);
        json!({ "key": self.pick(&["k", "l"]), "value": self.pick(&["", "v", "7"]), "effect": effect })
    }

    /// One more Pod of one of the templates.
    pub(super) fn pod(&mut self) -> Value {
        let at = self.random.below(self.templates.len());
        let mut pod = self.templates[at].clone();
        self.pods += 1;
        let name = format!("p{:04}", self.pods);
        pod["metadata"]["name"] = json!(name);
        pod["metadata"]["uid"] = json!(name);
        pod["spec"]["priority"] = json!(self.random.below(4));
        // No two of one moment, of which either could end.
        let started = format!("2026-01-01T00:{:02}:{:02}Z", self.pods / 60, self.pods % 60);
        pod["status"] = json!({ "startTime": started });
        if self.is_plain && self.one_in(3) {
            pod["metadata"]["labels"]["index"] = json!(name);
        }
        pod
    }

    fn labels(&mut self) -> Value {
        let mut labels = json!({ "app": self.pick(&["x", "y"]) });
        if self.one_in(2) {
            labels["tier"] = json!(self.pick(&["front", "back"]));
        }
        labels
    }

    fn template(&mut self) -> Value {
        let mut spec = json!({ "containers": [self.container()], "tolerations": [] });
        if self.one_in(3) {
            spec["initContainers"] = json!([self.container()]);
        }
        if self.one_in(3) {
            spec["tolerations"] = json!(self.some(2, |cases| json!({
                "key": cases.pick(&["k", "l"]),
                "operator": cases.pick(&["Exists", "Equal"]),
                "effect": cases.pick(&["", "NoSchedule", "PreferNoSchedule"]),
            })));
        }
        if self.one_in(5) {
            spec["nodeSelector"] = json!({ "topology.kubernetes.io/zone": self.pick(&["a", "b"]) });
        }
        if self.one_in(2) && !self.is_plain {
            spec["topologySpreadConstraints"] = json!(self.some(2, Self::constraint));
        }
        spec["affinity"] = json!({
            "nodeAffinity": self.maybe(3, Self::node_affinity),
            "podAffinity": self.maybe(3, Self::pod_affinity),
            "podAntiAffinity": self.maybe(3, Self::pod_affinity),
        });
        if self.is_plain {
            spec["affinity"] = json!({ "nodeAffinity": spec["affinity"]["nodeAffinity"] });
        }
        json!({ "metadata": { "namespace": self.pick(&NAMESPACES), "labels": self.labels() }, "spec": spec })
    }

    fn container(&mut self) -> Value {
        let mut requests = json!({});
        for (resource, unit, part) in [("cpu", "m", 100), ("memory", "Mi", 64)] {
            if !self.one_in(3) {
                requests[resource] = json!(format!("{}{unit}", part * self.random.below(6)));
            }
        }
        if self.one_in(5) {
            requests["example.com/gpu"] = json!("1");
        }
        let ports = if self.one_in(6) { self.some(1, Self::port) } else { Vec::new() };
        let image = format!("image-{}", self.random.below(4));
        json!({ "name": "c", "image": image, "ports": ports, "resources": { "requests": requests } })
    }

    fn port(&mut self) -> Value {
        let address = self.pick(&["", "10.0.0.1", "10.0.0.2"]);
        json!({ "containerPort": 80, "hostPort": 80 + self.random.below(2), "hostIP": address, "protocol": "TCP" })
    }

    fn constraint(&mut self) -> Value {
        json!({
            "topologyKey": self.pick(&KEYS),
            "maxSkew": 1 + self.random.below(2),
            "whenUnsatisfiable": self.pick(&["DoNotSchedule", "ScheduleAnyway"]),
            "labelSelector": self.selector(),
            "minDomains": self.maybe(4, |cases| json!(1 + cases.random.below(4))),
            "nodeAffinityPolicy": self.maybe(3, |cases| json!(cases.pick(&["Honor", "Ignore"]))),
            "nodeTaintsPolicy": self.maybe(3, |cases| json!(cases.pick(&["Honor", "Ignore"]))),
        })
    }

    fn selector(&mut self) -> Value {
        match self.random.below(8) {
            0 => json!({}),
            1 => Value::Null,
            2 => {
                json!({ "matchExpressions": [{ "key": "tier", "operator": self.pick(&["Exists", "DoesNotExist"]) }] })
            }
            3 => json!({ "matchExpressions": [{ "key": "app", "operator": "NotIn", "values": ["x"] }] }),
            _ => json!({ "matchLabels": { "app": self.pick(&["x", "y"]) } }),
        }
    }

    fn node_affinity(&mut self) -> Value {
        let required = if self.one_in(6) {
            json!({ "nodeSelectorTerms": [self.pin()] })
        } else {
            self.maybe(3, |cases| json!({ "nodeSelectorTerms": [cases.node_term(), cases.node_term()] }))
        };
        let preferred = self.some(
            2,
            |cases| json!({ "weight": 1 + cases.random.below(100), "preference": cases.node_term() }),
        );
        json!({
            "requiredDuringSchedulingIgnoredDuringExecution": required,
            "preferredDuringSchedulingIgnoredDuringExecution": preferred,
        })
    }

    /// The one node that a DaemonSet's Pod names.
    fn pin(&mut self) -> Value {
        let name = format!("n{}", self.random.below(self.nodes));
        json!({ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [name] }] })
    }

    fn node_term(&mut self) -> Value {
        if self.one_in(8) {
            let name = format!("n{}", self.random.below(self.nodes.max(1)));
            return json!({ "matchFields": [{ "key": "metadata.name", "operator": "NotIn", "values": [name] }] });
        }
        let expression = match self.random.below(4) {
            0 => json!({ "key": "rack", "operator": self.pick(&["Gt", "Lt"]), "values": ["2"] }),
            1 => json!({ "key": "rack", "operator": self.pick(&["Exists", "DoesNotExist"]) }),
            _ => json!({ "key": KEYS[0], "operator": self.pick(&["In", "NotIn"]), "values": ["a", "b"] }),
        };
        json!({ "matchExpressions": [expression] })
    }

    fn pod_affinity(&mut self) -> Value {
        let preferred = self.some(
            2,
            |cases| json!({ "weight": 1 + cases.random.below(100), "podAffinityTerm": cases.pod_term() }),
        );
        let required = if self.one_in(2) { self.some(2, Self::pod_term) } else { Vec::new() };
        json!({
            "requiredDuringSchedulingIgnoredDuringExecution": required,
            "preferredDuringSchedulingIgnoredDuringExecution": preferred,
        })
    }

    fn pod_term(&mut self) -> Value {
        let namespaces = self.some(1, |cases| json!(cases.pick(&NAMESPACES)));
        let selector = self.maybe(3, |cases| {
            if cases.one_in(3) {
                json!({})
            } else {
                json!({ "matchLabels": { "team": cases.pick(&["a", "b"]) } })
            }
        });
        json!({
            "labelSelector": self.selector(),
            "topologyKey": self.pick(&KEYS),
            "namespaces": namespaces,
            "namespaceSelector": selector,
        })
    }
}
