//! One slice for each mirror, with few writes.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Endpoints;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use super::desired::{Desired, Mirror, metadata, slice};
use crate::objects::slices::{Action, port_key};

/// Decides which slices to write, from the Endpoints and what they say, where they are mirrored.
pub(super) fn plan(wanted: Option<(&Endpoints, &Desired)>, found: Vec<Arc<EndpointSlice>>) -> Vec<Action> {
    let Some((endpoints, desired)) = wanted else {
        return found.into_iter().map(Action::Delete).collect();
    };
    let mut held = HashMap::<(String, String), Vec<Arc<EndpointSlice>>>::new();
    for slice in found {
        let key = (slice.address_type.clone(), port_key(slice.ports.as_deref().unwrap_or_default()));
        held.entry(key).or_default().push(slice);
    }
    let (mut updates, mut missing, mut surplus) = (Vec::new(), Vec::new(), Vec::new());
    for mirror in &desired.mirrors {
        let mut same = held.remove(&(mirror.family.to_owned(), port_key(&mirror.ports))).unwrap_or_default();
        if same.is_empty() {
            missing.push(mirror);
            continue;
        }
        surplus.extend(same.split_off(1));
        updates.extend(same.iter().filter_map(|slice| rewritten(endpoints, mirror, slice)));
    }
    surplus.extend(held.into_values().flatten());
    surplus.sort_by_key(|slice| slice.metadata.name.clone());
    let mut creates = Vec::new();
    for mirror in missing {
        // A slice that would go takes what a new one would hold.
        match surplus.iter().position(|slice| slice.address_type == mirror.family) {
            Some(index) => updates.extend(rewritten(endpoints, mirror, &surplus.remove(index))),
            None if endpoints.metadata.deletion_timestamp.is_some() => {}
            None => creates.push(slice(endpoints, mirror)),
        }
    }
    let creates = creates.into_iter().map(|slice| Action::Create(Box::new(slice)));
    let updates = updates.into_iter().map(|slice| Action::Update(Box::new(slice)));
    creates.chain(updates).chain(surplus.into_iter().map(Action::Delete)).collect()
}

/// The slice as it has to be; none if it is.
fn rewritten(endpoints: &Endpoints, mirror: &Mirror, held: &EndpointSlice) -> Option<EndpointSlice> {
    let wanted = metadata(endpoints);
    let same_ports = port_key(held.ports.as_deref().unwrap_or_default()) == port_key(&mirror.ports);
    let same_metadata = held.metadata.labels == wanted.labels
        && held.metadata.annotations.clone().unwrap_or_default()
            == wanted.annotations.clone().unwrap_or_default();
    if same_ports && same_metadata && same_endpoints(held, &mirror.endpoints) {
        return None;
    }
    let mut now = slice(endpoints, mirror);
    now.metadata = held.metadata.clone();
    now.metadata.labels = wanted.labels;
    now.metadata.annotations = wanted.annotations;
    now.metadata.owner_references = wanted.owner_references;
    Some(now)
}

/// Whether the slice holds just these endpoints, in whatever order.
fn same_endpoints(held: &EndpointSlice, wanted: &[Endpoint]) -> bool {
    let sorted = |endpoints: &[Endpoint]| {
        let mut sorted: Vec<_> = endpoints.to_vec();
        sorted.sort_by_cached_key(|endpoint| {
            (endpoint.addresses.clone(), format!("{:?}", endpoint.target_ref))
        });
        sorted
    };
    sorted(held.endpoints.as_deref().unwrap_or_default()) == sorted(wanted)
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
