//! What nodes may write, where the content of objects decides: the NodeRestriction plugin.
//!
//! A node changes its own Node, without a say in what is placed there; its own Lease, CSINode and ResourceSlices; the
//! status of its own Pods; and makes mirror Pods only. It does nothing to users who are no nodes, and nothing where nodes
//! are authorized as everybody else.

mod labels;
mod pod_certificates;
mod pods;
mod tokens;

use wherry_api::local_path;
use wherry_schema::Value;

use super::kind;
use crate::authorize::node::{LEASES, node_of};
use crate::codec;
use crate::error::{Failure, Told};
use crate::object::{self, Fields};
use crate::validation::certificates;
use crate::verbs::Cx;
use crate::verbs::update::Part;

const SERVING: &str = "kubernetes.io/kubelet-serving";
const CLIENT: &str = "kubernetes.io/kube-apiserver-client-kubelet";

/// What is written.
#[derive(Clone, Copy)]
enum Write<'a> {
    Create(&'a Value),
    Update(Part, &'a Value, &'a Value),
    Delete(&'a Value),
}

impl<'a> Write<'a> {
    /// The name of the object, empty for one that is yet to get its name.
    fn name(self) -> &'a str {
        match self {
            Self::Create(object) | Self::Update(_, _, object) | Self::Delete(object) => object::name(object),
        }
    }
}

/// A node that writes something.
#[derive(Clone, Copy)]
struct Writer<'a> {
    cx: &'a Cx<'a>,
    /// The node's name.
    node: &'a str,
    /// What refusals call what is written.
    name: &'a str,
}

/// Refuses a new object that the node may not make.
pub(super) fn create(cx: &Cx<'_>, object: &Value) -> Result<(), Failure> {
    match writer(cx, object::called(object))? {
        Some(writer) => writer.check(Write::Create(object)),
        None => Ok(()),
    }
}

/// Refuses an update that the node may not make, given what it sends.
pub(crate) fn update(cx: &Cx<'_>, part: Part, object: &Value, old: &Value) -> Result<(), Failure> {
    match writer(cx, object::name(old))? {
        Some(writer) => writer.check(Write::Update(part, object, old)),
        None => Ok(()),
    }
}

/// Refuses a deletion that the node may not make.
pub(crate) fn delete(cx: &Cx<'_>, old: &Value) -> Result<(), Failure> {
    match writer(cx, object::name(old))? {
        Some(writer) => writer.check(Write::Delete(old)),
        None => Ok(()),
    }
}

/// Refuses that the node evicts the Pods of others.
pub(crate) fn evict(cx: &Cx<'_>, name: &str) -> Result<(), Failure> {
    match writer(cx, name)? {
        Some(writer) => writer.evict(),
        None => Ok(()),
    }
}

/// Refuses that the node binds Pods.
pub(crate) fn bind(cx: &Cx<'_>, name: &str) -> Result<(), Failure> {
    match writer(cx, name)? {
        Some(writer) => Err(writer.unexpected_part("binding")),
        None => Ok(()),
    }
}

/// Refuses a token of the ServiceAccount of this name that is not for a Pod of the node.
pub(crate) fn token(cx: &Cx<'_>, name: &str, request: &Value) -> Result<(), Failure> {
    match writer(cx, name)? {
        Some(writer) => writer.token(request),
        None => Ok(()),
    }
}

/// The node that asks, if it is one.
fn writer<'a>(cx: &'a Cx<'a>, name: &'a str) -> Result<Option<Writer<'a>>, Failure> {
    let user = cx.user.filter(|_| cx.state.authorizer.restricts_nodes());
    let Some((user, node)) = user.and_then(|user| Some((user, node_of(user)?))) else { return Ok(None) };
    if node.is_empty() {
        let why = format!("could not determine node from user {:?}", user.name);
        return Err(Failure::forbidden(cx.kind, name, &why));
    }
    Ok(Some(Writer { cx, node, name }))
}

