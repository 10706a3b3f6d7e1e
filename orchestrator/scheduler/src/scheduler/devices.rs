//! What decisions mean for claims of devices.

use k8s_openapi::api::resource::v1::ResourceClaim;

use super::outcome::Written;
use super::{Scheduler, Shared};
use crate::io::devices::deallocate;
use crate::plugins::dynamic_resources::{Needs, Reservation};
use crate::profiles::Own;

impl Scheduler {
    /// Counts the devices that claims get; returns the claims that get some, or are to know of the Pod.
    pub(super) fn assume_devices(&mut self, reservations: &[Reservation]) -> Vec<String> {
        let uid = |claim: &ResourceClaim| claim.metadata.uid.clone().unwrap_or_default();
        for Reservation { claim, allocation } in reservations {
            if let Some(allocation) = allocation {
                self.cluster.devices.assume(&uid(claim), allocation.clone());
            }
        }
        reservations.iter().map(|reservation| uid(&reservation.claim)).collect()
    }

    /// A Pod that fits nowhere gives back the devices of a claim that only it could use and that are elsewhere.
    pub(super) fn give_devices_back(&mut self, pod: &Shared, own: &Own) {
        let needs = Needs::of(pod, &self.cluster, &own.profile).ok().flatten();
        let Some(claim) = needs.and_then(|needs| needs.hindering(&self.cluster)) else { return };
        let client = self.client.clone();
        self.writes.write(async move {
            let name = claim.metadata.name.clone().unwrap_or_default();
            Written::GivenBack { claim: name, outcome: deallocate(client, &claim).await }
        });
    }
}
