//! Claims that grow. A directory has no size of its own, so a volume that is one grows by being written down larger;
//! every other volume is left to whoever made it, and an event tells so.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use wherry_api::local_path;

use super::facts::{
    BOUND, PROVISIONED_BY, annotation, capacity, claim_phase, requested, storage, volume_name,
};
use super::told::{Said, Told};
use crate::context::{Caches, Context};
use crate::objects::meta::{Key, uid};
use crate::runtime::error::{ReconcileError, Step};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

/// Conditions of a claim that is growing.
const GROWING: [&str; 2] = ["Resizing", "FileSystemResizePending"];

/// Keys are those of claims.
pub(crate) struct ExpansionController {
    client: Client,
    caches: Arc<Caches>,
    told: Told,
}

/// What is to be done.
#[derive(Debug, PartialEq)]
enum Plan {
    Nothing,
    /// Somebody else is to let it grow.
    Leave,
    /// Write both, the volume first and only if it is smaller.
    Grow {
        volume: Option<Box<PersistentVolume>>,
        claim: Box<PersistentVolumeClaim>,
    },
}

fn wants_more(claim: &PersistentVolumeClaim) -> bool {
    let holds = storage(claim.status.as_ref().and_then(|status| status.capacity.as_ref()));
    claim_phase(claim) == BOUND && requested(claim) > holds.unwrap_or_default()
}

fn plan(claim: &PersistentVolumeClaim, volume: &PersistentVolume) -> Plan {
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    let is_its = reference.is_some_and(|reference| reference.uid.as_deref() == Some(uid(&claim.metadata)));
    if !wants_more(claim) || !is_its {
        return Plan::Nothing;
    }
    if annotation(&volume.metadata, PROVISIONED_BY) != Some(local_path::PROVISIONER) {
        return Plan::Leave;
    }
    let wanted = requested(claim);
    let size = || BTreeMap::from([("storage".to_owned(), Quantity(wanted.to_string()))]);
    let larger = (capacity(volume) < wanted).then(|| {
        let mut larger = volume.clone();
        larger.spec.get_or_insert_default().capacity.get_or_insert_default().extend(size());
        Box::new(larger)
    });
    let mut grown = claim.clone();
    let status = grown.status.get_or_insert_default();
    status.capacity.get_or_insert_default().extend(size());
    status.allocated_resources.get_or_insert_default().extend(size());
    if let Some(states) = &mut status.allocated_resource_statuses {
        states.remove("storage");
    }
    if let Some(conditions) = &mut status.conditions {
        conditions.retain(|condition| !GROWING.contains(&condition.type_.as_str()));
    }
    Plan::Grow { volume: larger, claim: Box::new(grown) }
}

impl Controller for ExpansionController {
    const NAME: &'static str = "persistentvolume-expander-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let caches = &context.caches;
        let wake = queue.clone();
        caches.persistent_volume_claims.on_change(move |change| {
            if let Some(claim) = change.new.filter(|claim| wants_more(claim)) {
                wake.add(Key::of(&**claim));
            }
        });
        let told = Told::new(&context.recorder, "volume_expand");
        told.forget_those_gone_of(&caches.persistent_volume_claims);
        Self { client: context.client.clone(), caches: caches.clone(), told }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let Some(claim) = self.caches.persistent_volume_claims.get(key) else { return Ok(Next::OnChange) };
        let volume = self.caches.persistent_volumes.get_global(volume_name(&claim));
        match volume.map_or(Plan::Nothing, |volume| plan(&claim, &volume)) {
            Plan::Nothing => {}
            Plan::Leave => {
                let message = "waiting for an external controller to expand this PVC".to_owned();
                self.told.tell(&*claim, Said::normal("ExternalExpanding", message));
            }
            Plan::Grow { volume, claim: grown } => {
                if let Some(volume) = volume {
                    let api = Api::<PersistentVolume>::all(self.client.clone());
                    let written = api.replace(&volume.name_any(), &PostParams::default(), &volume).await;
                    self.caches.persistent_volumes.note(written.step("letting a volume grow")?);
                }
                let api = Api::<PersistentVolumeClaim>::namespaced(self.client.clone(), &key.namespace);
                let written = api.replace_status(&key.name, &PostParams::default(), &grown).await;
                self.caches.persistent_volume_claims.note(written.step("letting a claim grow")?);
                let message = format!("ExpandVolume succeeded for volume {}/{}", key.namespace, key.name);
                self.told.tell(&*claim, Said::normal("VolumeResizeSuccessful", message));
            }
        }
        Ok(Next::OnChange)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn claim(wants: &str, holds: &str) -> PersistentVolumeClaim {
        let condition = json!({"type": "FileSystemResizePending", "status": "True"});
        serde_json::from_value(json!({
            "metadata": {"name": "c", "namespace": "ns", "uid": "u-1"},
            "spec": {"resources": {"requests": {"storage": wants}}, "volumeName": "v"},
            "status": {"phase": "Bound", "capacity": {"storage": holds}, "conditions": [condition]},
        }))
        .unwrap()
    }

    fn volume(by: &str, of: &str, size: &str) -> PersistentVolume {
        serde_json::from_value(json!({
            "metadata": {"name": "v", "annotations": {PROVISIONED_BY: by}},
            "spec": {"capacity": {"storage": size}, "claimRef": {"namespace": "ns", "name": "c", "uid": of}},
        }))
        .unwrap()
    }

    #[test]
    fn a_directory_grows_by_being_written_down_larger() {
        let found = plan(&claim("2Gi", "1Gi"), &volume(local_path::PROVISIONER, "u-1", "1Gi"));
        let Plan::Grow { volume: Some(larger), claim: grown } = found else { panic!("{found:?}") };
        assert_eq!(capacity(&larger), "2Gi".parse().unwrap());
        let status = grown.status.clone().unwrap();
        assert_eq!(storage(status.capacity.as_ref()), Some("2Gi".parse().unwrap()));
        assert_eq!(storage(status.allocated_resources.as_ref()), Some("2Gi".parse().unwrap()));
        assert_eq!(status.conditions.unwrap(), []);
        // A run that was broken off after the volume goes on with the claim; one that is done has nothing to do.
        let again = plan(&claim("2Gi", "1Gi"), &larger);
        assert!(matches!(again, Plan::Grow { volume: None, .. }), "{again:?}");
        assert_eq!(plan(&grown, &larger), Plan::Nothing);
    }

    #[test]
    fn other_volumes_are_left_to_those_who_made_them() {
        assert_eq!(plan(&claim("2Gi", "1Gi"), &volume("csi.example.com", "u-1", "1Gi")), Plan::Leave);
        let of_another = volume(local_path::PROVISIONER, "u-2", "1Gi");
        assert_eq!(plan(&claim("2Gi", "1Gi"), &of_another), Plan::Nothing);
    }
}
