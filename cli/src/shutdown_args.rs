//! What the command line says of how Pods end when their node does.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use wherry_node::{GraceGroup, ShutdownGrace};

#[derive(Debug, Args)]
pub(crate) struct ShutdownArgs {
    /// How long the node takes to end its Pods when the machine goes down, as in 30s; 0s leaves OCI containers running.
    #[arg(long, default_value = "0s", value_parser = crate::audit::duration)]
    shutdown_grace_period: Duration,
    /// What of that time belongs to critical Pods, which end last.
    #[arg(long, default_value = "0s", value_parser = crate::audit::duration)]
    shutdown_grace_period_critical_pods: Duration,
    /// The time of Pods by their priority, instead of the two above, as in 0=30s,1000=10s,2000000000=5s: of those of at least this
    /// priority, and less than the next. They end one group after the other.
    #[arg(
        long = "shutdown-grace-period-by-pod-priority",
        value_delimiter = ',',
        conflicts_with_all = ["shutdown_grace_period", "shutdown_grace_period_critical_pods"]
    )]
    by_pod_priority: Vec<GraceGroup>,
}

impl ShutdownArgs {
    /// The grace periods.
    pub(crate) fn grace(&self) -> anyhow::Result<ShutdownGrace> {
        if !self.by_pod_priority.is_empty() {
            return ShutdownGrace::by_priority(self.by_pod_priority.iter().copied())
                .context("--shutdown-grace-period-by-pod-priority cannot be used");
        }
        ShutdownGrace::new(self.shutdown_grace_period, self.shutdown_grace_period_critical_pods)
            .context("--shutdown-grace-period and --shutdown-grace-period-critical-pods cannot be used")
    }
}
