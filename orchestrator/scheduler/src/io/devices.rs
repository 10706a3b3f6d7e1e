//! Writes what was decided about a Pod's claims of devices.
//!
//! Guarantees: `Ok` is certain. A claim that others changed meanwhile is looked at again; it is never given devices over
//! those that it has.

use k8s_openapi::api::resource::v1::{AllocationResult, ResourceClaim, ResourceClaimConsumerReference};
use kube::api::PostParams;
use kube::{Api, Client};

use super::bind::{FIRST_WAIT, LONGEST_WAIT, is_certain};
use crate::plugins::dynamic_resources::{Reservation, is_reserved_for};
use crate::pod::PodInfo;

/// Keeps a claim until its devices are given back.
const FINALIZER: &str = "resource.kubernetes.io/delete-protection";
/// How often a claim is looked at again.
const TRIES: usize = 5;

/// Why a claim does not know of a Pod, as the user reads it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReserveError {
    #[error("claim {0} got deleted in the meantime")]
    Deleted(String),
    #[error("claim {0} got allocated elsewhere in the meantime")]
    Elsewhere(String),
    #[error("{step} claim {claim}: {source}")]
    Refused { step: &'static str, claim: String, source: Box<kube::Error> },
}

/// Tells all claims of a Pod of it, with their devices if they have none; returns them as they are then.
pub(crate) async fn reserve_all(
    client: &Client,
    pod: &PodInfo,
    reservations: Vec<Reservation>,
) -> Result<Vec<ResourceClaim>, ReserveError> {
    let mut claims = Vec::new();
    for reservation in reservations {
        claims.push(reserve(client, pod, reservation).await?);
    }
    Ok(claims)
}

async fn reserve(
    client: &Client,
    pod: &PodInfo,
    Reservation { claim, allocation }: Reservation,
) -> Result<ResourceClaim, ReserveError> {
    let api = Api::<ResourceClaim>::namespaced(client.clone(), &pod.namespace);
    let name = claim.metadata.name.clone().unwrap_or_default();
    let called = format!("{}/{name}", pod.namespace);
    let refused =
        |step, source| ReserveError::Refused { step, claim: called.clone(), source: Box::new(source) };
    let mut claim = claim.as_ref().clone();
    let (mut tries, mut wait) = (1, FIRST_WAIT);
    loop {
        if claim.metadata.deletion_timestamp.is_some() {
            return Err(ReserveError::Deleted(called));
        }
        let has = claim.status.as_ref().and_then(|status| status.allocation.as_ref());
        if let Some(allocation) = &allocation
            && has.is_some_and(|has| !is_same(has, allocation))
        {
            return Err(ReserveError::Elsewhere(called));
        }
        let (step, error) = match write(&api, &name, claim, pod, allocation.as_ref()).await {
            Ok(written) => return Ok(written),
            Err(failed) => failed,
        };
        match &error {
            kube::Error::Api(status) if status.code == 409 && tries < TRIES => tries += 1,
            kube::Error::Api(status) if is_certain(status) => return Err(refused(step, error)),
            _ => {}
        }
        claim = loop {
            match api.get(&name).await {
                Ok(claim) => break claim,
                Err(kube::Error::Api(status)) if is_certain(&status) => {
                    return Err(refused("get updated", kube::Error::Api(status)));
                }
                Err(_) => tokio::time::sleep(wait).await,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        };
        // The answer was lost, not the write.
        if is_reserved_for(&claim, &pod.uid) {
            return Ok(claim);
        }
    }
}

/// Whether both have the same devices; what the API adds does not matter.
fn is_same(one: &AllocationResult, other: &AllocationResult) -> bool {
    let devices = |of: &AllocationResult| {
        let results = of.devices.iter().flat_map(|devices| devices.results.iter().flatten());
        let id = |result: &k8s_openapi::api::resource::v1::DeviceRequestAllocationResult| {
            (result.request.clone(), result.driver.clone(), result.pool.clone(), result.device.clone())
        };
        results.map(id).collect::<Vec<_>>()
    };
    devices(one) == devices(other)
}

async fn write(
    api: &Api<ResourceClaim>,
    name: &str,
    mut claim: ResourceClaim,
    pod: &PodInfo,
    allocation: Option<&AllocationResult>,
) -> Result<ResourceClaim, (&'static str, kube::Error)> {
    let params = PostParams::default();
    if allocation.is_some() {
        let finalizers = claim.metadata.finalizers.get_or_insert_default();
        if !finalizers.iter().any(|finalizer| finalizer == FINALIZER) {
            finalizers.push(FINALIZER.to_owned());
            let written = api.replace(name, &params, &claim).await;
            claim = written.map_err(|error| ("add finalizer to", error))?;
        }
    }
    let status = claim.status.get_or_insert_default();
    let step = if let Some(allocation) = allocation {
        status.allocation = Some(allocation.clone());
        "add allocation and reservation to"
    } else {
        "add reservation to"
    };
    status.reserved_for.get_or_insert_default().push(ResourceClaimConsumerReference {
        api_group: None,
        resource: "pods".to_owned(),
        name: pod.name.clone(),
        uid: pod.uid.clone(),
    });
    api.replace_status(name, &params, &claim).await.map_err(|error| (step, error))
}

/// Takes its devices from a claim that is as it was seen.
pub(crate) async fn deallocate(client: Client, claim: &ResourceClaim) -> Result<(), kube::Error> {
    let mut claim = claim.clone();
    let namespace = claim.metadata.namespace.clone().unwrap_or_default();
    let name = claim.metadata.name.clone().unwrap_or_default();
    if let Some(status) = &mut claim.status {
        status.allocation = None;
        status.reserved_for = None;
    }
    let api = Api::<ResourceClaim>::namespaced(client, &namespace);
    api.replace_status(&name, &PostParams::default(), &claim).await.map(drop)
}
