//! What nodes may do: read what their own Pods need, and tell about themselves and their Pods.
//!
//! A node is the user `system:node:NAME` in the group `system:nodes`. What the content of an object decides, which is
//! not known here, admission does (`admission::node_restriction`).
//!
//! Reading order: `graph` (what belongs to which node), `current` (how it stays so), then the rules here.

mod current;
mod graph;

use wherry_api::selector::FieldOp;
use wherry_store::Store;

use super::rule::{CompiledRule, Question};
use super::{Attributes, Decision, Object, Resource, defaults};
use crate::auth::UserInfo;
use current::Current;
use graph::{Thing, Vertex};

/// How the names of nodes as users begin.
const PREFIX: &str = "system:node:";
/// The group of all nodes.
const NODES: &str = "system:nodes";
/// The namespace of the Leases by which nodes say that they live.
pub(crate) const LEASES: &str = "kube-node-lease";

/// The name of the node that a user is; empty for one that does not say which.
pub(crate) fn node_of(user: &UserInfo) -> Option<&str> {
    user.name.strip_prefix(PREFIX).filter(|_| user.groups.iter().any(|group| group == NODES))
}

/// Decides what nodes may do.
pub(crate) struct Nodes {
    graph: Current,
    /// What all nodes may do alike.
    rules: Vec<CompiledRule>,
}

/// Why not, which may be empty.
type Answer = Result<(), String>;

fn no(why: &str) -> Answer {
    Err(why.to_owned())
}

impl Nodes {
    /// The nodes of a store.
    pub(super) fn new(store: Store) -> Self {
        let rules = defaults::node_rules().into_iter().map(CompiledRule::from).collect();
        Self { graph: Current::new(store), rules }
    }

    /// What there is to say about a user who is a node. Of others nothing is said.
    pub(super) fn decide(&self, attributes: &Attributes<'_>) -> Decision {
        let answer = match node_of(attributes.user) {
            None => Err(String::new()),
            Some("") => Err(format!("unknown node for user {:?}", attributes.user.name)),
            Some(node) => self.answer(node, attributes),
        };
        match answer {
            Ok(()) => Decision::yes(String::new()),
            Err(why) => Decision::unsaid(why),
        }
    }

    fn answer(&self, node: &str, attributes: &Attributes<'_>) -> Answer {
        let question = Question::new(attributes);
        let by_rules = || if self.rules.iter().any(|rule| rule.allows(&question)) { Ok(()) } else { no("") };
        let Object::Resource(of) = attributes.object else { return by_rules() };
        let asked = Asked { nodes: self, node, verb: attributes.verb, of };
        match (of.group, of.plural) {
            ("", "secrets") => asked.read(Thing::Secret),
            ("", "configmaps") => asked.read(Thing::ConfigMap),
            ("", "persistentvolumeclaims") if of.part == "status" => asked.write_status(Thing::Claim),
            ("", "persistentvolumeclaims") => asked.get(Thing::Claim),
            ("", "persistentvolumes") => asked.get(Thing::Volume),
            ("", "serviceaccounts") => asked.account(),
            ("", "nodes") => asked.node(),
            ("", "pods") => asked.pod(),
            ("resource.k8s.io", "resourceclaims") => asked.get(Thing::ResourceClaim),
            ("resource.k8s.io", "resourceslices") => asked.slice(),
            ("storage.k8s.io", "volumeattachments") => asked.get(Thing::Attachment),
            ("certificates.k8s.io", "clustertrustbundles") => asked.bundle(),
            ("certificates.k8s.io", "podcertificaterequests") => asked.pod_certificate(),
            ("storage.k8s.io", "csinodes") => asked.own("a CSINode", "CSINode"),
            ("coordination.k8s.io", "leases") => asked.lease(),
            _ => by_rules(),
        }
    }
}

/// What a node wants to do with a resource.
struct Asked<'a> {
    nodes: &'a Nodes,
    node: &'a str,
    verb: &'a str,
    of: Resource<'a>,
}

