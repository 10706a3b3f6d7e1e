//! What the command line says of processors, and of what is kept from Pods.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use wherry_node::{CpuPolicy, Reserved, ResourceSettings, TopologyPolicy, TopologyScope};

#[derive(Debug, Args)]
pub(crate) struct ResourceArgs {
    /// Whether containers of Guaranteed Pods that ask for whole processors have them for themselves: none or static. A node of
    /// which Pods run is drained before this changes.
    #[arg(long, default_value = "none")]
    cpu_manager_policy: CpuPolicy,
    /// Processors that no container has for itself, as in 0-1,8; as many are kept from Pods.
    #[arg(long)]
    reserved_cpus: Option<wherry_node::CpuSet>,
    /// What is kept from Pods for the system, as in cpu=500m,memory=200Mi,ephemeral-storage=1Gi.
    #[arg(long, default_value = "")]
    system_reserved: Reserved,
    /// What is kept from Pods for the agent. [default of memory, where neither says any: 100Mi]
    #[arg(long, default_value = "")]
    kube_reserved: Reserved,
    /// How much it matters that devices and processors are of the same NUMA nodes: none, best-effort, restricted or
    /// single-numa-node.
    #[arg(long, default_value = "none")]
    topology_manager_policy: TopologyPolicy,
    /// Whose devices and processors these are: those of each container, or of a whole pod.
    #[arg(long, default_value = "container")]
    topology_manager_scope: TopologyScope,
    /// Where files of the Container Device Interface are; a later directory has a say before an earlier.
    #[arg(long, value_delimiter = ',', default_values = ["/etc/cdi", "/var/run/cdi"])]
    cdi_spec_dirs: Vec<PathBuf>,
}

impl ResourceArgs {
    /// The settings.
    pub(crate) fn settings(&self) -> anyhow::Result<ResourceSettings> {
        let settings = ResourceSettings {
            cpu_policy: self.cpu_manager_policy,
            reserved_cpus: self.reserved_cpus.clone(),
            system_reserved: self.system_reserved,
            kube_reserved: self.kube_reserved,
            topology_policy: self.topology_manager_policy,
            topology_scope: self.topology_manager_scope,
            cdi_directories: self.cdi_spec_dirs.clone(),
        };
        settings.checked().context("the flags about processors cannot be used")
    }
}
