//! The class that objects get which name none: that of storage for claims, that of controllers for Ingresses.

use wherry_api::kinds::Kind;
use wherry_schema::Value;

use super::kind;
use crate::codec;
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::verbs::Cx;

const INGRESS_DEFAULT: &[&str] = &["ingressclass.kubernetes.io/is-default-class"];
/// Where an Ingress named its class before there was a field for it.
const INGRESS_CLASS: &str = "kubernetes.io/ingress.class";

/// Gives a new Ingress the default class.
pub(super) fn ingress(cx: &Cx<'_>, ingress: &mut Value) -> Result<(), Failure> {
    let annotated = ingress.at(&["metadata", "annotations", INGRESS_CLASS]).is_some();
    if !annotated && !ingress.has("spec.ingressClassName") {
        let class = find(cx, kind("networking.k8s.io", "IngressClass"), INGRESS_DEFAULT)?;
        ingress.assign("spec.ingressClassName", class.map(Value::from));
    }
    Ok(())
}

/// The class that one of the annotations makes the default; of several the newest, then the first by name.
pub(super) fn find(
    cx: &Cx<'_>,
    classes: &'static Kind,
    annotations: &[&str],
) -> Result<Option<String>, Failure> {
    let prefix = codec::prefix(classes, None);
    let mut best: Option<(String, String)> = None;
    for entry in cx.state.store.snapshot().range(&prefix, None) {
        let class = codec::decode(&entry.key, &entry.value)?;
        let annotation = |key: &&str| class.at(&["metadata", "annotations", key]).and_then(Value::as_str);
        if !annotations.iter().any(|key| annotation(key) == Some("true")) {
            continue;
        }
        let made = class.text("metadata.creationTimestamp").to_owned();
        if best.as_ref().is_none_or(|(newest, _)| made > *newest) {
            best = Some((made, object::name(&class).to_owned()));
        }
    }
    Ok(best.map(|(_, name)| name))
}
