//! Flags of the controllers, under the names that kube-controller-manager gives them.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::Args;
use wherry_orchestrator::{Autoscaling, ControllerOptions, LeaderElection, NodeRange, NodeRanges};

use crate::audit::duration;
use crate::network::{Network, NodePrefixes};

/// How the controllers of a whole cluster go about their work.
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[derive(Debug, Args)]
pub(crate) struct ControllerArgs {
    /// Give every node that has no Pod addresses a part of the cluster's range.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, default_value_t = true,
          action = clap::ArgAction::Set)]
    allocate_node_cidrs: bool,
    /// How long the prefix of a node's part of the cluster's range is.
    #[arg(long, alias = "node-cidr-mask-size-ipv4", default_value_t = NodePrefixes::DEFAULT.four)]
    node_cidr_mask_size: u8,
    /// The same of the cluster's range of IPv6.
    #[arg(long, default_value_t = NodePrefixes::DEFAULT.six)]
    node_cidr_mask_size_ipv6: u8,
    /// Leave Services of type LoadBalancer to somebody else, as k3s' flag of that name. Otherwise those without a class, or of class
    /// `wherry`, are reached at the addresses of the nodes.
    #[arg(long = "disable-load-balancer", alias = "disable-servicelb")]
    no_load_balancer: bool,
    /// Say what nodes and Pods use (metrics.k8s.io), unless an APIService names another server that does.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, default_value_t = true,
          action = clap::ArgAction::Set)]
    metrics_server: bool,
    /// Install the Gateway API, unless somebody else did, and serve Gateways of class `wherry`.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, default_value_t = true,
          action = clap::ArgAction::Set)]
    pub(crate) gateway_api: bool,
    #[command(flatten)]
    autoscaling: AutoscalingArgs,
    #[command(flatten)]
    election: ElectionArgs,
}

/// Who runs the controllers and the scheduler, where several servers could.
#[derive(Debug, Args)]
#[command(next_help_heading = "Leader election")]
struct ElectionArgs {
    /// Run the controllers and the scheduler only while this server holds their Leases in kube-system. Needless where one server
    /// has the store to itself, and it writes every few seconds.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", require_equals = true, default_value_t = false,
          action = clap::ArgAction::Set)]
    leader_elect: bool,
    /// How long others wait for a leader that does not renew its Lease.
    #[arg(long = "leader-elect-lease-duration", default_value = "15s", value_parser = duration)]
    lease_duration: Duration,
    /// How long a leader goes on without having renewed.
    #[arg(long = "leader-elect-renew-deadline", default_value = "10s", value_parser = duration)]
    renew_deadline: Duration,
    /// How long to wait between two tries.
    #[arg(long = "leader-elect-retry-period", default_value = "2s", value_parser = duration)]
    retry_period: Duration,
}

impl ElectionArgs {
    fn options(&self) -> anyhow::Result<Option<LeaderElection>> {
        let Self { lease_duration, renew_deadline, retry_period, .. } = *self;
        ensure!(
            lease_duration > renew_deadline,
            "--leader-elect-lease-duration must be greater than --leader-elect-renew-deadline, or two servers lead at once"
        );
        ensure!(
            lease_duration >= Duration::from_secs(1),
            "--leader-elect-lease-duration must be at least 1s: Leases count whole seconds"
        );
        ensure!(
            renew_deadline > retry_period && !retry_period.is_zero(),
            "--leader-elect-renew-deadline must be greater than --leader-elect-retry-period, and that greater than 0"
        );
        Ok(self.leader_elect.then_some(LeaderElection { lease_duration, renew_deadline, retry_period }))
    }
}

/// How HorizontalPodAutoscalers are followed.
#[derive(Debug, Args)]
#[command(next_help_heading = "Autoscaling")]
struct AutoscalingArgs {
    /// How long to wait between two looks at an autoscaler.
    #[arg(long = "horizontal-pod-autoscaler-sync-period", default_value = "15s", value_parser = duration)]
    sync_period: Duration,
    /// For how long the highest recommendation counts before a target is scaled down.
    #[arg(long = "horizontal-pod-autoscaler-downscale-stabilization", default_value = "5m", value_parser = duration)]
    downscale_stabilization: Duration,
    /// How far a metric may be from its target without a change, as a part of it.
    #[arg(long = "horizontal-pod-autoscaler-tolerance", default_value_t = 0.1)]
    tolerance: f64,
    /// For how long after its start a Pod's use of processors may be that of its start.
    #[arg(long = "horizontal-pod-autoscaler-cpu-initialization-period", default_value = "5m", value_parser = duration)]
    cpu_initialization_period: Duration,
    /// Within what time after its start a Pod that is not ready never was.
    #[arg(long = "horizontal-pod-autoscaler-initial-readiness-delay", default_value = "30s", value_parser = duration)]
    initial_readiness_delay: Duration,
}

impl ControllerArgs {
    /// How the cluster's ranges are divided among nodes.
    pub(crate) fn prefixes(&self) -> NodePrefixes {
        NodePrefixes { four: self.node_cidr_mask_size, six: self.node_cidr_mask_size_ipv6 }
    }

    /// The controllers of a cluster with these addresses, whose own node has its range already.
    pub(crate) fn options(&self, network: &Network) -> anyhow::Result<ControllerOptions> {
        let AutoscalingArgs { sync_period, downscale_stabilization, tolerance, .. } = self.autoscaling;
        let autoscaling = Autoscaling {
            sync_period,
            downscale_stabilization,
            tolerance,
            cpu_initialization_period: self.autoscaling.cpu_initialization_period,
            initial_readiness_delay: self.autoscaling.initial_readiness_delay,
        };
        let node_ranges = self.allocate_node_cidrs.then(|| ranges(network)).transpose()?;
        let leader_election = self.election.options()?;
        Ok(ControllerOptions {
            no_load_balancer: self.no_load_balancer,
            autoscaling,
            node_ranges,
            metrics: self.metrics_server,
            gateway_api: self.gateway_api,
            leader_election,
        })
    }
}

fn ranges(network: &Network) -> anyhow::Result<NodeRanges> {
    let pairs = network.cluster_cidr.iter().zip(network.pod_cidr.iter());
    let ranges = pairs.map(|(range, own)| NodeRange::new(range, own.prefix_len()));
    let ranges = ranges.collect::<Result<Vec<_>, _>>().context("cannot divide --cluster-cidr")?;
    Ok(NodeRanges { ranges, reserved: network.pod_cidr.iter().chain(network.service_cidr.iter()).collect() })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        election: ElectionArgs,
    }

    fn options(flags: &str) -> anyhow::Result<Option<LeaderElection>> {
        Flags::parse_from(["wherry"].into_iter().chain(flags.split_whitespace())).election.options()
    }

    #[test]
    fn leaders_are_elected_where_that_is_asked_for() {
        assert_eq!(options("").unwrap(), None);
        assert_eq!(options("--leader-elect=false").unwrap(), None);
        assert_eq!(options("--leader-elect").unwrap(), Some(LeaderElection::default()));
        let renewed_late = options("--leader-elect --leader-elect-renew-deadline=15s").unwrap_err();
        assert!(renewed_late.to_string().contains("must be greater than --leader-elect-renew-deadline"));
        assert!(options("--leader-elect --leader-elect-retry-period=10s").is_err());
        assert!(options("--leader-elect --leader-elect-retry-period=0s").is_err());
    }
}
