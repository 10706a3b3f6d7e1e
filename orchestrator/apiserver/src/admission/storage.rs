//! Storage: finalizers that keep it while it is used, and the class of claims that name none.

use wherry_schema::Value;

use super::kind;
use crate::codec;
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
        let class = default_class(cx)?;
        object.assign("spec.storageClassName", class.map(Value::from));
    }
    Ok(())
}

/// The class that is the default; of several the newest, then the first by name.
fn default_class(cx: &Cx<'_>) -> Result<Option<String>, Failure> {
    let prefix = codec::prefix(kind("storage.k8s.io", "StorageClass"), None);
    let mut best: Option<(String, String)> = None;
    for entry in cx.state.store.snapshot().range(&prefix, None) {
        let class = codec::decode(&entry.key, &entry.value)?;
        let annotation = |key: &&str| class.at(&["metadata", "annotations", key]).and_then(Value::as_str);
        if !DEFAULT.iter().any(|key| annotation(key) == Some("true")) {
            continue;
        }
        let made = class.text("metadata.creationTimestamp").to_owned();
        if best.as_ref().is_none_or(|(newest, _)| made > *newest) {
            best = Some((made, object::name(&class).to_owned()));
        }
    }
    Ok(best.map(|(_, name)| name))
}
