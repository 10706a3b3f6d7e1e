//! The kernel namespaces of a container.

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
