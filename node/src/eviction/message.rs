//! What is told about Pods that end because the node is short, in upstream's words.

use std::fmt::Write;

use k8s_openapi::api::core::v1::{Container, Pod};
use wherry_api::quantity::Quantity;

use super::pressure::Starved;
use super::rank::Share;
use super::thresholds::Signal;

/// What is shared out among Pods, under the name it has in events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Resource {
    Memory,
    Storage,
    Inodes,
    ProcessIds,
}

impl Resource {
    pub(super) fn of(signal: Signal) -> Self {
        match signal {
            Signal::MemoryAvailable => Self::Memory,
            Signal::NodefsAvailable | Signal::ImagefsAvailable => Self::Storage,
            Signal::NodefsInodesFree | Signal::ImagefsInodesFree => Self::Inodes,
            Signal::PidAvailable => Self::ProcessIds,
        }
    }

    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Storage => "ephemeral-storage",
            Self::Inodes => "inodes",
            Self::ProcessIds => "pids",
        }
    }

    fn amount(self, amount: u64) -> Quantity {
        let amount = i64::try_from(amount).unwrap_or(i64::MAX);
        match self {
            Self::Memory | Self::Storage => Quantity::from_bytes(amount),
            Self::Inodes | Self::ProcessIds => Quantity::from_units(amount),
        }
    }
}

/// Why the Pod ends: what was short, and which of its containers took more than they asked for.
pub(super) fn eviction(pod: &Pod, starved: &Starved, share: &Share) -> String {
    let resource = Resource::of(starved.key.signal);
    let name = resource.as_str();
    let amount = |amount| resource.amount(amount);
    let mut text = format!(
        "The node was low on resource: {name}. Threshold quantity: {}, available: {}. ",
        amount(starved.threshold),
        amount(starved.available)
    );
    if !matches!(resource, Resource::Memory | Resource::Storage) {
        return text;
    }
    for container in pod.spec.iter().flat_map(|spec| &spec.containers) {
        let request = requested(container, name);
        let used = share.used.get(&container.name).map(|used| amount(*used));
        if let Some(used) = used.filter(|used| *used > request) {
            let of = &container.name;
            // A text takes all that is written to it.
            let _infallible = write!(
                text,
                "Container {of} was using {used}, request is {request}, has larger consumption of {name}. "
            );
        }
    }
    text
}

/// What the container asked for.
pub(super) fn requested(container: &Container, resource: &str) -> Quantity {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let asked = requests.and_then(|requests| requests.get(resource)?.0.parse().ok());
    asked.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::super::settings::{Key, Urgency};
    use super::*;

    #[test]
    fn containers_beyond_their_requests_are_named() {
        let asks = json!({ "requests": { "memory": "1Gi" } });
        let containers = json!([{ "name": "over" }, { "name": "within", "resources": asks }]);
        let pod = json!({ "metadata": {}, "spec": { "containers": containers } });
        let pod: Pod = serde_json::from_value(pod).unwrap();
        let used = BTreeMap::from([("over".to_owned(), 2048), ("within".to_owned(), 4096)]);
        let share = Share { used, ..Share::default() };
        let starved = |signal| Starved {
            key: Key { signal, urgency: Urgency::Hard },
            threshold: 100 << 20,
            available: 50 << 10,
        };
        assert_eq!(
            eviction(&pod, &starved(Signal::MemoryAvailable), &share),
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Ki. Container over was \
             using 2Ki, request is 0, has larger consumption of memory. "
        );
        assert_eq!(
            eviction(&pod, &starved(Signal::PidAvailable), &share),
            "The node was low on resource: pids. Threshold quantity: 104857600, available: 51200. "
        );
    }
}
