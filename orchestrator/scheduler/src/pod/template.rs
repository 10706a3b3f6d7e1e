//! All of a Pod that decides where it may go and what it takes there, without what tells it from its likes.
//!
//! Pods of one controller have equal templates, so the work on nodes is done once for all of them. What differs
//! from Pod to Pod and does not matter (names, tokens' volumes) is left out; the one node that each of a
//! DaemonSet's Pods names is kept beside the template.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::Deref;

use k8s_openapi::api::core::v1::{Affinity, NodeSelector, Pod, PodSpec};

use crate::cluster::OwnerKind;

use super::ports::{HostPort, host_ports};
use super::requests::requests;
use super::resources::{Resources, UsualAmounts};
use super::term::Labels;
use super::{NodeTerm, PodTerm, Spread, Toleration};

/// The RuntimeClass of wasm that every cluster has.
const WASM_CLASS: &str = "wasmtime";

/// What the template says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Rules {
    pub(crate) namespace: String,
    pub(crate) labels: Labels,
    pub(crate) requests: Resources,
    /// The requests with usual amounts for what was left out, so that scores spread such Pods too.
    pub(crate) scored: Resources,
    pub(crate) ports: Vec<HostPort>,
    pub(crate) node_selector: BTreeMap<String, String>,
    /// One of the terms must match, if there is this list.
    pub(crate) required_nodes: Option<Vec<NodeTerm>>,
    pub(crate) preferred_nodes: Vec<(i64, NodeTerm)>,
    pub(crate) tolerations: Vec<Toleration>,
    pub(crate) affinity: Vec<PodTerm>,
    pub(crate) anti_affinity: Vec<PodTerm>,
    /// Wishes by weight; those to stay apart have a negative one.
    pub(crate) preferred: Vec<(i64, PodTerm)>,
    pub(crate) spread: Vec<Spread>,
    pub(crate) images: Vec<String>,
    /// Whether all its containers are wasm, by its RuntimeClass.
    pub(crate) is_wasm: bool,
    pub(crate) claims_devices: bool,
    /// The controller, if the Pods of its kind are spread by default.
    pub(crate) owner: Option<(OwnerKind, String)>,
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    hash: u64,
    /// The hash of what matters to nodes by themselves.
    plain_hash: u64,
    rules: Rules,
}

impl Template {
    /// The template of a Pod, and the only nodes its affinity names.
    pub(super) fn of(pod: &Pod) -> (Self, Option<Vec<String>>) {
        let nothing = PodSpec::default();
        let spec = pod.spec.as_ref().unwrap_or(&nothing);
        let mut rules = Rules {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            requests: requests(pod, UsualAmounts::Never),
            scored: requests(pod, UsualAmounts::ForMissing),
            ports: host_ports(spec),
            node_selector: spec.node_selector.clone().unwrap_or_default(),
            tolerations: spec.tolerations.iter().flatten().filter_map(Toleration::parse).collect(),
            images: images(spec),
            claims_devices: spec.resource_claims.as_ref().is_some_and(|claims| !claims.is_empty()),
            is_wasm: is_wasm(spec),
            owner: owner(pod),
            ..Rules::default()
        };
        let constraints = spec.topology_spread_constraints.iter().flatten();
        rules.spread = constraints.map(|constraint| Spread::parse(constraint, &rules.labels)).collect();
        if let Some(affinity) = &spec.affinity {
            rules.read_affinity(affinity);
        }
        let pinned = rules.take_pin();
        (Self::from(rules), pinned)
    }
}

