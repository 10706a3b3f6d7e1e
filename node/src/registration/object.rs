//! The Node object as this node wants it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, Node, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeFeatures,
    NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeSpec, NodeStatus, NodeSystemInfo,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use wherry_api::local_path;

use super::machine::Machine;
use crate::eviction::Pressure;

/// The version of kubelet this node stands in for.
pub(crate) const KUBELET_VERSION: &str = concat!("v1.36.0+wherry-", env!("CARGO_PKG_VERSION"));
/// Images listed in the status, as kubelet's default says.
const MAX_IMAGES: usize = 50;

/// How the node is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Health {
    /// What it is short of.
    pub(crate) pressure: Pressure,
    /// Whether it ends its Pods, to stop then.
    pub(crate) is_shutting_down: bool,
    /// Why no Pod can be connected, if none can.
    pub(crate) network_trouble: Option<String>,
}

/// What the object is made from.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// The node's name.
    pub(crate) name: String,
    /// The addresses it is reached at.
    pub(crate) ips: Vec<IpAddr>,
    /// The port of its endpoint.
    pub(crate) port: u16,
    /// Its pod addresses: a range, or one of each family.
    pub(crate) pod_cidrs: Vec<String>,
    /// How many pods it takes.
    pub(crate) max_pods: u32,
    /// The machine.
    pub(crate) machine: Machine,
    /// Where its volumes are.
    pub(crate) volumes: String,
    /// Handlers of RuntimeClasses that it has, and whether pods can have users of their own in each; the one without a name is used
    /// for pods that name none.
    pub(crate) handlers: Vec<(&'static str, bool)>,
}

/// What changes while the node runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct OfNode {
    /// Its images.
    pub(crate) images: Vec<ContainerImage>,
    /// Volumes that must stay attached.
    pub(crate) volumes_in_use: BTreeSet<String>,
    /// How many devices there are of each resource, and how many can be given to containers.
    pub(crate) devices: BTreeMap<String, (usize, usize)>,
}

impl Facts {
    /// Labels every node has.
    pub(crate) fn labels(&self) -> BTreeMap<String, String> {
        let architecture = crate::images::native_architecture();
        BTreeMap::from(
            [
                (local_path::HOSTNAME, self.name.as_str()),
                ("kubernetes.io/os", "linux"),
                ("kubernetes.io/arch", architecture),
                ("beta.kubernetes.io/os", "linux"),
                ("beta.kubernetes.io/arch", architecture),
            ]
            .map(|(name, value)| (name.to_owned(), value.to_owned())),
        )
    }

