//! Which nodes have to do with which objects.
//!
//! ```text
//! node <- Pod <- Secret, ConfigMap, ServiceAccount, ResourceClaim
//! node <- Pod <- PersistentVolumeClaim <- PersistentVolume <- Secret
//! node <- VolumeAttachment, ResourceSlice, PodCertificateRequest
//! ```
//!
//! What a Pod leads to is counted at its node, so that most questions are one look-up. Only what leads on through a
//! PersistentVolume is followed when it is asked about.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use wherry_schema::Value;

use crate::object::{self, Fields};
use crate::references;

/// The kinds of objects that nodes may read only if they have to do with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Thing {
    Attachment,
    Claim,
    ConfigMap,
    Pod,
    PodCertificate,
    ResourceClaim,
    Secret,
    ServiceAccount,
    Slice,
    Volume,
}

/// One object: what it is, its namespace (empty outside of all) and its name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Vertex {
    thing: Thing,
    namespace: String,
    name: String,
}

impl Vertex {
    pub(super) fn new(thing: Thing, namespace: &str, name: &str) -> Self {
        Self { thing, namespace: namespace.to_owned(), name: name.to_owned() }
    }
}

/// What is known of one object that edges come from.
#[derive(Debug)]
enum Edges {
    /// It belongs to a node, and so does all that it refers to.
    Node { node: Arc<str>, things: Vec<Vertex> },
    /// It is a PersistentVolume, bound to a claim.
    Volume { claim: Vertex, secrets: Vec<Vertex> },
}

/// Which nodes have to do with which objects.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// The objects that edges come from.
    sources: HashMap<Vertex, Edges>,
    /// How many objects of each node lead to a thing.
    nodes: HashMap<Vertex, BTreeMap<Arc<str>, usize>>,
    /// The PersistentVolumes that need a Secret.
    volumes: HashMap<Vertex, BTreeSet<String>>,
}

impl Graph {
    /// Whether a node has to do with an object.
    pub(super) fn leads(&self, node: &str, from: &Vertex) -> bool {
        let direct = |vertex: &Vertex| self.nodes.get(vertex).is_some_and(|nodes| nodes.contains_key(node));
        let through = |name: &str| match self.sources.get(&Vertex::new(Thing::Volume, "", name)) {
            Some(Edges::Volume { claim, .. }) => direct(claim),
            _ => false,
        };
        match from.thing {
            Thing::Volume => through(&from.name),
            Thing::Secret => {
                let mut volumes = self.volumes.get(from).into_iter().flatten();
                direct(from) || volumes.any(|name| through(name))
            }
            _ => direct(from),
        }
    }

    /// Takes note of an object as it is now.
    pub(super) fn put(&mut self, vertex: Vertex, object: &Value) {
        self.remove(&vertex);
        let edges = match vertex.thing {
            Thing::Pod => at_node(object.text("spec.nodeName"), &vertex, things_of(object)),
            Thing::Volume => bound(object),
            _ => at_node(object.text("spec.nodeName"), &vertex, Vec::new()),
        };
        let Some(edges) = edges else { return };
        match &edges {
            Edges::Node { node, things } => {
                for thing in things {
                    *self.nodes.entry(thing.clone()).or_default().entry(Arc::clone(node)).or_default() += 1;
                }
            }
            Edges::Volume { secrets, .. } => {
                for secret in secrets {
                    self.volumes.entry(secret.clone()).or_default().insert(vertex.name.clone());
                }
            }
        }
        self.sources.insert(vertex, edges);
    }

    /// Forgets an object.
    pub(super) fn remove(&mut self, vertex: &Vertex) {
        match self.sources.remove(vertex) {
            Some(Edges::Node { node, things }) => {
                for thing in &things {
                    self.unlink(thing, &node);
                }
            }
            Some(Edges::Volume { secrets, .. }) => {
                for secret in &secrets {
                    if let Some(volumes) = self.volumes.get_mut(secret) {
                        volumes.remove(&vertex.name);
                        if volumes.is_empty() {
                            self.volumes.remove(secret);
                        }
                    }
                }
            }
            None => {}
        }
    }

    /// Counts one object less of a node that leads to a thing.
    fn unlink(&mut self, thing: &Vertex, node: &str) {
        let Some(nodes) = self.nodes.get_mut(thing) else { return };
        if let Some(count) = nodes.get_mut(node) {
            *count -= 1;
            if *count == 0 {
                nodes.remove(node);
            }
        }
        if nodes.is_empty() {
            self.nodes.remove(thing);
        }
    }
}

/// The edges of what is on a node; none if it is on none.
fn at_node(node: &str, own: &Vertex, mut things: Vec<Vertex>) -> Option<Edges> {
    things.push(own.clone());
    (!node.is_empty()).then(|| Edges::Node { node: node.into(), things })
}