impl From<Rules> for Template {
    fn from(rules: Rules) -> Self {
        let (hash, plain_hash) = (hash(&rules), hash(&rules.plain()));
        Self { hash, plain_hash, rules }
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// What matters to nodes by themselves.
#[derive(PartialEq, Eq, Hash)]
struct Plain<'r> {
    amounts: (&'r Resources, &'r Resources),
    ports: &'r [HostPort],
    node_selector: &'r BTreeMap<String, String>,
    required_nodes: Option<&'r [NodeTerm]>,
    preferred_nodes: &'r [(i64, NodeTerm)],
    tolerations: &'r [Toleration],
    images: (&'r [String], bool),
}

impl Template {
    /// Whether nodes by themselves are the same to Pods of both.
    pub(crate) fn is_like(&self, other: &Self) -> bool {
        self.plain_hash == other.plain_hash && self.rules.plain() == other.rules.plain()
    }

    /// The template without what tells Pods from each other that are alike in this way.
    pub(crate) fn without_identity(&self) -> Self {
        let rules = self.rules.clone();
        Self::from(Rules { namespace: String::new(), labels: Labels::new(), owner: None, ..rules })
    }
}

impl Deref for Template {
    type Target = Rules;

    fn deref(&self) -> &Rules {
        &self.rules
    }
}

impl Hash for Template {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Rules {
    fn plain(&self) -> Plain<'_> {
        Plain {
            amounts: (&self.requests, &self.scored),
            ports: &self.ports,
            node_selector: &self.node_selector,
            required_nodes: self.required_nodes.as_deref(),
            preferred_nodes: &self.preferred_nodes,
            tolerations: &self.tolerations,
            images: (&self.images, self.is_wasm),
        }
    }

    /// Whether Pods already placed may matter to it, or it to Pods that come after.
    pub(crate) fn has_terms(&self) -> bool {
        self.has_required_terms() || !self.preferred.is_empty()
    }

    /// Whether it has some that must hold.
    pub(crate) fn has_required_terms(&self) -> bool {
        !(self.affinity.is_empty() && self.anti_affinity.is_empty())
    }

    fn read_affinity(&mut self, affinity: &Affinity) {
        if let Some(nodes) = &affinity.node_affinity {
            self.required_nodes =
                nodes.required_during_scheduling_ignored_during_execution.as_ref().map(node_terms);
            let preferred = nodes.preferred_during_scheduling_ignored_during_execution.iter().flatten();
            let preferred = preferred.filter(|term| term.weight != 0);
            self.preferred_nodes = preferred
                .filter_map(|term| Some((i64::from(term.weight), NodeTerm::parse(&term.preference)?)))
                .collect();
        }
        let parse = |term: &_| PodTerm::parse(term, &self.namespace, &self.labels);
        let mut preferred = Vec::new();
        if let Some(near) = &affinity.pod_affinity {
            let required = near.required_during_scheduling_ignored_during_execution.iter().flatten();
            self.affinity = required.map(parse).collect();
            let wishes = near.preferred_during_scheduling_ignored_during_execution.iter().flatten();
            preferred.extend(wishes.map(|wish| (i64::from(wish.weight), parse(&wish.pod_affinity_term))));
        }
        if let Some(apart) = &affinity.pod_anti_affinity {
            let required = apart.required_during_scheduling_ignored_during_execution.iter().flatten();
            self.anti_affinity = required.map(parse).collect();
            let wishes = apart.preferred_during_scheduling_ignored_during_execution.iter().flatten();
            preferred.extend(wishes.map(|wish| (-i64::from(wish.weight), parse(&wish.pod_affinity_term))));
        }
        self.preferred = preferred;
    }

    /// The only nodes that the affinity names. What names just one leaves the template, so that the Pods of a
    /// DaemonSet share theirs.
    fn take_pin(&mut self) -> Option<Vec<String>> {
        let terms = self.required_nodes.as_mut().filter(|terms| !terms.is_empty())?;
        let mut names = Vec::new();
        for term in terms.iter() {
            names.extend(term.names()?.into_iter().map(str::to_owned));
        }
        names.sort();
        names.dedup();
        if let ([term], [name]) = (&mut terms[..], &names[..])
            && term.admits(name)
            && self.spread.is_empty()
        {
            term.names.clear();
            if term.labels.is_empty() {
                self.required_nodes = None;
            }
        }
        Some(names)
    }
}

/// The terms of a node selector that some node may match.
pub(crate) fn node_terms(selector: &NodeSelector) -> Vec<NodeTerm> {
    selector.node_selector_terms.iter().filter_map(NodeTerm::parse).collect()
}

/// Whether all containers of a Pod are wasm, as far as it says so itself: by its RuntimeClass.
pub(super) fn is_wasm(spec: &PodSpec) -> bool {
    spec.runtime_class_name.as_deref() == Some(WASM_CLASS)
}

fn owner(pod: &Pod) -> Option<(OwnerKind, String)> {
    let mut owners = pod.metadata.owner_references.iter().flatten();
    let owner = owners.find(|owner| owner.controller == Some(true))?;
    Some((OwnerKind::named(&owner.kind)?, owner.name.clone()))
}

/// The images of containers and of volumes, with their tags.
fn images(spec: &PodSpec) -> Vec<String> {
    let containers = spec.init_containers.iter().flatten().chain(&spec.containers);
    let volumes =
        spec.volumes.iter().flatten().filter_map(|volume| volume.image.as_ref()?.reference.as_deref());
    let images = containers.filter_map(|container| container.image.as_deref()).chain(volumes);
    images.map(with_tag).collect()
}

/// The name with its tag: `latest` if none is given.
fn with_tag(image: &str) -> String {
    let after_slash = image.rfind('/').map_or(0, |at| at + 1);
    if image[after_slash..].contains(':') { image.to_owned() } else { format!("{image}:latest") }
}
