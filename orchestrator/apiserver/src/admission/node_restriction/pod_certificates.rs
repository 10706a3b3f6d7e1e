//! Certificates that nodes ask for on behalf of Pods: of Pods that run on them, with what is true of these.

use wherry_schema::Value;

use super::{Write, Writer};
use crate::error::Failure;
use crate::object::Fields;

impl Writer<'_> {
    pub(super) fn pod_certificate(&self, write: Write<'_>) -> Result<(), Failure> {
        let Write::Create(request) = write else {
            return Err(self.refuse(&format!("node {:?} can only create PodCertificateRequests", self.node)));
        };
        let says = |field: &str| request.text(&format!("spec.{field}")).to_owned();
        let node = says("nodeName");
        let why = format!("spec.nodeName is {node:?}, which is not the requesting node {:?}", self.node);
        self.require(node == self.node, &why)?;
        let pod = self.find("Pod", self.cx.namespace, &says("podName"))?;
        self.same("spec.podUID", &says("podUID"), pod.text("metadata.uid"))?;
        let why = format!("the Pod is not bound to node {:?}", self.node);
        self.require(pod.text("spec.nodeName") == self.node, &why)?;
        let is_mirror = pod.map("metadata.annotations").is_some_and(|all| all.get(MIRROR).is_some());
        self.require(!is_mirror, "mirror Pods have no certificates")?;
        let account = says("serviceAccountName");
        self.same("spec.serviceAccountName", &account, pod.text("spec.serviceAccountName"))?;
        let account = self.find("ServiceAccount", self.cx.namespace, &account)?;
        self.same("spec.serviceAccountUID", &says("serviceAccountUID"), uid(&account))?;
        let node = self.find("Node", "", self.node)?;
        self.same("spec.nodeUID", &says("nodeUID"), uid(&node))
    }

    fn same(&self, field: &str, said: &str, is: &str) -> Result<(), Failure> {
        self.require(said == is, &format!("{field} is {said:?}, but should be {is:?}"))
    }
}

/// Marks Pods that stand for those that nodes run by themselves.
const MIRROR: &str = "kubernetes.io/config.mirror";

fn uid(object: &Value) -> &str {
    object.text("metadata.uid")
}
