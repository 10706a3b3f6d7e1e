//! What an autoscaler scales: anything with a scale, whatever its kind.

use k8s_openapi::api::autoscaling::v1::{Scale, ScaleSpec};
use k8s_openapi::api::autoscaling::v2::CrossVersionObjectReference;
use kube::api::{DynamicObject, PostParams};
use kube::{Api, Client};

use super::metrics::told;
use crate::runtime::error::is_conflict;
use crate::runtime::everything::Everything;

/// How often a scale is read again because somebody else wrote it.
const ATTEMPTS: usize = 5;

/// The target of an autoscaler, and its scale as it was read.
pub(super) struct Target {
    api: Api<DynamicObject>,
    name: String,
    /// The resource, as messages name it.
    resource: String,
    scale: Scale,
}

impl Target {
    /// Reads the scale of what is referred to, of whatever version of its kind has one.
    pub(super) async fn find(
        client: &Client,
        everything: &Everything,
        namespace: &str,
        wanted: &CrossVersionObjectReference,
    ) -> Result<Self, String> {
        let group = group(wanted.api_version.as_deref().unwrap_or_default())?;
        let kinds = everything.of_group(group, &wanted.kind);
        let mut first = None;
        for kind in kinds.iter().filter(|kind| kind.namespaced) {
            let api = kind.api(client.clone(), namespace);
            let resource = qualified(&kind.resource.plural, group);
            match api.get_scale(&wanted.name).await {
                Ok(scale) => return Ok(Self { api, name: wanted.name.clone(), resource, scale }),
                Err(error) => first = first.or(Some(told(&error, &resource))),
            }
        }
        Err(first.unwrap_or_else(|| unknown(group, &wanted.kind)))
    }

    /// How many replicas are asked for.
    pub(super) fn wanted(&self) -> i32 {
        self.scale.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(0)
    }

    /// How many there are.
    pub(super) fn observed(&self) -> i32 {
        self.scale.status.as_ref().map_or(0, |status| status.replicas)
    }

    /// The selector of its Pods; empty if it tells none.
    pub(super) fn selector(&self) -> &str {
        self.scale.status.as_ref().and_then(|status| status.selector.as_deref()).unwrap_or_default()
    }

    /// Asks for this many replicas.
    pub(super) async fn set(&mut self, replicas: i32) -> Result<(), String> {
        let mut attempts = 1;
        loop {
            let mut scale = self.scale.clone();
            scale.spec = Some(ScaleSpec { replicas: Some(replicas) });
            match self.api.replace_scale(&self.name, &PostParams::default(), &scale).await {
                Ok(_) => return Ok(()),
                Err(error) if is_conflict(&error) && attempts < ATTEMPTS => {
                    attempts += 1;
                    let read = self.api.get_scale(&self.name).await;
                    self.scale = read.map_err(|error| told(&error, &self.resource))?;
                }
                Err(error) => return Err(told(&error, &self.resource)),
            }
        }
    }
}

/// The group of an API version.
fn group(api_version: &str) -> Result<&str, String> {
    match api_version.split_once('/') {
        Some((_, version)) if version.contains('/') => {
            Err(format!("unexpected GroupVersion string: {api_version}"))
        }
        Some((group, _)) => Ok(group),
        None => Ok(""),
    }
}

/// A resource with its group.
pub(super) fn qualified(plural: &str, group: &str) -> String {
    if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") }
}

/// That nothing of this kind is served.
pub(super) fn unknown(group: &str, kind: &str) -> String {
    format!("no matches for kind {kind:?} in group {group:?}")
}
