//! Fits the wanted endpoints into slices with few writes.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

use super::desired::{Group, empty_slice, slice_labels};
use crate::objects::meta::controller_reference;
use crate::objects::slices::{Action, port_key};

/// The most endpoints in one slice.
pub(super) const MAX_ENDPOINTS: usize = 100;

/// Decides which slices to write.
pub(super) fn plan(service: &Service, groups: Vec<Group>, found: Vec<Arc<EndpointSlice>>) -> Vec<Action> {
    let mut held = HashMap::<(String, String), Vec<Arc<EndpointSlice>>>::new();
    for slice in found {
        let ports = port_key(slice.ports.as_deref().unwrap_or_default());
        held.entry((slice.address_type.clone(), ports)).or_default().push(slice);
    }
    let mut surplus = Vec::new();
    let (mut updates, mut creates) = (Vec::new(), Vec::new());
    for group in groups {
        let key = (group.family.name().to_owned(), port_key(&group.ports));
        let held = held.remove(&key).unwrap_or_default();
        let fitted = fit(service, &group, held);
        updates.extend(fitted.changed);
        creates.extend(fitted.created);
        surplus.extend(fitted.empty);
    }
    surplus.extend(held.into_values().flatten());
    reuse(&mut creates, &mut surplus, &mut updates);
    let creates = creates.into_iter().map(|slice| Action::Create(Box::new(slice)));
    let updates = updates.into_iter().map(|slice| Action::Update(Box::new(slice)));
    // Endpoints appear before they vanish.
    creates.chain(updates).chain(surplus.into_iter().map(Action::Delete)).collect()
}

struct Fitted {
    changed: Vec<EndpointSlice>,
    created: Vec<EndpointSlice>,
    empty: Vec<Arc<EndpointSlice>>,
}

/// Fits one group into the slices of its ports: what is there stays where it is, the rest fills up slices
/// that have to be written anyway, then others with room, then new ones.
fn fit(service: &Service, group: &Group, held: Vec<Arc<EndpointSlice>>) -> Fitted {
    let mut wanted: HashMap<_, _> =
        group.endpoints.iter().map(|endpoint| (identity(endpoint), endpoint)).collect();
    let mut slices: Vec<_> =
        held.into_iter().map(|slice| (stay(service, &slice, &mut wanted), slice)).collect();
    let mut rest: Vec<_> = wanted.into_values().cloned().collect();
    rest.sort_by(|a, b| b.addresses.cmp(&a.addresses));
    slices.sort_by_key(|(now, before)| *now == **before);
    for (slice, _) in &mut slices {
        fill(slice, &mut rest);
    }
    let mut created = Vec::new();
    while !rest.is_empty() {
        let mut slice = empty_slice(service, group);
        fill(&mut slice, &mut rest);
        created.push(slice);
    }
    if group.endpoints.is_empty() && slices.is_empty() {
        created.push(empty_slice(service, group));
    }
    let mut keep_empty = usize::from(group.endpoints.is_empty());
    let mut fitted = Fitted { changed: Vec::new(), created, empty: Vec::new() };
    for (now, before) in slices {
        if now.endpoints.as_ref().is_none_or(Vec::is_empty) {
            if keep_empty == 0 {
                fitted.empty.push(before);
                continue;
            }
            keep_empty -= 1;
        }
        if now != *before {
            fitted.changed.push(now);
        }
    }
    fitted
}

/// The slice with those of its endpoints that are still wanted, as they are wanted.
fn stay(
    service: &Service,
    slice: &EndpointSlice,
    wanted: &mut HashMap<Identity, &Endpoint>,
) -> EndpointSlice {
    let mut now = slice.clone();
    let endpoints = slice.endpoints.iter().flatten();
    let kept: Vec<_> = endpoints.filter_map(|endpoint| wanted.remove(&identity(endpoint)).cloned()).collect();
    if now.endpoints.as_deref().unwrap_or_default() != kept {
        now.endpoints = Some(kept);
    }
    let labels = slice_labels(service);
    if now.metadata.labels.as_ref() != Some(&labels) {
        now.metadata.labels = Some(labels);
    }
    let owner = controller_reference(service);
    if now.metadata.owner_references.as_ref().is_none_or(|owners| !owners.contains(&owner)) {
        now.metadata.owner_references = Some(vec![owner]);
    }
    now
}

fn fill(slice: &mut EndpointSlice, rest: &mut Vec<Endpoint>) {
    // A slice without endpoints that comes from the API has no list either: it is not to be told from one that has an empty one.
    if rest.is_empty() {
        return;
    }
    let endpoints = slice.endpoints.get_or_insert_default();
    while endpoints.len() < MAX_ENDPOINTS
        && let Some(endpoint) = rest.pop()
    {
        endpoints.push(endpoint);
    }
}

/// Turns creations into updates of slices that would otherwise be deleted.
fn reuse(
    creates: &mut Vec<EndpointSlice>,
    surplus: &mut Vec<Arc<EndpointSlice>>,
    updates: &mut Vec<EndpointSlice>,
) {
    creates.retain_mut(|created| {
        let same = |slice: &Arc<EndpointSlice>| slice.address_type == created.address_type;
        let Some(index) = surplus.iter().position(same) else { return true };
        let mut slice = (*surplus.swap_remove(index)).clone();
        slice.metadata.labels = created.metadata.labels.take();
        slice.metadata.owner_references = created.metadata.owner_references.take();
        slice.endpoints = created.endpoints.take();
        slice.ports = created.ports.take();
        updates.push(slice);
        false
    });
}

type Identity = (Vec<String>, Option<String>);

/// What makes an endpoint the same although its state changed.
fn identity(endpoint: &Endpoint) -> Identity {
    (endpoint.addresses.clone(), endpoint.target_ref.as_ref().and_then(|target| target.uid.clone()))
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
