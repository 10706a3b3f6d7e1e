//! Carries out what was decided about a claim or a volume, and tells about it.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{DeleteParams, PostParams};
use kube::{Api, ResourceExt};
use wherry_api::local_path;

use super::super::facts::{BOUND, FAILED, SELECTED_NODE};
use super::super::told::Said;
use super::claim::{Act, Plan};
use super::volume::{self, Reclaim};
use super::{VolumeBinder, claim_of, writes};
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step, is_already_exists, is_not_found};

impl VolumeBinder {
    /// Does what was planned for a claim.
    pub(super) async fn carry_out(
        &self,
        claim: &PersistentVolumeClaim,
        plan: Plan,
    ) -> Result<(), ReconcileError> {
        match plan.act {
            Act::Wait => {}
            Act::Bind(volume) => self.bind(&volume, claim).await?,
            Act::Provision(volume) => self.provision(claim, &volume).await?,
            Act::Expect(provisioner) => {
                self.write_claim(writes::claim_provisioned_by(claim, &provisioner)).await?;
            }
            Act::Classify(class) => {
                let mut changed = claim.clone();
                changed.spec.get_or_insert_default().storage_class_name = Some(class);
                self.write_claim(Some(changed)).await?;
            }
            Act::Reselect => {
                let mut changed = claim.clone();
                changed.metadata.annotations.get_or_insert_default().remove(SELECTED_NODE);
                self.write_claim((changed != *claim).then_some(changed)).await?;
            }
            Act::Phase(phase) => drop(self.write_claim_status(writes::claim_in(claim, phase)).await?),
        }
        if let Some(said) = plan.say {
            self.told.tell(claim, said);
        }
        Ok(())
    }

    /// Binds both to each other, as far as they are not.
    async fn bind(
        &self,
        volume: &PersistentVolume,
        claim: &PersistentVolumeClaim,
    ) -> Result<(), ReconcileError> {
        let bound = self.write_volume(writes::volume_bound(volume, claim)).await?;
        let volume = bound.as_ref().unwrap_or(volume);
        self.write_volume_phase(volume, BOUND, "").await?;
        let bound = self.write_claim(writes::claim_bound(claim, volume)).await?;
        let claim = bound.as_ref().unwrap_or(claim);
        self.write_claim_status(writes::claim_holding(claim, volume)).await.map(drop)
    }

    async fn provision(
        &self,
        claim: &PersistentVolumeClaim,
        volume: &PersistentVolume,
    ) -> Result<(), ReconcileError> {
        let made = match self.volumes().create(&PostParams::default(), volume).await {
            Ok(made) => made,
            // Its event wakes the claim.
            Err(error) if is_already_exists(&error) => return Ok(()),
            Err(source) => return Err(ReconcileError::Api { step: "creating a volume", source }),
        };
        let provisioner = local_path::PROVISIONER;
        let message = format!("Successfully provisioned volume {} using {provisioner}", made.name_any());
        self.told.tell(claim, Said::normal("ProvisioningSucceeded", message));
        self.caches.persistent_volumes.note(made);
        Ok(())
    }

    /// Looks at a volume and does what it needs.
    pub(super) async fn volume(&self, name: &str) -> Result<(), ReconcileError> {
        let Some(volume) = self.caches.persistent_volumes.get_global(name) else { return Ok(()) };
        let key = claim_of(&volume);
        let claim = key.as_ref().and_then(|key| self.caches.persistent_volume_claims.get(key));
        let mut act = volume::plan(&volume, claim.as_ref());
        if matches!(act, volume::Act::Release(_)) {
            // A cache that lags must not cost data.
            let live = self.live_claim(&volume).await?;
            act = volume::plan(&volume, live.as_ref());
        }
        match act {
            volume::Act::Phase(phase) => self.write_volume_phase(&volume, phase, "").await.map(drop),
            volume::Act::Unbind => self.write_volume(Some(writes::volume_unbound(&volume))).await.map(drop),
            volume::Act::Release(reclaim) => self.release(&volume, reclaim).await,
            // Its claim was woken as well.
            volume::Act::LeaveToClaim => Ok(()),
            volume::Act::Mismatch { of_volume, of_claim } => {
                self.told.tell(&*volume, of_volume);
                if let Some(claim) = claim {
                    self.told.tell(&*claim, of_claim);
                }
                Ok(())
            }
        }
    }