impl Writer<'_> {
    fn refuse(&self, why: &str) -> Failure {
        Failure::forbidden(self.cx.kind, self.name, why)
    }

    fn require(&self, holds: bool, why: &str) -> Result<(), Failure> {
        if holds { Ok(()) } else { Err(self.refuse(why)) }
    }

    fn check(&self, write: Write<'_>) -> Result<(), Failure> {
        match (self.cx.kind.group, self.cx.kind.kind) {
            ("", "Pod") => self.pod(write),
            ("", "Node") => self.own_node(write),
            ("", "PersistentVolumeClaim") => self.claim(write),
            ("", "PersistentVolume") => self.volume(write),
            ("coordination.k8s.io", "Lease") => {
                let place = format!("can only access leases in the {LEASES:?} system namespace");
                self.require(self.cx.namespace == LEASES, &place)?;
                self.own_name("node lease", write)
            }
            ("storage.k8s.io", "CSINode") => self.own_name("CSINode", write),
            ("resource.k8s.io", "ResourceSlice") => self.slice(write),
            ("certificates.k8s.io", "CertificateSigningRequest") => self.certificate(write),
            ("certificates.k8s.io", "PodCertificateRequest") => self.pod_certificate(write),
            _ => Ok(()),
        }
    }

    /// What has the node's name is its own.
    fn own_name(&self, what: &str, write: Write<'_>) -> Result<(), Failure> {
        let why = format!("can only access {what} with the same name as the requesting node");
        self.require(write.name() == self.node, &why)
    }

    fn own_node(&self, write: Write<'_>) -> Result<(), Failure> {
        let (node, name) = (self.node, write.name());
        self.require(name == node, &format!("node {node:?} is not allowed to modify node {name:?}"))?;
        match write {
            Write::Create(object) => {
                let why = format!("node {node:?} is not allowed to create pods with a non-nil configSource");
                self.require(!object.has("spec.configSource"), &why)?;
                let forbidden = labels::forbidden(object, None);
                let why = format!("node {node:?} is not allowed to set the following labels: {forbidden}");
                self.require(forbidden.is_empty(), &why)
            }
            Write::Update(_, object, old) => {
                let source = "spec.configSource";
                let why = format!(
                    "node {node:?} is not allowed to update configSource to a new non-nil configSource"
                );
                self.require(!object.has(source) || object::same(object, old, source), &why)?;
                let why = format!("node {node:?} is not allowed to modify taints");
                self.require(object.items("spec.taints") == old.items("spec.taints"), &why)?;
                let forbidden = labels::forbidden(object, Some(old));
                self.require(forbidden.is_empty(), &format!("is not allowed to modify labels: {forbidden}"))
            }
            Write::Delete(_) => Ok(()),
        }
    }

    fn claim(&self, write: Write<'_>) -> Result<(), Failure> {
        let Write::Update(Part::Status, object, old) = write else {
            return Err(self.refuse("may only update PVC status"));
        };
        let rest = |claim: &Value| {
            let mut rest = claim.clone();
            let own = ["capacity", "conditions", "allocatedResourceStatuses", "allocatedResources"];
            for field in own.map(|field| format!("status.{field}")) {
                rest.take(&field);
            }
            for field in ["metadata.resourceVersion", "metadata.managedFields", "kind", "apiVersion"] {
                rest.take(field);
            }
            if rest.map("status").is_some_and(wherry_schema::Object::is_empty) {
                rest.take("status");
            }
            rest
        };
        let node = self.node;
        let why = format!(
            "node {node:?} is not allowed to update fields other than status.quantity and status.conditions"
        );
        self.require(rest(object) == rest(old), &why)
    }

    /// Who has removed the directory of a volume says so; nothing else of volumes is for nodes to write.
    fn volume(&self, write: Write<'_>) -> Result<(), Failure> {
        let may = match write {
            Write::Update(Part::Whole, volume, old) => {
                let host = old.at(&["metadata", "labels", local_path::NODE]).and_then(Value::as_str);
                host == Some(self.node) && is_same_but_for_finalizer(volume, old)
            }
            _ => false,
        };
        let why = format!(
            "node {:?} may only take the finalizer {:?} off volumes of its own",
            self.node,
            local_path::FINALIZER
        );
        self.require(may, &why)
    }

    fn slice(&self, write: Write<'_>) -> Result<(), Failure> {
        let (slice, verb) = match write {
            Write::Create(object) => (object, "create"),
            Write::Delete(old) => (old, "delete"),
            Write::Update(..) => return Ok(()),
        };
        let why = format!("can only {verb} ResourceSlice with the same NodeName as the requesting node");
        self.require(slice.text("spec.nodeName") == self.node, &why)
    }

    /// A request for a certificate of a node is for the node's own.
    fn certificate(&self, write: Write<'_>) -> Result<(), Failure> {
        let Write::Create(request) = write else { return Ok(()) };
        if !matches!(request.text("spec.signerName"), SERVING | CLIENT) {
            return Ok(());
        }
        let name = certificates::common_name(request)
            .map_err(|why| self.refuse(&format!("unable to parse csr: {why}")))?;
        let own = format!("system:node:{}", self.node);
        self.require(name == own, &format!("can only create a node CSR with CN={own}"))
    }

    /// An object of the core group that decides about another.
    fn find(&self, of: &str, namespace: &str, name: &str) -> Result<Value, Failure> {
        let found = self.cx.state.find(&codec::key(kind("", of), namespace, name))?;
        found.ok_or_else(|| missing(&of.to_lowercase(), name))
    }
}

/// Whether two states of a volume differ in nothing but the finalizer of directories.
fn is_same_but_for_finalizer(volume: &Value, old: &Value) -> bool {
    let rest = |volume: &Value| {
        let mut rest = volume.clone();
        let kept = object::finalizers(volume).into_iter().filter(|name| *name != local_path::FINALIZER);
        let kept: Vec<String> = kept.map(str::to_owned).collect();
        object::set_finalizers(&mut rest, &kept);
        for field in ["metadata.resourceVersion", "metadata.managedFields", "kind", "apiVersion"] {
            rest.take(field);
        }
        rest
    };
    let adds = object::finalizers(volume).contains(&local_path::FINALIZER)
        && !object::finalizers(old).contains(&local_path::FINALIZER);
    !adds && rest(volume) == rest(old)
}

/// That an object is not there, called as those call it who read it from a cache.
fn missing(kind: &str, name: &str) -> Failure {
    let mut details = Value::object();
    details.put("name", name);
    details.put("kind", kind);
    Failure::Told(Box::new(Told {
        code: 404,
        reason: "NotFound".to_owned(),
        message: format!("{kind} {name:?} not found"),
        details: Some(details),
    }))
}
