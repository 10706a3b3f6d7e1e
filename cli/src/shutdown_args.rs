//! What the command line says of how Pods end when their node does.

use std::time::Duration;

use anyhow::Context as _;
use clap::Args;
use wherry_node::ShutdownGrace;

#[derive(Debug, Args)]
pub(crate) struct ShutdownArgs {
    /// How long the node takes, when it is asked to stop, to end its Pods, as in 30s; 0s leaves OCI containers running.
    #[arg(long, default_value = "0s", value_parser = crate::audit::duration)]
    shutdown_grace_period: Duration,
    /// What of that time belongs to critical Pods, which end last.
    #[arg(long, default_value = "0s", value_parser = crate::audit::duration)]
    shutdown_grace_period_critical_pods: Duration,
}

impl ShutdownArgs {
    /// The grace periods.
    pub(crate) fn grace(&self) -> anyhow::Result<ShutdownGrace> {
        ShutdownGrace::new(self.shutdown_grace_period, self.shutdown_grace_period_critical_pods)
            .context("--shutdown-grace-period and --shutdown-grace-period-critical-pods cannot be used")
    }
}
