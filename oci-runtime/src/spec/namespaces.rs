//! The kernel namespaces of a container.

use oci_spec::OciSpecError;
use oci_spec::runtime::{
    LinuxIdMapping, LinuxIdMappingBuilder, LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType,
};
use wherry_runtime_api::{ContainerSpec, PodUsers};

/// New namespaces, the pod's for its users if it has some for itself, and the pod's for the network; in a pod without one a container shares the
/// node's network, or has one of its own.
pub(super) fn of(spec: &ContainerSpec) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, User, Uts};
    let sandbox = &spec.sandbox;
    let of_node = sandbox.node_namespaces;
    let new = [Pid, Ipc, Uts, Mount, Cgroup].into_iter().filter(|kind| match kind {
        Pid => !of_node.pid,
        Ipc => !of_node.ipc,
        _ => true,
    });
    let new = new.map(|kind| LinuxNamespaceBuilder::default().typ(kind).build());
    let joined = |kind, path| LinuxNamespaceBuilder::default().typ(kind).path(path).build();
    let own = || spec.own_network.then(|| LinuxNamespaceBuilder::default().typ(Network).build());
    let network = sandbox.netns.clone().map(|path| joined(Network, path)).or_else(own);
    let user = sandbox.users.as_ref().map(|users| joined(User, users.user()));
    new.chain(network).chain(user).collect()
}

/// Which ids of the node the users and groups of a pod have that has some for itself.
pub(super) fn ids(users: &PodUsers) -> Result<Vec<LinuxIdMapping>, OciSpecError> {
    let all = LinuxIdMappingBuilder::default().host_id(users.first_id).container_id(0_u32).size(users.count);
    Ok(vec![all.build()?])
}
