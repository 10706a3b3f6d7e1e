//! Graceful node shutdown: Pods end before their node does, those of the highest priority last, as upstream.
//!
//! # Flow
//! ```text
//! the machine goes down -> not ready, takes no more Pods -> Pods end group by group and the API is told -> the machine goes on
//!   \<-- it was called off: ready again
//! ```
//! systemd-logind tells that the machine goes down, and waits. Where it cannot be asked, an agent that is asked to stop takes it for that.
//!
//! # Guarantees
//! - Without a grace period none of it happens: containers outlive the agent.
//! - It takes no longer than the grace periods. Whoever does not end in time is killed in time: a tenth of each share is left for that,
//!   and for telling the API. A group that has no Pods takes no time.
//! - Where logind tells, an agent that is only stopped ends no Pods.

mod grace;

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::context::{Context, chain};
use crate::events::{Happening, Severity};
use crate::eviction::Eviction;
use crate::logind::{Delay, Logind, LogindError};
use crate::pods::{PodIndex, termination_grace};
pub use grace::{GraceGroup, GraceGroupError, ShutdownGrace, ShutdownGraceError};

/// When logind is looked for again that went away.
const RETRY: Duration = Duration::from_secs(1);
const MESSAGE: &str = "Pod was terminated in response to imminent node shutdown.";

/// Ends the Pods of a node that goes down.
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

    /// Waits until the agent may stop, which it was asked to by `asked`, or has to, by `stop`.
    pub(crate) async fn run(self, asked: CancellationToken, stop: &CancellationToken) {
        if self.grace.is_none() {
            stop.run_until_cancelled(asked.cancelled()).await;
            return;
        }
        let listening = asked.run_until_cancelled(self.listen());
        match stop.run_until_cancelled(listening).await.flatten() {
            Some(Ok(first)) => {
                info!("systemd-logind tells when the machine goes down: only then Pods end");
                stop.run_until_cancelled(self.attend(first, &asked)).await;
                return;
            }
            Some(Err(error)) => {
                let error = chain(&error);
                warn!(
                    error,
                    "the system does not tell when it goes down: Pods end when this process is asked to"
                );
            }
            None => {}
        }
        if stop.run_until_cancelled(asked.cancelled()).await.is_some() {
            stop.run_until_cancelled(self.end_all()).await;
        }
    }

    async fn listen(&self) -> Result<(Logind, Delay), LogindError> {
        let mut logind = Logind::open().await?;
        logind.allow(self.grace.total()).await?;
        let delay = logind.delay().await?;
        Ok((logind, delay))
    }

    /// Ends Pods whenever the machine goes down, until the agent is asked to stop; what has begun is done before.
    async fn attend(&self, first: (Logind, Delay), asked: &CancellationToken) {
        let (mut logind, mut delay) = first;
        loop {
            let Err(error) = self.follow(logind, delay, asked).await else { return };
            warn!(error = %chain(&error), "systemd-logind cannot be heard");
            match asked.run_until_cancelled(self.listen_again()).await {
                Some(again) => (logind, delay) = again,
                None => return,
            }
        }
    }

    async fn listen_again(&self) -> (Logind, Delay) {
        loop {
            tokio::time::sleep(RETRY).await;
            match self.listen().await {
                Ok(listening) => return listening,
                Err(error) => debug!(error = %chain(&error), "systemd-logind is not back"),
            }
        }
    }

    /// Follows what is told over one connection, until that breaks or the agent is asked to stop.
    async fn follow(
        &self,
        mut logind: Logind,
        delay: Delay,
        asked: &CancellationToken,
    ) -> Result<(), LogindError> {
        let mut delay = Some(delay);
        while let Some(begins) = asked.run_until_cancelled(logind.told()).await {
            if begins? {
                self.end_all().await;
                // The machine goes on to its end.
                delay = None;
            } else {
                self.tell("Shutdown manager detected shutdown cancellation");
                self.ctx.admission.open();
                if delay.is_none() {
                    delay = Some(logind.delay().await?);
                }
            }
        }
        Ok(())
    }

    fn tell(&self, message: &'static str) {
        let happening = Happening::of_pod(Severity::Normal, "Shutdown", message);
        self.ctx.events.node(&self.ctx.node_name, happening);
    }

    /// Ends all Pods; returns when that is done and told, or its time is over.
    async fn end_all(&self) {
        self.tell("Shutdown manager detected shutdown event");
        self.ctx.admission.close();
        let pods = self.index.all().into_iter().filter(|pod| !is_over(pod)).collect();
        for (share, pods) in self.grace.groups(pods) {
            if !pods.is_empty() {
                self.end(share, &pods).await;
            }
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
