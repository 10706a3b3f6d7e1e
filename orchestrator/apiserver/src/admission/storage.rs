//! Storage: finalizers that keep it while it is used, the default class of claims, and which claims may grow.

use wherry_api::quantity::Quantity;
use wherry_schema::Value;

use super::{default_class, kind};
use crate::codec;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::verbs::Cx;

const DEFAULT: &[&str] =
    &["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// Completes a volume or a claim.
pub(super) fn admit(cx: &Cx<'_>, object: &mut Value) -> Result<(), Failure> {
    let claim = cx.kind.kind == "PersistentVolumeClaim";
    let finalizer = if claim { "kubernetes.io/pvc-protection" } else { "kubernetes.io/pv-protection" };
    let mut finalizers: Vec<String> = object::finalizers(object).into_iter().map(str::to_owned).collect();
    if !finalizers.iter().any(|known| known == finalizer) {
        finalizers.push(finalizer.to_owned());
        object::set_finalizers(object, &finalizers);
    }
    let annotated = object.at(&["metadata", "annotations", BETA_CLASS]).is_some();
    if claim && !object.has("spec.storageClassName") && !annotated {
        let class = default_class::find(cx, kind("storage.k8s.io", "StorageClass"), DEFAULT)?;
        object.assign("spec.storageClassName", class.map(Value::from));
    }
    Ok(())
}

/// Refuses that a claim grows which is not bound, or whose class does not let it.
pub(super) fn check_growth(cx: &Cx<'_>, claim: &Value, old: &Value) -> Result<(), Failure> {
    let wanted = |claim: &Value| -> Option<Quantity> {
        claim.at(&["spec", "resources", "requests", "storage"])?.as_str()?.parse().ok()
    };
    if wanted(claim).unwrap_or_default() <= wanted(old).unwrap_or_default() {
        return Ok(());
    }
    let refuse = |why: &str| Err(Failure::forbidden(cx.kind, object::name(claim), why));
    if old.text("status.phase") != "Bound" {
        return refuse("Only bound persistent volume claims can be expanded");
    }
    let (class, before) = (class_of(claim), class_of(old));
    let class = if class == before { class } else { "" };
    let found = match class {
        "" => None,
        class => cx.state.find(&codec::key(kind("storage.k8s.io", "StorageClass"), "", class))?,
    };
    if found.is_some_and(|class| class.flag("allowVolumeExpansion")) {
        return Ok(());
    }
    refuse(
        "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support \
         resize",
    )
}

fn class_of(claim: &Value) -> &str {
    let annotated = claim.at(&["metadata", "annotations", BETA_CLASS]).and_then(Value::as_str);
    annotated.unwrap_or_else(|| claim.text("spec.storageClassName"))
}
