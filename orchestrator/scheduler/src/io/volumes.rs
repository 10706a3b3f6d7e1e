//! Writes what was decided about a Pod's claims.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

/// Says which node a claim's volume is to be made for.
pub(crate) const SELECTED_NODE: &str = "volume.kubernetes.io/selected-node";

/// One thing to write, against the object as it was when it was decided.
#[derive(Clone, Debug)]
pub(crate) enum VolumeWrite {
    /// Bind a volume to a claim.
    Bind { volume: Box<PersistentVolume>, claim: Box<PersistentVolumeClaim> },
    /// Have a volume made for a claim on this node.
    Provision { claim: Box<PersistentVolumeClaim>, node: String },
}

/// Writes all of them; a volume or claim that changed meanwhile fails it.
pub(crate) async fn write_all(client: Client, writes: Vec<VolumeWrite>) -> Result<(), kube::Error> {
    for write in writes {
        match write {
            VolumeWrite::Bind { volume, claim } => bind(&client, &volume, &claim).await?,
            VolumeWrite::Provision { claim, node } => provision(&client, &claim, &node).await?,
        }
    }
    Ok(())
}

async fn bind(
    client: &Client,
    volume: &PersistentVolume,
    claim: &PersistentVolumeClaim,
) -> Result<(), kube::Error> {
    let patch = json!({
        "metadata": {
            "resourceVersion": volume.metadata.resource_version,
            "annotations": { "pv.kubernetes.io/bound-by-controller": "yes" },
        },
        "spec": { "claimRef": {
            "kind": "PersistentVolumeClaim",
            "apiVersion": "v1",
            "namespace": claim.metadata.namespace,
            "name": claim.metadata.name,
            "uid": claim.metadata.uid,
            "resourceVersion": claim.metadata.resource_version,
        } },
    });
    let name = volume.metadata.name.as_deref().unwrap_or_default();
    let api = Api::<PersistentVolume>::all(client.clone());
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}

async fn provision(client: &Client, claim: &PersistentVolumeClaim, node: &str) -> Result<(), kube::Error> {
    let patch = json!({ "metadata": {
        "resourceVersion": claim.metadata.resource_version,
        "annotations": { SELECTED_NODE: node },
    } });
    let namespace = claim.metadata.namespace.as_deref().unwrap_or_default();
    let api = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace);
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    api.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)
}
