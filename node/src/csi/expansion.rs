//! Lets the file system on a volume grow after its PersistentVolume did, and tells its claim.

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, PersistentVolumeClaimStatus};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use wherry_api::quantity::Quantity;

use super::CsiError;

/// Conditions of a claim that is growing.
const GROWING: [&str; 2] = ["Resizing", "FileSystemResizePending"];

/// The claim of a volume that may have grown.
pub(super) struct Claim {
    api: Api<PersistentVolumeClaim>,
    name: String,
    found: PersistentVolumeClaim,
}

impl Claim {
    /// Reads the claim of this namespace and name.
    pub(super) async fn read(client: &Client, namespace: &str, name: &str) -> Result<Self, CsiError> {
        let api = Api::namespaced(client.clone(), namespace);
        let found = api.get(name).await.map_err(|source| failed(name, source))?;
        Ok(Self { api, name: name.to_owned(), found })
    }

    /// Whether its file system is smaller than its volume.
    pub(super) fn is_to_grow(&self, volume: Quantity) -> bool {
        let status = self.found.status.as_ref();
        let capacity = status.and_then(|status| status.capacity.as_ref()?.get("storage"));
        let capacity = capacity.and_then(|capacity| capacity.0.parse().ok());
        capacity.is_some_and(|capacity: Quantity| capacity < volume)
    }

    /// Writes that it has this size now.
    pub(super) async fn has_grown(&self, to: Quantity) -> Result<(), CsiError> {
        let status = self.found.status.clone().unwrap_or_default();
        let patch = json!({
            "metadata": { "uid": self.found.metadata.uid, "resourceVersion": self.found.metadata.resource_version },
            "status": grown(&status, to),
        });
        let patch = Patch::Merge(patch);
        let written = self.api.patch_status(&self.name, &PatchParams::default(), &patch).await;
        written.map(drop).map_err(|source| failed(&self.name, source))
    }
}

fn failed(name: &str, source: kube::Error) -> CsiError {
    CsiError::Api { what: format!("PersistentVolumeClaim {name}"), source: Box::new(source) }
}

/// What of the status changes.
fn grown(status: &PersistentVolumeClaimStatus, to: Quantity) -> Value {
    let others = status.conditions.iter().flatten();
    let others: Vec<_> = others.filter(|condition| !GROWING.contains(&condition.type_.as_str())).collect();
    json!({
        "capacity": { "storage": to.to_string() },
        "conditions": others,
        "allocatedResourceStatuses": { "storage": null },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_that_has_grown_waits_for_nothing() {
        let status = json!({
            "capacity": { "storage": "1Gi" },
            "conditions": [{ "type": "FileSystemResizePending", "status": "True" }, { "type": "Other", "status": "True" }],
        });
        let written = grown(&serde_json::from_value(status).unwrap(), "2Gi".parse().unwrap());
        assert_eq!(written["capacity"]["storage"], "2Gi");
        assert_eq!(written["conditions"].as_array().unwrap().len(), 1);
        assert_eq!(written["conditions"][0]["type"], "Other");
    }
}
