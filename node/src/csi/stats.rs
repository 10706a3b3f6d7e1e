//! How full the volumes of drivers are, as they say when they are asked.

use std::time::Duration;

use futures::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use tracing::debug;
use wherry_plugin_api::csi::{Capability, Unit, VolumeStatsRequest, VolumeUsage};

use super::records::Record;
use super::{Csi, text};
use crate::context::chain;

/// How long whoever asks for the figures of the node waits for a driver.
const PATIENCE: Duration = Duration::from_secs(3);

/// How full a volume is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Fullness {
    /// What the pod calls it.
    pub(crate) volume: String,
    /// The claim it is of.
    pub(crate) claim: Option<String>,
    /// Its bytes.
    pub(crate) bytes: Option<Amount>,
    /// Its files and directories.
    pub(crate) inodes: Option<Amount>,
}

/// How much of something there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Amount {
    /// What is left.
    pub(crate) available: u64,
    /// All.
    pub(crate) total: u64,
    /// What is taken.
    pub(crate) used: u64,
}

impl Amount {
    fn of(usage: &VolumeUsage) -> Self {
        let count = |told: i64| u64::try_from(told).unwrap_or(0);
        Self { available: count(usage.available), total: count(usage.total), used: count(usage.used) }
    }
}

impl Csi {
    /// How full the volumes of the pod are; those whose drivers do not tell, or not at once, are left out.
    pub(crate) async fn fullness(&self, pod: &Pod) -> Vec<Fullness> {
        let uid = pod.metadata.uid.as_deref().unwrap_or_default();
        let records = self.records.of_pod(uid).unwrap_or_default();
        let asked = records.iter().map(|record| self.fullness_of(pod, uid, record));
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn fullness_of(&self, pod: &Pod, uid: &str, record: &Record) -> Option<Fullness> {
        let driver = self.driver(&record.driver_name).ok()?;
        if !driver.can(Capability::GetVolumeStats) {
            return None;
        }
        let request = VolumeStatsRequest {
            volume_id: record.volume_handle.clone(),
            volume_path: text(&self.records.target(uid, &record.name, record.is_block)),
            staging_target_path: record.staging.as_deref().map(text).unwrap_or_default(),
        };
        let volume = record.name.as_str();
        let answer = match tokio::time::timeout(PATIENCE, driver.volume_stats(&request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                debug!(volume, error = chain(&error), "a driver does not tell how full a volume is");
                return None;
            }
            Err(_) => {
                debug!(volume, "a driver does not tell in time how full a volume is");
                return None;
            }
        };
        let of = |unit| answer.usage.iter().find(|usage| usage.unit() == unit).map(Amount::of);
        Some(Fullness {
            volume: record
                .claim
                .as_deref()
                .map_or(record.name.as_str(), |claim| called(pod, claim))
                .to_owned(),
            claim: record.claim.clone(),
            bytes: of(Unit::Bytes),
            inodes: of(Unit::Inodes),
        })
    }
}

/// What the pod calls the volume that this claim gave it.
fn called<'a>(pod: &'a Pod, claim: &'a str) -> &'a str {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let mut volumes = pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten());
    let found = volumes.find(|volume| match &volume.persistent_volume_claim {
        Some(source) => source.claim_name == claim,
        None => volume.ephemeral.is_some() && claim == format!("{name}-{}", volume.name),
    });
    found.map_or(claim, |volume| &volume.name)
}
