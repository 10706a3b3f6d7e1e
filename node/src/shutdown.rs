//! Graceful node shutdown: Pods end before their node does, critical ones last, as upstream.
//!
//! # Flow
//! ```text
//! asked to stop -> not ready, takes no more Pods -> Pods end and the API is told -> critical Pods likewise -> the agent stops
//! ```
//! # Guarantees
//! - Without a grace period none of it happens: containers outlive the agent.
//! - It takes no longer than the grace period. Whoever does not end in time is killed in time: a tenth of each share is left for that,
//!   and for telling the API.
//!
//! # Caveats
//! - The agent is not told by the system that it goes down, only to stop; so with a grace period every stop ends Pods.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tracing::{info, warn};

use crate::context::Context;
use crate::events::{Happening, Severity};
use crate::eviction::{CRITICAL, Eviction};
use crate::pods::{PodIndex, termination_grace};

const MESSAGE: &str = "Pod was terminated in response to imminent node shutdown.";

/// How long a node that is asked to stop takes to end its Pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutdownGrace {
    total: Duration,
    critical: Duration,
}

/// The grace periods contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{critical:?} for critical Pods are a part of the grace period of {total:?}: give no more of it, and whole seconds or nothing"
)]
pub struct ShutdownGraceError {
    total: Duration,
    critical: Duration,
}

impl ShutdownGrace {
    /// All of the time, and what of it belongs to critical Pods. Nothing at all leaves Pods running.
    pub fn new(total: Duration, critical: Duration) -> Result<Self, ShutdownGraceError> {
        let is_usable = |period: Duration| period.is_zero() || period >= Duration::from_secs(1);
        if critical > total || !is_usable(total) || !is_usable(critical) {
            return Err(ShutdownGraceError { total, critical });
        }
        Ok(Self { total, critical })
    }

    /// The Pods that end together and the time they have, the first to end first.
    fn groups(self, pods: Vec<Arc<Pod>>) -> [(Duration, Vec<Arc<Pod>>); 2] {
        let priority = |pod: &Arc<Pod>| pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0);
        let (critical, others) = pods.into_iter().partition(|pod| priority(pod) >= CRITICAL);
        [(self.total.saturating_sub(self.critical), others), (self.critical, critical)]
    }
}

/// Ends the Pods of a node that is asked to stop.
pub(crate) struct NodeShutdown {
    ctx: Arc<Context>,
    index: PodIndex,
    grace: ShutdownGrace,
}

impl NodeShutdown {
    /// Ends the Pods of this index.
    pub(crate) fn new(ctx: Arc<Context>, index: PodIndex, grace: ShutdownGrace) -> Self {
        Self { ctx, index, grace }
    }

    /// Ends all Pods; returns when that is done and told, or its time is over.
    pub(crate) async fn run(self) {
        if self.grace.total.is_zero() {
            return;
        }
        let happening =
            Happening::of_pod(Severity::Normal, "Shutdown", "Shutdown manager detected shutdown event");
        self.ctx.events.node(&self.ctx.node_name, happening);
        self.ctx.admission.close();
        let pods = self.index.all().into_iter().filter(|pod| !is_over(pod)).collect();
        for (share, pods) in self.grace.groups(pods) {
            self.end(share, &pods).await;
        }
    }

    async fn end(&self, share: Duration, pods: &[Arc<Pod>]) {
        let uids: Vec<String> = pods.iter().filter_map(|pod| pod.metadata.uid.clone()).collect();
        info!(count = uids.len(), seconds = share.as_secs(), "ending Pods, as the node shuts down");
        // Who has no time of its own still hears of it.
        let share = share.max(Eviction::AT_ONCE * 2);
        for (pod, uid) in pods.iter().zip(&uids) {
            let grace = termination_grace(pod).min(share * 9 / 10);
            let eviction = Eviction { reason: Eviction::TERMINATED, message: MESSAGE.to_owned(), grace };
            self.ctx.evictions.order(uid, eviction);
        }
        let over = self.ctx.evictions.until_over(&uids);
        if tokio::time::timeout(share, over).await.is_err() {
            warn!("some Pods have not ended in time");
        }
    }
}

fn is_over(pod: &Pod) -> bool {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[rstest]
    #[case::none(0, 0, true)]
    #[case::no_critical(10_000, 0, true)]
    #[case::all_critical(10_000, 10_000, true)]
    #[case::too_much(10_000, 10_001, false)]
    #[case::too_little(500, 0, false)]
    fn periods_fit_together(#[case] total: u64, #[case] critical: u64, #[case] fits: bool) {
        let made = ShutdownGrace::new(Duration::from_millis(total), Duration::from_millis(critical));
        assert_eq!(made.is_ok(), fits, "{made:?}");
    }

    #[test]
    fn critical_pods_end_last_with_their_share() {
        let pod = |name: &str, priority: Option<i32>| -> Arc<Pod> {
            let spec = json!({ "containers": [], "priority": priority });
            Arc::new(serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec })).unwrap())
        };
        let pods = vec![pod("critical", Some(CRITICAL)), pod("plain", None), pod("high", Some(CRITICAL - 1))];
        let groups = ShutdownGrace::new(seconds(30), seconds(10)).unwrap().groups(pods);
        let named = groups.map(|(share, pods)| {
            (share, pods.iter().map(|pod| pod.metadata.name.clone().unwrap()).collect::<Vec<_>>())
        });
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(named, [(seconds(20), names(&["plain", "high"])), (seconds(10), names(&["critical"]))]);
    }
}
