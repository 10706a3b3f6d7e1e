//! The devices that come into question on one node.

use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::NodeSelector;
use k8s_openapi::api::resource::v1::{Device, ResourceSlice};
use wherry_api::quantity::Quantity;

use crate::cluster::{Cluster, DeviceId, Devices, NodeInfo, Pool, PoolId};
use crate::pod::{holds, node_terms};

/// A counter by its set and its name.
pub(super) type CounterId = (String, String);

/// A device that a node can have.
pub(super) struct Offer<'c> {
    pub(super) id: DeviceId,
    pub(super) slice: &'c Arc<ResourceSlice>,
    pub(super) device: &'c Device,
    /// The place of its pool.
    pub(super) pool: usize,
    /// Whether a claim that is not looked at has it for itself.
    pub(super) is_taken: bool,
}

/// See the module's documentation.
pub(super) struct Offers<'c> {
    pub(super) pools: Vec<(&'c PoolId, &'c Pool)>,
    /// Of all pools, also those that are not whole.
    pub(super) all: Vec<Offer<'c>>,
    /// What is left of the counters of each pool.
    pub(super) counters: Vec<HashMap<CounterId, Quantity>>,
}

impl<'c> Offers<'c> {
    pub(super) fn of(node: &NodeInfo, cluster: &'c Cluster) -> Self {
        let devices = &cluster.devices;
        let mut offers = Self { pools: Vec::new(), all: Vec::new(), counters: Vec::new() };
        for (id, pool) in devices.pools_for(&node.name) {
            let before = offers.all.len();
            let place = offers.pools.len();
            for slice in &pool.slices {
                let reachable = reachable(slice, node, cluster);
                offers.all.extend(reachable.map(|device| {
                    let id = id_of(id, device);
                    let is_taken = devices.is_taken(&id);
                    Offer { id, slice, device, pool: place, is_taken }
                }));
            }
            if offers.all.len() > before {
                offers.pools.push((id, pool));
                offers.counters.push(counters_left(id, pool, devices));
            }
        }
        offers
    }

    /// Whether devices of a pool may be given.
    pub(super) fn is_whole(&self, pool: usize) -> bool {
        let (_, pool) = self.pools[pool];
        !pool.is_incomplete && !pool.is_invalid
    }
}

fn id_of((driver, pool): &PoolId, device: &Device) -> DeviceId {
    DeviceId { driver: driver.clone(), pool: pool.clone(), device: device.name.clone() }
}

/// The devices of a slice that a node can have.
fn reachable<'c>(
    slice: &'c ResourceSlice,
    node: &NodeInfo,
    cluster: &Cluster,
) -> impl Iterator<Item = &'c Device> {
    let spec = &slice.spec;
    let each = spec.per_device_node_selection == Some(true);
    let nodes = (spec.node_name.as_deref(), spec.all_nodes, spec.node_selector.as_ref());
    let is_here = each || is_for(nodes, node, cluster);
    let devices = spec.devices.iter().flatten().filter(move |_| is_here);
    devices.filter(move |device| {
        let nodes = (device.node_name.as_deref(), device.all_nodes, device.node_selector.as_ref());
        !each || is_for(nodes, node, cluster)
    })
}

fn is_for(
    (name, all, selector): (Option<&str>, Option<bool>, Option<&NodeSelector>),
    node: &NodeInfo,
    cluster: &Cluster,
) -> bool {
    match (name.filter(|name| !name.is_empty()), selector) {
        (Some(name), _) => name == node.name,
        (None, _) if all == Some(true) => true,
        (None, Some(selector)) => selects(selector, node, cluster),
        (None, None) => false,
    }
}

/// Whether a selector has a node.
pub(super) fn selects(selector: &NodeSelector, node: &NodeInfo, cluster: &Cluster) -> bool {
    let labels = cluster.labels(node);
    node_terms(selector).iter().any(|term| term.admits(&node.name) && holds(&term.labels, Some(&labels)))
}

/// The counters of a pool without what devices use that claims have.
fn counters_left(id: &PoolId, pool: &Pool, devices: &Devices) -> HashMap<CounterId, Quantity> {
    let mut left = HashMap::new();
    for set in pool.slices.iter().flat_map(|slice| slice.spec.shared_counters.iter().flatten()) {
        for (name, counter) in &set.counters {
            left.insert((set.name.clone(), name.clone()), counter.value.0.parse().unwrap_or_default());
        }
    }
    if left.is_empty() {
        return left;
    }
    for device in pool.slices.iter().flat_map(|slice| slice.spec.devices.iter().flatten()) {
        if device.consumes_counters.is_some() && devices.is_taken(&id_of(id, device)) {
            for (counter, amount) in consumed(device) {
                left.entry(counter).and_modify(|left: &mut Quantity| *left = *left - amount);
            }
        }
    }
    left
}

/// What a device uses of counters.
pub(super) fn consumed(device: &Device) -> impl Iterator<Item = (CounterId, Quantity)> + '_ {
    device.consumes_counters.iter().flatten().flat_map(|set| {
        let name = |counter: &String| (set.counter_set.clone(), counter.clone());
        set.counters
            .iter()
            .map(move |(counter, amount)| (name(counter), amount.value.0.parse().unwrap_or_default()))
    })
}
