//! Validating webhooks, all at once.

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use super::counts::{Sort, count};
use super::hook::Hook;
use super::{Stopped, Webhooks};
use crate::admission::dynamic::attributes::Write;
use crate::admission::dynamic::conditions::FailurePolicy;
use crate::admission::dynamic::seen::{Seen, Views};
use crate::error::Failure;

const FAILED_OPEN: &str = "failed-open.validating.webhook.admission.k8s.io";

impl Webhooks {
    /// Asks the validating webhooks that want to see the change, and waits for them all. The refusal that comes first is
    /// told.
    pub(crate) async fn validate(&self, write: &Write<'_>) -> Result<(), Failure> {
        let (mut views, mut wanted) = (Views::of(write), Vec::new());
        for hook in self.validating.iter().flat_map(|configuration| configuration.hooks.iter()) {
            let Some(row) = hook.wants(write)? else { continue };
            let seen = views.see(row).await.map_err(Failure::Internal)?;
            if hook.holds(write, &seen)? {
                wanted.push((hook, seen));
            }
        }
        let mut asked: FuturesUnordered<_> =
            wanted.iter().enumerate().map(|(index, (hook, seen))| ask(hook, write, seen, index)).collect();
        let mut first = Ok(());
        while let Some(outcome) = asked.next().await {
            first = first.and(outcome);
        }
        first
    }
}

/// Asks one webhook.
async fn ask(hook: &Hook, write: &Write<'_>, seen: &Seen<'_>, index: usize) -> Result<(), Failure> {
    let started = write.state.clock.now();
    let outcome = hook.ask(write, seen, false).await;
    let took = write.state.clock.now().duration_since(started);
    count(hook, write, Sort::Validating, (took, outcome.as_ref().err()));
    let Err(stopped) = outcome else { return Ok(()) };
    if matches!(stopped, Stopped::Uncalled(_)) && hook.failure == FailurePolicy::Ignore {
        write.notes.annotate(format!("{FAILED_OPEN}/round_0_index_{index}"), hook.name.clone());
    }
    hook.failed(stopped)
}
