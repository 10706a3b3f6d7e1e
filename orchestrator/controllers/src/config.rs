//! What the controllers are told by whoever starts them.

use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use tokio::sync::watch;
use wherry_api::clock::Clock;
use wherry_api::kinds::SwitchedOn;

use crate::account_tokens::TokenMinter;
use crate::autoscaler::Autoscaling;
use crate::certificates::Authority;
use crate::nodes::ranges::NodeRanges;
use crate::runtime::budget::Budget;

/// Settings of [`crate::run`].
#[derive(Clone)]
pub struct Config {
    /// The time, as conditions, events and deadlines see it.
    pub clock: Arc<dyn Clock>,
    /// The cluster's CA certificates (PEM), published as `kube-root-ca.crt` in each namespace.
    pub root_ca: Option<watch::Receiver<String>>,
    /// Signs what Kubernetes' own signers are asked for; without it others may.
    pub authority: Option<Arc<dyn Authority>>,
    /// How many requests all controllers together may send.
    pub budget: Budget,
    /// Makes the tokens that Secrets hold; without it none are made.
    pub token_minter: Option<TokenMinter>,
    /// How long a token that a ServiceAccount had made for it stays without being used.
    pub unused_token_period: SignedDuration,
    /// Seed of the jitter that spreads retries.
    pub seed: u64,
    /// How long a node's Lease may go without renewal before the node counts as unreachable.
    pub node_grace: Duration,
    /// How many terminated Pods may pile up before the oldest are deleted.
    pub terminated_pods: usize,
    /// What nodes get their Pod addresses from; without it they come by them in other ways.
    pub node_ranges: Option<NodeRanges>,
    /// How HorizontalPodAutoscalers are followed.
    pub autoscaling: Autoscaling,
    /// Which resources of beta versions are served.
    pub switched_on: SwitchedOn,
    /// Whether Services of type LoadBalancer are reached at the addresses of the nodes.
    pub load_balancer: bool,
}

impl Config {
    /// The usual settings, with this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            root_ca: None,
            authority: None,
            budget: Budget { per_second: 5_000, burst: 20_000 },
            token_minter: None,
            unused_token_period: SignedDuration::from_hours(365 * 24),
            seed: 0,
            node_grace: Duration::from_secs(50),
            terminated_pods: 12_500,
            node_ranges: None,
            autoscaling: Autoscaling::default(),
            switched_on: SwitchedOn::default(),
            load_balancer: true,
        }
    }
}
