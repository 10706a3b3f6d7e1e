//! Mutating webhooks, one after the other.

use std::borrow::Cow;

use wherry_api::kinds::Kind;
use wherry_schema::{Value, patch};

use super::counts::{Sort, count};
use super::hook::Hook;
use super::review::Answer;
use super::{Stopped, Webhooks};
use crate::admission::dynamic::attributes::Write;
use crate::admission::dynamic::conditions::FailurePolicy;
use crate::admission::dynamic::rounds::{Asked, Rounds};
use crate::admission::dynamic::seen::Seen;
use crate::error::Failure;

const FAILED_OPEN: &str = "failed-open.mutation.webhook.admission.k8s.io";
const MUTATED: &str = "mutation.webhook.admission.k8s.io";

impl Webhooks {
    /// Asks the mutating webhooks that are due in this round.
    pub(crate) async fn mutate(
        &self,
        write: &mut Write<'_>,
        rounds: &mut Rounds,
        asked: &mut Asked,
    ) -> Result<(), Failure> {
        asked.begin(rounds, write.object.as_deref());
        let hooks = self.mutating.iter().flat_map(|configuration| configuration.hooks.iter());
        for (index, hook) in hooks.enumerate() {
            let Some(row) = hook.wants(write)? else { continue };
            let seen = Seen::new(write, row).await.map_err(Failure::Internal)?;
            if !hook.holds(write, &seen)? || !asked.is_due(rounds, &hook.id()) {
                continue;
            }
            let started = write.state.clock.now();
            let answered = hook.ask(write, &seen, true).await;
            let object = seen.object.map(Cow::into_owned);
            let outcome = match answered {
                Ok(answer) => follow(hook, write, (row, object), &answer).await,
                Err(stopped) => Err(stopped),
            };
            let took = write.state.clock.now().duration_since(started);
            count(hook, write, Sort::Mutating, (took, outcome.as_ref().err()));
            note(hook, write, (rounds, index), &outcome);
            if matches!(outcome, Ok(true)) {
                asked.changed();
                rounds.want_another();
            }
            if hook.reinvocable {
                asked.reinvocable(&hook.id());
            }
            if let Err(stopped) = outcome {
                hook.failed(stopped)?;
            }
        }
        asked.end(write.object.as_deref());
        Ok(())
    }
}

/// Does to the object, as the webhook saw it, what the webhook says. Answers whether that changed it.
async fn follow(
    hook: &Hook,
    write: &mut Write<'_>,
    (row, object): (&'static Kind, Option<Value>),
    answer: &Answer,
) -> Result<bool, Stopped> {
    let Some(patch) = patch_of(answer)? else { return Ok(false) };
    let Some(mut object) = object else {
        return Err(Stopped::refused(Failure::Internal(format!(
            "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            hook.name
        ))));
    };
    if answer.patch_type != "JSONPatch" {
        return Err(Stopped::uncalled(format!("unsupported patch type {:?}", answer.patch_type)));
    }
    let broken = |error: patch::PatchError| Stopped::refused(Failure::Internal(error.to_string()));
    patch::json_patch(&mut object, &patch).map_err(broken)?;
    write.replace(row, object).await.map_err(Stopped::refused)
}

/// The patch in an answer; none if it changes nothing.
fn patch_of(answer: &Answer) -> Result<Option<Value>, Stopped> {
    if answer.patch.is_empty() {
        return Ok(None);
    }
    let undecodable =
        |why: &str| Stopped::uncalled(format!("received undecodable patch in webhook response: {why}"));
    let patch = Value::from_json(&answer.patch).map_err(|error| undecodable(&error.to_string()))?;
    match patch.as_array() {
        Some(steps) => Ok((!steps.is_empty()).then_some(patch)),
        None if patch.is_null() => Ok(None),
        None => Err(undecodable("json: cannot unmarshal object into Go value of type jsonpatch.Patch")),
    }
}

/// Notes for the audit log what came of a call.
fn note(hook: &Hook, write: &Write<'_>, (rounds, index): (&Rounds, usize), outcome: &Result<bool, Stopped>) {
    let round = u8::from(rounds.is_again());
    let place = format!("round_{round}_index_{index}");
    let (configuration, name) = (&hook.configuration, &hook.name);
    let mutated = matches!(outcome, Ok(true));
    let text = format!(r#"{{"configuration":"{configuration}","webhook":"{name}","mutated":{mutated}}}"#);
    write.notes.annotate(format!("{MUTATED}/{place}"), text);
    if matches!(outcome, Err(Stopped::Uncalled(_))) && hook.failure == FailurePolicy::Ignore {
        write.notes.annotate(format!("{FAILED_OPEN}/{place}"), name.clone());
    }
}