    /// Annotations every node has.
    pub(crate) fn annotations(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(local_path::DIRECTORY.to_owned(), self.volumes.clone())])
    }

    /// The object to create.
    pub(crate) fn node(&self, status: NodeStatus) -> Node {
        Node {
            metadata: ObjectMeta {
                name: Some(self.name.clone()),
                labels: Some(self.labels()),
                annotations: Some(self.annotations()),
                ..ObjectMeta::default()
            },
            spec: Some(NodeSpec {
                pod_cidr: self.pod_cidrs.first().cloned(),
                pod_cidrs: Some(self.pod_cidrs.clone()),
                ..NodeSpec::default()
            }),
            status: Some(status),
        }
    }

    /// The status to report. Transition times are those of `before` where a condition did not change.
    pub(crate) fn status(
        &self,
        health: Health,
        of_node: OfNode,
        before: Option<&NodeStatus>,
        now: Timestamp,
    ) -> NodeStatus {
        let devices = &of_node.devices;
        let quantities = |list: BTreeMap<String, String>, count: fn((usize, usize)) -> usize| {
            let devices = devices.iter().map(|(name, counts)| (name.clone(), count(*counts).to_string()));
            Some(list.into_iter().chain(devices).map(|(name, value)| (name, Quantity(value))).collect())
        };
        let address =
            |type_: &str, address: &str| NodeAddress { type_: type_.to_owned(), address: address.to_owned() };
        let internal = self.ips.iter().map(|ip| address("InternalIP", &ip.to_string()));
        let endpoint = DaemonEndpoint { port: i32::from(self.port) };
        NodeStatus {
            capacity: quantities(self.machine.capacity(self.max_pods), |(all, _)| all),
            allocatable: quantities(self.machine.allocatable(self.max_pods), |(_, healthy)| healthy),
            addresses: Some(internal.chain([address("Hostname", &self.name)]).collect()),
            daemon_endpoints: Some(NodeDaemonEndpoints { kubelet_endpoint: Some(endpoint) }),
            conditions: Some(conditions(health, before, now)),
            node_info: Some(self.system_info()),
            features: Some(NodeFeatures { supplemental_groups_policy: Some(true) }),
            runtime_handlers: Some(self.runtime_handlers()),
            images: Some(of_node.images.into_iter().take(MAX_IMAGES).collect()),
            volumes_in_use: named(of_node.volumes_in_use, before),
            ..NodeStatus::default()
        }
    }

    fn runtime_handlers(&self) -> Vec<NodeRuntimeHandler> {
        let handler = |(name, maps_users): &(&'static str, bool)| NodeRuntimeHandler {
            name: Some((*name).to_owned()),
            features: Some(NodeRuntimeHandlerFeatures {
                user_namespaces: Some(*maps_users),
                ..NodeRuntimeHandlerFeatures::default()
            }),
        };
        self.handlers.iter().map(handler).collect()
    }

    fn system_info(&self) -> NodeSystemInfo {
        NodeSystemInfo {
            architecture: crate::images::native_architecture().to_owned(),
            boot_id: self.machine.boot_id.clone(),
            container_runtime_version: concat!("wherry://", env!("CARGO_PKG_VERSION")).to_owned(),
            kernel_version: self.machine.kernel.clone(),
            kubelet_version: KUBELET_VERSION.to_owned(),
            machine_id: self.machine.id.clone(),
            operating_system: "linux".to_owned(),
            os_image: self.machine.os_image.clone(),
            system_uuid: self.machine.system_uuid.clone(),
            ..NodeSystemInfo::default()
        }
    }
}

fn conditions(health: Health, before: Option<&NodeStatus>, now: Timestamp) -> Vec<NodeCondition> {
    let say = |type_: &str, met: bool, reason: &str, message: &str| {
        let status = if met { "True" } else { "False" };
        let old = before.and_then(|status| status.conditions.as_ref()).into_iter().flatten();
        let since = old.into_iter().find(|old| old.type_ == type_ && old.status == status);
        let since = since.and_then(|old| old.last_transition_time.clone()).unwrap_or(Time(now));
        NodeCondition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: Some(reason.to_owned()),
            message: Some(message.to_owned()),
            last_heartbeat_time: Some(Time(now)),
            last_transition_time: Some(since),
        }
    };
    let pick = |short: bool, no: (&'static str, &'static str), yes: (&'static str, &'static str)| {
        if short { yes } else { no }
    };
    let Health { pressure, is_shutting_down, network_trouble } = health;
    let (memory_reason, memory) = pick(
        pressure.memory,
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    );
    let (disk_reason, disk) = pick(
        pressure.disk,
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    );
    let (pid_reason, pid) = pick(
        pressure.pids,
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
    );
    let unready = match &network_trouble {
        _ if is_shutting_down => Some("node is shutting down".to_owned()),
        Some(trouble) => Some(no_network(trouble)),
        None => None,
    };
    let ready_reason = if unready.is_some() { "KubeletNotReady" } else { "KubeletReady" };
    let ready = unready.as_deref().unwrap_or("kubelet is posting ready status");
    vec![
        say("MemoryPressure", pressure.memory, memory_reason, memory),
        say("DiskPressure", pressure.disk, disk_reason, disk),
        say("PIDPressure", pressure.pids, pid_reason, pid),
        say("Ready", unready.is_none(), ready_reason, ready),
    ]
}

/// In kubelet's words.
fn no_network(trouble: &str) -> String {
    format!(
        "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady message:Network plugin returns \
         error: {trouble}"
    )
}

