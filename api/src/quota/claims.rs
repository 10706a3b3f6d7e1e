//! What claims count for: of storage, by class, and of devices.

use super::read::{amounts, at, int, items, text};
use super::scope::Scope;
use super::{Amounts, one};
use crate::data::Data;
use crate::quantity::Quantity;

/// What a quota limits of claims of storage, whatever their class.
const STORAGE: &[&str] = &["persistentvolumeclaims", "requests.storage"];
const OF_CLASS: &str = ".storageclass.storage.k8s.io/";
const BETA_CLASS: &str = "volume.beta.kubernetes.io/storage-class";
/// What a quota of the devices of a class ends with.
pub(super) const DEVICES: &str = ".deviceclass.resource.k8s.io/devices";
/// What a request for all devices counts as: more cannot be allocated to one claim.
const ALL_DEVICES: i64 = 32;

/// Whether a quota of this name is about claims of storage.
pub(super) fn tracks_storage(name: &str) -> bool {
    let name = name.rsplit_once(OF_CLASS).map_or(name, |(_, resource)| resource);
    STORAGE.contains(&name)
}

/// What a claim of storage takes.
pub(super) fn storage(claim: &dyn Data) -> Amounts {
    let annotated = at(claim, "metadata.annotations").and_then(|map| map.field(BETA_CLASS));
    let class = annotated.map_or_else(|| text(claim, "spec.storageClassName"), super::read::string);
    let mut usage = Amounts::from([(STORAGE[0].to_owned(), one())]);
    if let Some(size) = size(claim) {
        usage.insert(STORAGE[1].to_owned(), size);
    }
    if !class.is_empty() {
        let of_class = |(name, amount): (&String, &Quantity)| (format!("{class}{OF_CLASS}{name}"), *amount);
        let classed: Amounts = usage.iter().map(of_class).collect();
        usage.extend(classed);
    }
    usage
}

/// What the claim asks for, or what it has been given if that is more; in whole bytes.
fn size(claim: &dyn Data) -> Option<Quantity> {
    let asked = *amounts(claim, "spec.resources.requests").get("storage")?;
    let given = amounts(claim, "status.allocatedResources").get("storage").copied().unwrap_or_default();
    let size = asked.max(given);
    let whole = i64::try_from(size.value()).ok()?;
    if size.as_nanos() % 1_000_000_000 == 0 { Some(size) } else { Some(Quantity::from_units(whole)) }
}

/// Whether the scope is about a claim of storage.
pub(super) fn is_in(scope: &Scope, claim: &dyn Data) -> bool {
    scope.name == "VolumeAttributesClass"
        && scope.holds_of(&[
            text(claim, "spec.volumeAttributesClassName"),
            text(claim, "status.currentVolumeAttributesClassName"),
            text(claim, "status.modifyVolumeStatus.targetVolumeAttributesClassName"),
        ])
}

/// What a claim of devices takes: of alternatives the most, class by class.
pub(super) fn devices(claim: &dyn Data) -> Amounts {
    let mut usage = Amounts::new();
    for request in items(claim, "spec.devices.requests") {
        let mut most = Amounts::new();
        let exactly = at(request, "exactly").into_iter();
        for request in exactly.chain(items(request, "firstAvailable")) {
            let count = match text(request, "allocationMode") {
                "All" => ALL_DEVICES,
                _ => int(request, "count").unwrap_or(1),
            };
            let name = format!("{}{DEVICES}", text(request, "deviceClassName"));
            super::amounts::raise(&mut most, &Amounts::from([(name, Quantity::from_units(count))]));
        }
        super::amounts::add(&mut usage, &most);
    }
    usage
}