/// What a Pod leads to. A mirror Pod, which nodes make themselves, leads nowhere.
fn things_of(pod: &Value) -> Vec<Vertex> {
    if references::is_mirror(pod) {
        return Vec::new();
    }
    let claims = references::claims(pod);
    let account = pod.text("spec.serviceAccountName");
    let named = [
        (Thing::ServiceAccount, Some(account).filter(|name| !name.is_empty()).into_iter().collect()),
        (Thing::Secret, references::secrets(pod)),
        (Thing::ConfigMap, references::config_maps(pod)),
        (Thing::Claim, claims.iter().map(String::as_str).collect()),
        (Thing::ResourceClaim, references::resource_claims(pod)),
    ];
    // Each counts once, however often the Pod names it.
    let things: BTreeSet<(Thing, &str)> = named
        .into_iter()
        .flat_map(|(thing, names)| names.into_iter().map(move |name| (thing, name)))
        .collect();
    let namespace = object::namespace(pod);
    things.into_iter().map(|(thing, name)| Vertex::new(thing, namespace, name)).collect()
}

/// The edges of a PersistentVolume; none if it is bound to no claim.
fn bound(volume: &Value) -> Option<Edges> {
    let claim = volume.field("spec.claimRef")?;
    let secrets = references::persistent_secrets(volume).into_iter();
    Some(Edges::Volume {
        claim: Vertex::new(Thing::Claim, claim.text("namespace"), claim.text("name")),
        secrets: secrets.map(|(namespace, name)| Vertex::new(Thing::Secret, namespace, name)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn value(json: &serde_json::Value) -> Value {
        Value::from_json(json.to_string().as_bytes()).unwrap()
    }

    /// A Pod that mounts a Secret and a claim.
    fn pod(node: &str, secret: &str, claim: &str) -> Value {
        let volumes = json!([
            {"name": "s", "secret": {"secretName": secret}},
            {"name": "c", "persistentVolumeClaim": {"claimName": claim}},
        ]);
        value(&json!({"metadata": {"namespace": "a"}, "spec": {"nodeName": node, "volumes": volumes}}))
    }

    /// A volume for a claim that needs a Secret.
    fn volume(claim: &str, secret: &str) -> Value {
        let (claim, secret) = (json!({"namespace": "a", "name": claim}), json!({"name": secret}));
        value(&json!({"spec": {"claimRef": claim, "csi": {"nodeStageSecretRef": secret}}}))
    }

    #[test]
    fn a_mirror_pod_leads_to_nothing_but_itself() {
        let mut mirror = pod("n", "s", "c");
        mirror.set(&["metadata", "annotations", "kubernetes.io/config.mirror"], "h");
        let mut graph = Graph::default();
        graph.put(Vertex::new(Thing::Pod, "a", "m"), &mirror);
        assert!(graph.leads("n", &Vertex::new(Thing::Pod, "a", "m")));
        assert!(!graph.leads("n", &Vertex::new(Thing::Secret, "a", "s")));
    }

    /// What happens to an object: it gets three names, or goes.
    type Step = (bool, String, Option<(String, String, String)>);

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let names = ("n1|n2|", "s1|s2|s3", "c1|c2|c3");
        prop::collection::vec((any::<bool>(), "[a-c]", prop::option::weighted(0.7, names)), 0..40)
    }

    fn apply(graph: &mut Graph, (is_pod, name, new): &Step) {
        let (thing, namespace) = if *is_pod { (Thing::Pod, "a") } else { (Thing::Volume, "") };
        let vertex = Vertex::new(thing, namespace, name);
        match new {
            None => graph.remove(&vertex),
            Some((node, secret, claim)) if *is_pod => graph.put(vertex, &pod(node, secret, claim)),
            Some((_, secret, claim)) => graph.put(vertex, &volume(claim, secret)),
        }
    }

    /// The same question, answered from the last step of each object alone.
    fn expected(steps: &[Step], node: &str, secret: &str) -> bool {
        let last: BTreeMap<(bool, &str), _> =
            steps.iter().map(|(is_pod, name, new)| ((*is_pod, name.as_str()), new)).collect();
        let of = |wanted: bool| {
            last.iter().filter(move |((is_pod, _), _)| *is_pod == wanted).filter_map(|(_, new)| new.as_ref())
        };
        let mut own = of(true).filter(|(at, ..)| at == node);
        own.any(|(_, named, claim)| {
            named == secret || of(false).any(|(_, needed, bound)| needed == secret && bound == claim)
        })
    }

    proptest! {
        #[test]
        fn what_came_before_leaves_no_trace(steps in steps()) {
            let mut graph = Graph::default();
            for step in &steps {
                apply(&mut graph, step);
            }
            for node in ["n1", "n2"] {
                for secret in ["s1", "s2", "s3"] {
                    let leads = graph.leads(node, &Vertex::new(Thing::Secret, "a", secret));
                    prop_assert_eq!(leads, expected(&steps, node, secret));
                }
            }
            let all: BTreeSet<(bool, String)> =
                steps.iter().map(|(is_pod, name, _)| (*is_pod, name.clone())).collect();
            for (is_pod, name) in all {
                apply(&mut graph, &(is_pod, name, None));
            }
            prop_assert!(graph.sources.is_empty() && graph.nodes.is_empty() && graph.volumes.is_empty());
        }
    }
}
