//! Tokens that nodes ask for: those of their own Pods, for the audiences that the Pods ask for.

use wherry_schema::Value;

use super::Writer;
use crate::admission::kind;
use crate::authorize::{Attributes, Object, Resource};
use crate::codec;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::references;

/// Lets somebody have tokens for an audience that no volume of a Pod names.
const VERB: &str = "request-serviceaccounts-token-audience";

impl Writer<'_> {
    pub(super) fn token(&self, request: &Value) -> Result<(), Failure> {
        let bound = request.field("spec.boundObjectRef").unwrap_or(&Value::Null);
        let is_pod = (bound.text("apiVersion"), bound.text("kind")) == ("v1", "Pod");
        let why = "node requested token not bound to a pod";
        self.require(is_pod && !bound.text("name").is_empty(), why)?;
        let uid = bound.text("uid");
        self.require(!uid.is_empty(), "node requested token with a pod binding without a uid")?;
        let pod = self.find("Pod", self.cx.namespace, bound.text("name"))?;
        let why = format!(
            "the UID in the bound object reference ({uid}) does not match the UID in record. The object might have been \
             deleted and then recreated"
        );
        self.require(uid == pod.text("metadata.uid"), &why)?;
        let why = "node requested token bound to a pod scheduled on a different node";
        self.require(pod.text("spec.nodeName") == self.node, why)?;
        self.audience(request, &pod)
    }

    /// Refuses audiences that the Pod has no use for, unless the node may have tokens for them anyway.
    fn audience(&self, request: &Value, pod: &Value) -> Result<(), Failure> {
        let audience = match request.items("spec.audiences") {
            [] => "",
            [one] => one.as_str().unwrap_or_default(),
            _ => return Err(self.refuse("node may only request 0 or 1 audiences")),
        };
        let Some(user) = self.cx.user else { return Ok(()) };
        let object = Object::Resource(Resource {
            plural: audience,
            namespace: self.cx.namespace,
            name: self.name,
            ..Resource::default()
        });
        if self.mounts(pod, audience)?
            || self.cx.state.authorizer.decide_now(&Attributes { user, verb: VERB, object }).allowed
        {
            return Ok(());
        }
        Err(self.refuse(&format!(
            "audience {audience:?} not found in pod spec volume, {} is not authorized to request tokens for this audience",
            user.name
        )))
    }

    /// Whether a volume of the Pod has use for a token for this audience.
    fn mounts(&self, pod: &Value, audience: &str) -> Result<bool, Failure> {
        for volume in pod.items("spec.volumes") {
            let mut tokens =
                volume.items("projected.sources").iter().filter_map(|s| s.field("serviceAccountToken"));
            if tokens.any(|token| token.text("audience") == audience) || self.driver(pod, volume, audience)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the driver of a volume gets tokens for this audience.
    fn driver(&self, pod: &Value, volume: &Value, audience: &str) -> Result<bool, Failure> {
        let driver = match references::claim(pod, volume) {
            Some(claim) => self.driver_of(object::namespace(pod), &claim)?,
            None => volume.text("csi.driver").to_owned(),
        };
        if driver.is_empty() {
            return Ok(false);
        }
        let driver = self.cx.state.find(&codec::key(kind("storage.k8s.io", "CSIDriver"), "", &driver))?;
        let requests = driver.as_ref().map_or(&[][..], |driver| driver.items("spec.tokenRequests"));
        Ok(requests.iter().any(|request| request.text("audience") == audience))
    }

    /// The driver of what a claim is bound to; empty if there is none.
    fn driver_of(&self, namespace: &str, claim: &str) -> Result<String, Failure> {
        let key = codec::key(kind("", "PersistentVolumeClaim"), namespace, claim);
        let Some(claim) = self.cx.state.find(&key)? else { return Ok(String::new()) };
        let volume = claim.text("spec.volumeName");
        let volume = self.cx.state.find(&codec::key(kind("", "PersistentVolume"), "", volume))?;
        Ok(volume.map(|volume| volume.text("spec.csi.driver").to_owned()).unwrap_or_default())
    }
}
