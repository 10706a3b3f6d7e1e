//! What the status of a quota is to be. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ResourceQuotaStatus;
use k8s_openapi::apimachinery::pkg::api::resource;
use serde_json::Value;
use wherry_api::quantity::Quantity;
use wherry_api::quota::amounts::add;
use wherry_api::quota::{Amounts, Quota, Resource};

/// What there is of one resource of the API.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) group: String,
    pub(super) plural: String,
    pub(super) objects: Objects,
}

/// The objects of a resource.
#[derive(Debug)]
pub(super) enum Objects {
    /// Each of them.
    Listed(Vec<Value>),
    /// How many there are, where all are alike.
    Counted(i64),
}

/// The status that the quota is to have; none if it has it. What nobody counts stays what it was.
pub(super) fn plan(quota: &Quota, found: &[Found], now: Timestamp) -> Option<ResourceQuotaStatus> {
    let mut used: Amounts = quota.used.clone();
    used.retain(|name, _| quota.wanted.contains_key(name));
    for name in quota.wanted.keys() {
        if found.iter().any(|found| found.resource().tracks(name)) {
            used.insert(name.clone(), Quantity::default());
        }
    }
    for found in found {
        let mut usage = found.usage(quota, now);
        usage.retain(|name, _| quota.wanted.contains_key(name));
        add(&mut used, &usage);
    }
    let stands = quota.hard == quota.wanted && quota.used == used;
    (!stands).then(|| ResourceQuotaStatus { hard: Some(written(&quota.wanted)), used: Some(written(&used)) })
}

impl Found {
    fn resource(&self) -> Resource<'_> {
        Resource { group: &self.group, plural: &self.plural }
    }

    /// What all objects that the quota is about take.
    fn usage(&self, quota: &Quota, now: Timestamp) -> Amounts {
        let resource = self.resource();
        let mut sums = Amounts::new();
        match &self.objects {
            Objects::Listed(objects) => {
                for object in objects.iter().filter(|object| quota.covers(&resource, *object)) {
                    add(&mut sums, &resource.usage(object, now));
                }
            }
            Objects::Counted(count) if quota.covers(&resource, &Value::Null) => {
                let names = resource.usage(&Value::Null, now).into_keys();
                sums.extend(names.map(|name| (name, Quantity::from_units(*count))));
            }
            Objects::Counted(_) => {}
        }
        sums
    }
}

fn written(amounts: &Amounts) -> std::collections::BTreeMap<String, resource::Quantity> {
    amounts.iter().map(|(name, amount)| (name.clone(), resource::Quantity(amount.to_string()))).collect()
}
