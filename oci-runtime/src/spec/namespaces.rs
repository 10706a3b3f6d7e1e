//! The kernel namespaces of a pod's containers, and what is set in them.

use std::collections::HashMap;

use oci_spec::OciSpecError;
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceBuilder, LinuxNamespaceType};
use wherry_runtime_api::SandboxSpec;

/// New namespaces, and the pod's for the network; a pod without one shares the node's network.
pub(super) fn of(sandbox: &SandboxSpec) -> Result<Vec<LinuxNamespace>, OciSpecError> {
    use LinuxNamespaceType::{Cgroup, Ipc, Mount, Network, Pid, Uts};
    let of_node = sandbox.node_namespaces;
    let new = [Pid, Ipc, Uts, Mount, Cgroup].into_iter().filter(|kind| match kind {
        Pid => !of_node.pid,
        Ipc => !of_node.ipc,
        _ => true,
    });
    let new = new.map(|kind| LinuxNamespaceBuilder::default().typ(kind).build());
    let network = sandbox.netns.as_ref();
    let network = network.map(|path| LinuxNamespaceBuilder::default().typ(Network).path(path).build());
    new.chain(network).collect()
}

/// The kernel settings of the pod's namespaces: what it asks for, over those of every pod with a network of its own.
pub(super) fn settings(sandbox: &SandboxSpec) -> Option<HashMap<String, String>> {
    // As containerd sets them: without CAP_NET_BIND_SERVICE a port below 1024, and ping, work in a pod.
    const NETWORK: [(&str, &str); 2] =
        [("net.ipv4.ip_unprivileged_port_start", "0"), ("net.ipv4.ping_group_range", "0 2147483647")];
    let of_network = NETWORK.iter().filter(|_| sandbox.netns.is_some());
    let of_network = of_network.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let all: HashMap<String, String> = of_network.chain(sandbox.sysctls.clone()).collect();
    (!all.is_empty()).then_some(all)
}