impl Asked<'_> {
    /// Whether the node has to do with the object.
    fn related(&self, thing: Thing) -> Answer {
        if self.of.name.is_empty() {
            return no("No Object name found");
        }
        let vertex = Vertex::new(thing, self.of.namespace, self.of.name);
        if self.nodes.graph.leads(self.node, &vertex) {
            return Ok(());
        }
        Err(format!("no relationship found between node '{}' and this object", self.node))
    }

    /// Whether a list or a watch is of what has the node's name in this field.
    fn selects(&self, field: &str) -> bool {
        let mut fields = self.of.fields.iter();
        fields.any(|one| one.field == field && one.op == FieldOp::Eq && one.value == self.node)
    }

    fn read(&self, thing: Thing) -> Answer {
        match self.verb {
            "get" | "list" | "watch" if !self.of.part.is_empty() => no("cannot read subresource"),
            "get" | "list" | "watch" if self.of.namespace.is_empty() => {
                no("can only read namespaced object of this type")
            }
            "get" | "list" | "watch" => self.related(thing),
            _ => no("can only read resources of this type"),
        }
    }

    fn get(&self, thing: Thing) -> Answer {
        match self.verb {
            "get" if self.of.part.is_empty() => self.related(thing),
            "get" => no("cannot get subresource"),
            _ => no("can only get individual resources of this type"),
        }
    }

    fn write_status(&self, thing: Thing) -> Answer {
        match self.verb {
            "update" | "patch" => self.related(thing),
            _ => no("can only get/update/patch this type"),
        }
    }

    fn account(&self) -> Answer {
        if self.verb == "get" && self.of.part.is_empty() {
            return self.related(Thing::ServiceAccount);
        }
        if self.verb != "create" || self.of.name.is_empty() {
            return no("can only create tokens for individual service accounts");
        }
        if self.of.part != "token" {
            return no("can only create token subresource of serviceaccount");
        }
        self.related(Thing::ServiceAccount)
    }

    fn node(&self) -> Answer {
        match (self.of.part, self.verb) {
            ("", "create" | "update" | "patch") | ("status", "update" | "patch") => Ok(()),
            ("", "get" | "list" | "watch") => match self.of.name {
                name if name == self.node => Ok(()),
                "" => Err(format!("node '{}' cannot read all nodes, only its own Node object", self.node)),
                name => Err(format!("node '{}' cannot read '{name}', only its own Node object", self.node)),
            },
            _ => no(""),
        }
    }

    fn pod(&self) -> Answer {
        match (self.of.part, self.verb) {
            ("", "create" | "delete") | ("status", "update" | "patch") | ("eviction", "create") => Ok(()),
            ("", "get") => self.get(Thing::Pod),
            ("", "list" | "watch") if self.selects("spec.nodeName") => Ok(()),
            ("", "list" | "watch") if !self.of.name.is_empty() => self.related(Thing::Pod),
            ("", "list" | "watch") => no("can only list/watch pods with spec.nodeName field selector"),
            _ => no(""),
        }
    }

    fn bundle(&self) -> Answer {
        match self.verb {
            "get" | "list" | "watch" if self.of.part.is_empty() => Ok(()),
            _ => no("can only read ClusterTrustBundles"),
        }
    }

    fn pod_certificate(&self) -> Answer {
        if !self.of.part.is_empty() {
            return no("cannot authorize PodCertificateRequest subresources");
        }
        match self.verb {
            // Admission sees for which Pod it is.
            "create" => Ok(()),
            "get" => self.related(Thing::PodCertificate),
            "list" | "watch" if self.selects("spec.nodeName") => Ok(()),
            "list" | "watch" if !self.of.name.is_empty() => self.related(Thing::PodCertificate),
            "list" | "watch" => {
                no("can only list/watch podcertificaterequests with spec.nodeName field selector")
            }
            _ => no("can only create, get, list and watch PodCertificateRequests"),
        }
    }

    fn slice(&self) -> Answer {
        if !self.of.part.is_empty() {
            return no("cannot authorize ResourceSlice subresources");
        }
        match self.verb {
            // Admission sees for which node it is.
            "create" => Ok(()),
            "get" | "update" | "patch" | "delete" => self.related(Thing::Slice),
            "watch" | "list" | "deletecollection" if self.selects("spec.nodeName") => Ok(()),
            "watch" | "list" | "deletecollection" => {
                no("can only list/watch/deletecollection resourceslices with nodeName field selector")
            }
            _ => no(
                "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, update, patch, \
                     delete, deletecollection",
            ),
        }
    }

    fn lease(&self) -> Answer {
        if !matches!(self.verb, "get" | "create" | "update" | "patch" | "delete") {
            return no("can only get, create, update, patch, or delete a node lease");
        }
        if self.of.namespace != LEASES {
            return Err(format!("can only access leases in the {LEASES:?} system namespace"));
        }
        self.of_own_name("node lease")
    }

    fn own(&self, one: &str, what: &str) -> Answer {
        if !matches!(self.verb, "get" | "create" | "update" | "patch" | "delete") {
            return Err(format!("can only get, create, update, patch, or delete {one}"));
        }
        if !self.of.part.is_empty() {
            return Err(format!("cannot authorize {what} subresources"));
        }
        self.of_own_name(what)
    }

    /// What has the node's name is its own. What is yet to be made has no name here; admission sees it.
    fn of_own_name(&self, what: &str) -> Answer {
        if self.verb == "create" || self.of.name == self.node {
            return Ok(());
        }
        Err(format!("can only access {what} with the same name as the requesting node"))
    }
}