/// The volumes as a list, which is written empty only over another.
fn named(volumes: BTreeSet<String>, before: Option<&NodeStatus>) -> Option<Vec<String>> {
    let had = before.is_some_and(|before| before.volumes_in_use.is_some());
    (had || !volumes.is_empty()).then(|| volumes.into_iter().collect())
}

/// Whether the two say the same but for the time they were said.
pub(crate) fn same(a: &NodeStatus, b: &NodeStatus) -> bool {
    let timeless = |status: &NodeStatus| {
        let mut status = status.clone();
        status.conditions.iter_mut().flatten().for_each(|condition| condition.last_heartbeat_time = None);
        status
    };
    timeless(a) == timeless(b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> Facts {
        Facts {
            name: "n1".to_owned(),
            ips: vec!["10.0.0.1".parse().unwrap()],
            port: 10250,
            pod_cidrs: vec!["10.244.0.0/24".to_owned()],
            max_pods: 110,
            machine: Machine::observe(std::path::Path::new("/")),
            volumes: "/data/volumes".to_owned(),
            handlers: vec![("wasmtime", false), ("runc", true), ("", true)],
        }
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn conditions_change_their_transition_time_only_with_their_status() {
        let first = facts().status(Health::default(), OfNode::default(), None, at(1));
        let second = facts().status(Health::default(), OfNode::default(), Some(&first), at(2));
        assert!(same(&first, &second));
        let pressure = Pressure { disk: true, ..Pressure::default() };
        let short = Health { pressure, ..Health::default() };
        let third = facts().status(short, OfNode::default(), Some(&second), at(3));
        assert!(!same(&second, &third));
        let since = |status: &NodeStatus, type_: &str| {
            let conditions = status.conditions.as_ref().unwrap();
            conditions.iter().find(|c| c.type_ == type_).unwrap().last_transition_time.clone().unwrap().0
        };
        assert_eq!((since(&third, "Ready"), since(&third, "DiskPressure")), (at(1), at(3)));
    }

    #[test]
    fn a_node_that_can_connect_no_pod_is_not_ready() {
        let ready = |health: Health| {
            let status = facts().status(health, OfNode::default(), None, at(1));
            status.conditions.unwrap().into_iter().find(|condition| condition.type_ == "Ready").unwrap()
        };
        assert_eq!(ready(Health::default()).status, "True");
        let trouble = Some("cni plugin not initialized".to_owned());
        let told = ready(Health { network_trouble: trouble.clone(), ..Health::default() });
        let (reason, message) = (told.reason.unwrap(), told.message.unwrap());
        assert_eq!((told.status.as_str(), reason.as_str()), ("False", "KubeletNotReady"));
        assert!(message.contains("NetworkPluginNotReady") && message.ends_with("cni plugin not initialized"));
        let ending = ready(Health { network_trouble: trouble, is_shutting_down: true, ..Health::default() });
        assert_eq!(ending.message.unwrap(), "node is shutting down");
    }

    #[test]
    fn the_runtimes_say_whether_pods_have_users_of_their_own() {
        let status = facts().status(Health::default(), OfNode::default(), None, at(1));
        let said = status.runtime_handlers.unwrap().into_iter().map(|handler| {
            (handler.name.unwrap(), handler.features.and_then(|features| features.user_namespaces).unwrap())
        });
        let expected = [("wasmtime", false), ("runc", true), ("", true)];
        assert_eq!(said.collect::<Vec<_>>(), expected.map(|(name, can)| (name.to_owned(), can)));
    }

    #[test]
    fn volumes_that_are_not_in_use_any_more_are_taken_out() {
        let with = |volumes: &[&str], before: Option<&NodeStatus>| {
            let volumes_in_use = volumes.iter().map(|volume| (*volume).to_owned()).collect();
            let of_node = OfNode { volumes_in_use, ..OfNode::default() };
            facts().status(Health::default(), of_node, before, at(1))
        };
        let first = with(&["v"], Some(&with(&[], None)));
        assert_eq!(first.volumes_in_use, Some(vec!["v".to_owned()]));
        assert_eq!(with(&[], Some(&first)).volumes_in_use, Some(vec![]));
        assert_eq!(with(&[], None).volumes_in_use, None);
    }
}
