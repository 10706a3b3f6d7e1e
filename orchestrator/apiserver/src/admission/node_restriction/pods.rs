//! What nodes do to Pods: make mirror Pods, and tell about, evict and remove those that are their own.

use wherry_schema::Value;

use super::{Write, Writer};
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::references;
use crate::verbs::update::Part;

impl Writer<'_> {
    pub(super) fn pod(&self, write: Write<'_>) -> Result<(), Failure> {
        let node = self.node;
        match write {
            Write::Create(pod) => self.mirror(pod),
            Write::Update(Part::Status, pod, old) => self.status(pod, old),
            Write::Update(Part::Whole, ..) => Err(self.refuse(&format!(
                "unexpected operation \"UPDATE\", node {node:?} can only create and delete mirror pods"
            ))),
            Write::Update(part, ..) => Err(self.unexpected_part(part.subresource())),
            Write::Delete(pod) => {
                let why = format!("node {node:?} can only delete pods with spec.nodeName set to itself");
                self.require(pod.text("spec.nodeName") == node, &why)
            }
        }
    }

    pub(super) fn unexpected_part(&self, part: &str) -> Failure {
        let why = format!("unexpected pod subresource {part:?}, only 'status' and 'eviction' are allowed");
        self.refuse(&why)
    }

    pub(super) fn evict(&self) -> Result<(), Failure> {
        let pod = self.find("Pod", self.cx.namespace, self.name)?;
        let why = format!("node {} can only evict pods with spec.nodeName set to itself", self.node);
        self.require(pod.text("spec.nodeName") == self.node, &why)
    }

    fn status(&self, pod: &Value, old: &Value) -> Result<(), Failure> {
        let node = self.node;
        let why =
            format!("node {node:?} can only update pod status for pods with spec.nodeName set to itself");
        self.require(old.text("spec.nodeName") == node, &why)?;
        let labels = |pod: &Value| pod.map("metadata.labels").cloned().unwrap_or_default();
        let why = format!("node {node:?} cannot update labels through pod status");
        self.require(labels(pod) == labels(old), &why)?;
        let claims = |pod: &Value| -> Vec<(String, Option<Value>)> {
            let statuses = pod.items("status.resourceClaimStatuses").iter();
            statuses.map(|s| (s.text("name").to_owned(), s.field("resourceClaimName").cloned())).collect()
        };
        let why = format!("node {node:?} cannot update resource claim statues");
        self.require(claims(pod) == claims(old), &why)?;
        let why = format!("node {node:?} cannot update extended resource claim status");
        self.require(object::same(pod, old, "status.extendedResourceClaimStatus"), &why)
    }

    /// A Pod that a node makes shows what runs there already, and leads to nothing else.
    fn mirror(&self, pod: &Value) -> Result<(), Failure> {
        let node = self.node;
        let why = format!(
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node {node:?} can only create mirror pods"
        );
        self.require(references::is_mirror(pod), &why)?;
        let why = format!("node {node:?} can only create pods with spec.nodeName set to itself");
        self.require(pod.text("spec.nodeName") == node, &why)?;
        self.owner(pod)?;
        let no = |what: &str| format!("node {node:?} can not create pods that reference {what}");
        self.require(pod.text("spec.serviceAccountName").is_empty(), &no("a service account"))?;
        self.require(references::secrets(pod).is_empty(), &no("secrets"))?;
        self.require(references::config_maps(pod).is_empty(), &no("configmaps"))?;
        let volumes = pod.items("spec.volumes");
        let mut sources = volumes.iter().flat_map(|volume| volume.items("projected.sources"));
        self.require(!sources.any(|source| source.has("clusterTrustBundle")), &no("clustertrustbundles"))?;
        let claims = volumes.iter().any(|volume| volume.has("persistentVolumeClaim"));
        self.require(!claims, &no("persistentvolumeclaims"))?;
        self.require(pod.items("spec.resourceClaims").is_empty(), &no("resourceclaims"))
    }

    /// The node owns the Pods that it makes.
    fn owner(&self, pod: &Value) -> Result<(), Failure> {
        let node = self.node;
        let only = |what: &str| {
            format!("node {node:?} can only create pods with {what} owner reference set to itself")
        };
        let owners = pod.items("metadata.ownerReferences");
        self.require(owners.len() < 2, &only("a single"))?;
        let own = |owner: &&Value| {
            (owner.text("apiVersion"), owner.text("kind"), owner.text("name")) == ("v1", "Node", node)
        };
        let owner = owners.first().filter(own).ok_or_else(|| self.refuse(&only("an")))?;
        self.require(owner.flag("controller"), &only("a controller"))?;
        let why = format!("node {node:?} must not set blockOwnerDeletion on an owner reference");
        self.require(!owner.flag("blockOwnerDeletion"), &why)?;
        let found = self.find("Node", "", node)?;
        let (given, uid) = (owner.text("uid"), found.text("metadata.uid"));
        self.require(given == uid, &format!("node {node} UID mismatch: expected {given} got {uid}"))
    }
}
