//! Validating webhooks, all at once.

use futures::future::join_all;

use super::hook::{Call, Hook};
use super::{Stopped, Webhooks};
use crate::admission::dynamic::attributes::Write;
use crate::admission::dynamic::conditions::FailurePolicy;
use crate::error::Failure;

const FAILED_OPEN: &str = "failed-open.validating.webhook.admission.k8s.io";

impl Webhooks {
    /// Asks the validating webhooks that want to see the change. The first that refuses it is told of.
    pub(crate) async fn validate(&self, write: &Write<'_>) -> Result<(), Failure> {
        let hooks = self.validating.iter().flat_map(|configuration| configuration.hooks.iter());
        let mut calls = Vec::new();
        for hook in hooks {
            if let Some(call) = hook.call(write)? {
                calls.push((hook, call));
            }
        }
        let asked = calls.into_iter().enumerate().map(|(index, (hook, call))| ask(hook, write, call, index));
        join_all(asked).await.into_iter().collect()
    }
}

/// Asks one webhook.
async fn ask(hook: &Hook, write: &Write<'_>, call: Call, index: usize) -> Result<(), Failure> {
    let Err(stopped) = hook.ask(write, call, false).await else { return Ok(()) };
    if matches!(stopped, Stopped::Uncalled(_)) && hook.failure == FailurePolicy::Ignore {
        write.notes.annotate(format!("{FAILED_OPEN}/round_0_index_{index}"), hook.name.clone());
    }
    hook.failed(stopped)
}
