//! Volumes stay while they are bound.

use std::sync::Arc;

use k8s_openapi::api::core::v1::PersistentVolume;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};

use super::super::facts::{BOUND, volume_phase};
use super::{finalizers, is_candidate};
use crate::context::{Caches, Context};
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

const FINALIZER: &str = "kubernetes.io/pv-protection";

/// Keys are names of volumes.
pub(crate) struct VolumeProtectionController {
    client: Client,
    caches: Arc<Caches>,
}

impl Controller for VolumeProtectionController {
    const NAME: &'static str = "persistentvolume-protection-controller";
    type Key = String;

    fn new(context: &Context, queue: &Arc<Queue<String>>) -> Self {
        let wake = queue.clone();
        context.caches.persistent_volumes.on_change(move |change| {
            if let Some(volume) = change.new.filter(|volume| is_candidate(&volume.metadata, FINALIZER)) {
                wake.add(volume.name_any());
            }
        });
        Self { client: context.client.clone(), caches: context.caches.clone() }
    }

    async fn reconcile(&self, name: &String) -> Result<Next, ReconcileError> {
        let Some(volume) = self.caches.persistent_volumes.get_global(name) else { return Ok(Next::OnChange) };
        let is_used = volume_phase(&volume) == BOUND;
        if let Some(finalizers) = finalizers(&volume.metadata, FINALIZER, is_used) {
            let mut changed = (*volume).clone();
            changed.metadata.finalizers = Some(finalizers);
            let api = Api::<PersistentVolume>::all(self.client.clone());
            match api.replace(name, &PostParams::default(), &changed).await {
                Err(error) if is_not_found(&error) => {}
                written => drop(written.step("writing the finalizers of a volume")?),
            }
        }
        Ok(Next::OnChange)
    }
}
