//! A VolumeAttributesClass stays while a claim wants it or has it, or a volume has it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::VolumeAttributesClass;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

use super::{finalizers, is_candidate};
use crate::context::{Caches, Context};
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

const FINALIZER: &str = "kubernetes.io/vac-protection";

/// Keys are names of classes.
pub(crate) struct AttributesProtectionController {
    client: Client,
    caches: Arc<Caches>,
}

/// The classes a claim wants or has.
fn of_claim(claim: &PersistentVolumeClaim) -> impl Iterator<Item = &str> {
    let wanted = claim.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref());
    let status = claim.status.as_ref();
    let current = status.and_then(|status| status.current_volume_attributes_class_name.as_deref());
    let target = status.and_then(|status| status.modify_volume_status.as_ref());
    let target = target.and_then(|modify| modify.target_volume_attributes_class_name.as_deref());
    wanted.into_iter().chain(current).chain(target)
}

/// The class a volume has.
fn of_volume(volume: &PersistentVolume) -> Option<&str> {
    volume.spec.as_ref().and_then(|spec| spec.volume_attributes_class_name.as_deref())
}

impl Controller for AttributesProtectionController {
    const NAME: &'static str = "volumeattributesclass-protection-controller";
    type Key = String;

    fn new(context: &Context, queue: &Arc<Queue<String>>) -> Self {
        let wake = queue.clone();
        context.caches.volume_attributes_classes.on_change(move |change| {
            if let Some(class) = change.new.filter(|class| is_candidate(&class.metadata, FINALIZER)) {
                wake.add(class.name_any());
            }
        });
        let wake = queue.clone();
        context.caches.persistent_volume_claims.on_change(move |change| {
            change.old.iter().flat_map(|claim| of_claim(claim)).for_each(|name| wake.add(name.to_owned()));
        });
        let wake = queue.clone();
        context.caches.persistent_volumes.on_change(move |change| {
            change
                .old
                .iter()
                .filter_map(|volume| of_volume(volume))
                .for_each(|name| wake.add(name.to_owned()));
        });
        Self { client: context.client.clone(), caches: context.caches.clone() }
    }

    async fn reconcile(&self, name: &String) -> Result<Next, ReconcileError> {
        let class = self.caches.volume_attributes_classes.get_global(name);
        let Some(class) = class.filter(|class| is_candidate(&class.metadata, FINALIZER)) else {
            return Ok(Next::OnChange);
        };
        let claims = self.caches.persistent_volume_claims.all();
        let is_used = claims.iter().any(|claim| of_claim(claim).any(|used| used == name))
            || !self
                .caches
                .persistent_volumes
                .select("", |volume| of_volume(volume) == Some(name))
                .is_empty();
        if let Some(finalizers) = finalizers(&class.metadata, FINALIZER, is_used) {
            let mut changed = (*class).clone();
            changed.metadata.finalizers = Some(finalizers);
            let api = Api::<VolumeAttributesClass>::all(self.client.clone());
            match api.replace(name, &PostParams::default(), &changed).await {
                Err(error) if is_not_found(&error) => {}
                written => drop(written.step("writing the finalizers of a class of attributes")?),
            }
        }
        Ok(Next::OnChange)
    }
}
