//! Claims of pods: which volume is behind one.
//!
//! A node may read the claims and volumes of its own pods, one by one, and not watch them; the scheduler binds them before
//! it places a pod, so reading once is enough. What is not bound yet is read again with the next try to mount it.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use kube::{Api, Client};

/// A claim, as a pod names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClaimOfPod<'a> {
    /// Its name.
    pub(crate) name: &'a str,
    /// Whether it was made for this pod alone.
    pub(crate) is_ephemeral: bool,
}

/// Why there is no volume behind a claim. The words are kubelet's.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClaimError {
    /// It cannot be read.
    #[error("failed to fetch {what} from API server")]
    Read {
        /// `PVC`, or `PV` with its name.
        what: String,
        /// The cause.
        source: Box<kube::Error>,
    },
    /// It will be gone soon.
    #[error("PVC is being deleted")]
    Going,
    /// It has no volume yet.
    #[error("PVC is not bound")]
    Unbound,
    /// The volume is that of another claim.
    #[error("PV {volume} is bound to another claim")]
    Misbound {
        /// The volume.
        volume: String,
    },
    /// It has the name of the claim of an ephemeral volume, and is none.
    #[error("PVC {namespace}/{name} was not created for pod {namespace}/{pod} (pod is not owner)")]
    NotOwned {
        /// The namespace of both.
        namespace: String,
        /// The claim.
        name: String,
        /// The pod.
        pod: String,
    },
}

/// The volume that a claim of the pod is bound to.
pub(crate) async fn volume_of(
    client: &Client,
    pod: &Pod,
    claim: &ClaimOfPod<'_>,
) -> Result<PersistentVolume, ClaimError> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let claims = Api::<PersistentVolumeClaim>::namespaced(client.clone(), namespace);
    let failed = |what: String| |source| ClaimError::Read { what, source: Box::new(source) };
    let found = claims.get(claim.name).await.map_err(failed("PVC".to_owned()))?;
    let volume = volume_name(&found, pod, claim)?;
    let volumes = Api::<PersistentVolume>::all(client.clone());
    let volume = volumes.get(volume).await.map_err(failed(format!("PV {volume}")))?;
    let reference = volume.spec.as_ref().and_then(|spec| spec.claim_ref.as_ref());
    if reference.is_none_or(|reference| reference.uid != found.metadata.uid) {
        return Err(ClaimError::Misbound { volume: volume.metadata.name.unwrap_or_default() });
    }
    Ok(volume)
}

/// The name of the volume of a claim that the pod may use.
fn volume_name<'c>(
    found: &'c PersistentVolumeClaim,
    pod: &Pod,
    claim: &ClaimOfPod<'_>,
) -> Result<&'c str, ClaimError> {
    let mut owners = found.metadata.owner_references.iter().flatten();
    let is_owner =
        owners.any(|owner| owner.controller == Some(true) && Some(&owner.uid) == pod.metadata.uid.as_ref());
    if claim.is_ephemeral && !is_owner {
        return Err(ClaimError::NotOwned {
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            name: claim.name.to_owned(),
            pod: pod.metadata.name.clone().unwrap_or_default(),
        });
    }
    if found.metadata.deletion_timestamp.is_some() {
        return Err(ClaimError::Going);
    }
    let is_bound = found.status.as_ref().is_some_and(|status| status.phase.as_deref() == Some("Bound"));
    let name = found.spec.as_ref().and_then(|spec| spec.volume_name.as_deref()).unwrap_or_default();
    if is_bound && !name.is_empty() { Ok(name) } else { Err(ClaimError::Unbound) }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::FakeApi;

    const CLAIM: &str = "/api/v1/namespaces/shop/persistentvolumeclaims/data";

    fn claim(phase: &str, owner: &str) -> Value {
        let owner =
            json!({"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": owner, "controller": true});
        json!({
            "metadata": {"name": "data", "namespace": "shop", "uid": "c-1", "ownerReferences": [owner]},
            "spec": {"volumeName": "v"}, "status": {"phase": phase},
        })
    }

    async fn read(claim: Value, of: &str, is_ephemeral: bool) -> Result<String, String> {
        let api = FakeApi::new();
        api.put(CLAIM, claim);
        let volume = json!({"metadata": {"name": "v"}, "spec": {"claimRef": {"uid": of}}});
        api.put("/api/v1/persistentvolumes/v", volume);
        let pod = json!({"metadata": {"name": "web", "namespace": "shop", "uid": "u-1"}});
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let found = volume_of(&api.client(), &pod, &ClaimOfPod { name: "data", is_ephemeral }).await;
        found.map(|volume| volume.metadata.name.unwrap()).map_err(|error| error.to_string())
    }

    #[rstest]
    #[case::bound("Bound", "u-1", "c-1", false, Ok("v"))]
    #[case::own("Bound", "u-1", "c-1", true, Ok("v"))]
    #[case::not_own(
        "Bound",
        "u-2",
        "c-1",
        true,
        Err("PVC shop/data was not created for pod shop/web (pod is not owner)")
    )]
    #[case::pending("Pending", "u-1", "c-1", false, Err("PVC is not bound"))]
    #[case::of_another("Bound", "u-1", "c-2", false, Err("PV v is bound to another claim"))]
    #[tokio::test]
    async fn a_claim_that_is_bound_leads_to_its_volume(
        #[case] phase: &str,
        #[case] owner: &str,
        #[case] of: &str,
        #[case] is_ephemeral: bool,
        #[case] wanted: Result<&str, &str>,
    ) {
        let found = read(claim(phase, owner), of, is_ephemeral).await;
        assert_eq!(found, wanted.map(str::to_owned).map_err(str::to_owned));
    }

    #[tokio::test]
    async fn a_claim_that_goes_is_not_mounted() {
        let mut going = claim("Bound", "u-1");
        going["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(read(going, "c-1", false).await, Err("PVC is being deleted".to_owned()));
    }
}