    async fn live_claim(
        &self,
        volume: &PersistentVolume,
    ) -> Result<Option<Arc<PersistentVolumeClaim>>, ReconcileError> {
        let Some(key) = claim_of(volume) else { return Ok(None) };
        let api = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), &key.namespace);
        let found = api.get_opt(&key.name).await.step("looking for the claim of a volume")?;
        Ok(found.map(Arc::new))
    }

    async fn release(&self, volume: &PersistentVolume, reclaim: Reclaim) -> Result<(), ReconcileError> {
        let released = match volume::released(volume) {
            Some(phase) => self.write_volume_phase(volume, phase, "").await?,
            None => None,
        };
        let volume = released.as_ref().unwrap_or(volume);
        match reclaim {
            Reclaim::Keep => Ok(()),
            Reclaim::Delete => {
                let (api, params) = (self.volumes(), DeleteParams::default());
                let deleted = delete(&api, &volume.metadata, Only::Unchanged, params).await;
                deleted.step("deleting a released volume").map(drop)
            }
            Reclaim::Fail(said) => {
                self.write_volume_phase(volume, FAILED, &said.message).await?;
                self.told.tell(volume, said);
                Ok(())
            }
        }
    }

    fn volumes(&self) -> Api<PersistentVolume> {
        Api::all(self.client.clone())
    }

    fn claims(&self, claim: &PersistentVolumeClaim) -> Api<PersistentVolumeClaim> {
        Api::namespaced(self.client.clone(), &claim.namespace().unwrap_or_default())
    }

    async fn write_volume(
        &self,
        volume: Option<PersistentVolume>,
    ) -> Result<Option<PersistentVolume>, ReconcileError> {
        let Some(volume) = volume else { return Ok(None) };
        let written = self.volumes().replace(&volume.name_any(), &PostParams::default(), &volume).await;
        let written = written.step("writing the claim of a volume")?;
        self.caches.persistent_volumes.note(written.clone());
        Ok(Some(written))
    }

    async fn write_volume_phase(
        &self,
        volume: &PersistentVolume,
        phase: &str,
        message: &str,
    ) -> Result<Option<PersistentVolume>, ReconcileError> {
        let Some(changed) = writes::volume_in(volume, phase, message) else { return Ok(None) };
        let api = self.volumes();
        let written = match api.replace_status(&volume.name_any(), &PostParams::default(), &changed).await {
            Err(error) if is_not_found(&error) => return Ok(None),
            written => written.step("writing the phase of a volume")?,
        };
        self.caches.persistent_volumes.note(written.clone());
        Ok(Some(written))
    }

    async fn write_claim(
        &self,
        claim: Option<PersistentVolumeClaim>,
    ) -> Result<Option<PersistentVolumeClaim>, ReconcileError> {
        let Some(claim) = claim else { return Ok(None) };
        let written = self.claims(&claim).replace(&claim.name_any(), &PostParams::default(), &claim).await;
        let written = written.step("writing the volume of a claim")?;
        self.caches.persistent_volume_claims.note(written.clone());
        Ok(Some(written))
    }

    async fn write_claim_status(
        &self,
        claim: Option<PersistentVolumeClaim>,
    ) -> Result<Option<PersistentVolumeClaim>, ReconcileError> {
        let Some(claim) = claim else { return Ok(None) };
        let api = self.claims(&claim);
        let written = api.replace_status(&claim.name_any(), &PostParams::default(), &claim).await;
        let written = written.step("writing the status of a claim")?;
        self.caches.persistent_volume_claims.note(written.clone());
        Ok(Some(written))
    }
}
