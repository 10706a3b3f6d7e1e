//! Storage: finalizers that keep it while it is used, and the default class of claims.

use wherry_schema::Value;

use super::{default_class, kind};
use crate::config::Admission;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::verbs::Cx;

const DEFAULT: &[&str] =
    &["storageclass.kubernetes.io/is-default-class", "storageclass.beta.kubernetes.io/is-default-class"];
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

/// Completes a volume or a claim.
pub(super) fn admit(cx: &Cx<'_>, object: &mut Value) -> Result<(), Failure> {
    if cx.state.admission != Admission::Full {
        return Ok(());
    }
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
