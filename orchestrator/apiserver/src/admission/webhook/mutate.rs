//! Mutating webhooks, one after the other.

use wherry_schema::{Value, patch};

use super::hook::{Call, Hook};
use super::review::Answer;
use super::{Stopped, Webhooks};
use crate::admission::dynamic::attributes::Write;
use crate::admission::dynamic::conditions::FailurePolicy;
use crate::admission::dynamic::rounds::{Asked, Rounds};
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
            let Some(call) = hook.call(write)? else { continue };
            if !asked.is_due(rounds, &hook.id()) {
                continue;
            }
            let outcome = ask(hook, write, call).await;
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

/// Asks one webhook and does to the object what it says. Answers whether that changed it.
async fn ask(hook: &Hook, write: &mut Write<'_>, call: Call) -> Result<bool, Stopped> {
    let row = call.row;
    let answer = hook.ask(write, call, true).await?;
    let Some(patch) = patch_of(&answer)? else { return Ok(false) };
    let Some(object) = write.object.as_deref() else {
        return Err(Stopped::refused(Failure::Internal(format!(
            "admission webhook {:?} attempted to modify the object, which is not supported for this operation",
            hook.name
        ))));
    };
    if answer.patch_type != "JSONPatch" {
        return Err(Stopped::uncalled(format!("unsupported patch type {:?}", answer.patch_type)));
    }
    let mut patched = write.convert(object, row).into_owned();
    let broken = |error: patch::PatchError| Stopped::refused(Failure::Internal(error.to_string()));
    patch::json_patch(&mut patched, &patch).map_err(broken)?;
    write.replace(row, &patched).map_err(Stopped::refused)
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
