//! The volumes of a Pod that matter to where it can go.
//!
//! They are kept beside the template: each Pod of a StatefulSet has claims of its own.

use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Volume};

/// A claim that a Pod uses.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ClaimRef {
    pub(crate) name: String,
    /// Whether it is made for this Pod alone, by a controller.
    pub(crate) is_ephemeral: bool,
}

/// A disk that can be at one node in one way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Disk {
    /// The kind and all that identifies it.
    identity: Vec<String>,
    is_read_only: bool,
    /// Whether several readers may share it.
    may_be_shared: bool,
}

impl Disk {
    /// Whether both cannot be used at one node.
    pub(crate) fn conflicts(&self, other: &Self) -> bool {
        let both_read = self.may_be_shared && self.is_read_only && other.is_read_only;
        self.identity == other.identity && !both_read
    }
}

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Volumes {
    pub(crate) claims: Vec<ClaimRef>,
    pub(crate) disks: Vec<Disk>,
}

impl Volumes {
    /// The volumes of a Pod; nothing if none of them matters.
    pub(super) fn of(pod: &Pod) -> Option<Arc<Self>> {
        let mut volumes = Self::default();
        for volume in pod.spec.iter().flat_map(|spec| spec.volumes.iter().flatten()) {
            volumes.claims.extend(claim(pod, volume));
            volumes.disks.extend(disk(volume));
        }
        (volumes != Self::default()).then(|| Arc::new(volumes))
    }
}

fn claim(pod: &Pod, volume: &Volume) -> Option<ClaimRef> {
    if let Some(source) = &volume.persistent_volume_claim {
        return Some(ClaimRef { name: source.claim_name.clone(), is_ephemeral: false });
    }
    volume.ephemeral.as_ref()?;
    let name = format!("{}-{}", pod.metadata.name.as_deref().unwrap_or_default(), volume.name);
    Some(ClaimRef { name, is_ephemeral: true })
}

fn disk(volume: &Volume) -> Option<Disk> {
    let disk = |kind: &str, identity: &[&str], is_read_only: Option<bool>, may_be_shared| Disk {
        identity: std::iter::once(&kind).chain(identity).map(|part| (*part).to_owned()).collect(),
        is_read_only: is_read_only.unwrap_or(false),
        may_be_shared,
    };
    if let Some(source) = &volume.gce_persistent_disk {
        return Some(disk("gce", &[&source.pd_name], source.read_only, true));
    }
    if let Some(source) = &volume.aws_elastic_block_store {
        return Some(disk("aws", &[&source.volume_id], source.read_only, false));
    }
    if let Some(source) = &volume.iscsi {
        return Some(disk("iscsi", &[&source.iqn], source.read_only, true));
    }
    let source = volume.rbd.as_ref()?;
    let pool = source.pool.as_deref().unwrap_or("rbd");
    Some(disk("rbd", &[&source.monitors.join(","), pool, &source.image], source.read_only, true))
}
