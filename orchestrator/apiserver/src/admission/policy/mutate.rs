//! Asking all mutating policies about a write.

use jiff::SignedDuration;
use wherry_api::kinds::Kind;
use wherry_schema::Value;

use super::common::Binding;
use super::mutating::Policy;
use super::registry::{Bound, Policies};
use super::validating::error_type;
use crate::admission::dynamic::Write;
use crate::admission::dynamic::conditions::FailurePolicy;
use crate::admission::dynamic::rounds::{Asked, Rounds};
use crate::admission::dynamic::seen::Seen;
use crate::error::{Failure, Refused};
use crate::metrics::Family;
use crate::object;
use crate::validation::Cause;

/// A policy that is about the write, under one binding and with one set of parameters.
struct Invocation<'p> {
    policy: &'p Policy,
    binding: &'p Binding,
    row: &'static Kind,
    params: Option<Value>,
}

/// Why the write is refused.
struct Refusal {
    message: String,
    /// Whether the policy was evaluated; otherwise it could not be configured.
    evaluated: bool,
}

/// Lets all policies change the object of a write.
pub(crate) async fn mutate(
    policies: &Policies,
    write: &mut Write<'_>,
    rounds: &mut Rounds,
    asked: &mut Asked,
) -> Result<(), Failure> {
    let (mut invocations, mut refusals) = (Vec::new(), Vec::new());
    for bound in &policies.mutating {
        invoke(bound, write, &mut invocations, &mut refusals).await;
    }
    if !invocations.is_empty() {
        asked.begin(rounds, write.object.as_deref());
        for invocation in &invocations {
            invocation.run(write, (rounds, asked), &mut refusals).await?;
        }
        asked.end(write.object.as_deref());
    }
    if refusals.is_empty() { Ok(()) } else { Err(refused(write, refusals)) }
}

/// Collects how a policy is to be asked.
async fn invoke<'p>(
    bound: &'p Bound<Policy>,
    write: &Write<'_>,
    invocations: &mut Vec<Invocation<'p>>,
    refusals: &mut Vec<Refusal>,
) {
    let policy = &*bound.policy;
    let mut refuse = |binding: Option<&Binding>, why: &str| {
        if policy.common.fail == FailurePolicy::Fail {
            refusals.push(Refusal { message: message(policy, binding, why), evaluated: false });
        }
    };
    let row = match policy.common.matches(write) {
        Ok(Some(row)) => row,
        Ok(None) => return,
        Err(failure) => return refuse(None, &format!("failed to configure policy: {failure}")),
    };
    if let Some(why) = policy.common.broken(write.state) {
        return refuse(None, &format!("failed to configure policy: {why}"));
    }
    for binding in &bound.bindings {
        let params = match binding.matches(write) {
            Ok(false) => continue,
            Ok(true) => policy.common.params(binding, write).await,
            Err(failure) => Err(failure.to_string()),
        };
        match params {
            Ok(params) => invocations.extend(params.into_iter().map(|params| Invocation {
                policy,
                binding,
                row,
                params,
            })),
            Err(why) => refuse(Some(binding), &format!("failed to configure binding: {why}")),
        }
    }
}

fn message(policy: &Policy, binding: Option<&Binding>, why: &str) -> String {
    let policy = &policy.common.name;
    match binding {
        Some(binding) => format!("policy '{policy}' with binding '{}' denied request: {why}", binding.name),
        None => format!("policy {policy:?} denied request: {why}"),
    }
}

/// The refusal that the first of them decides; the client is told of all.
fn refused(write: &Write<'_>, refusals: Vec<Refusal>) -> Failure {
    let failure = write.forbidden("admission request denied by policy");
    let Failure::Forbidden { group, resource, name, mut causes, .. } = failure else { return failure };
    let reason = if refusals[0].evaluated { "Invalid" } else { "Forbidden" };
    let told = refusals[0].message.clone();
    let cause = |refusal: Refusal| Cause { reason: "", message: refusal.message, field: String::new() };
    causes.extend(refusals.into_iter().map(cause));
    Failure::Refused(Box::new(Refused { code: 403, reason, message: told, group, resource, name, causes }))
}

impl Invocation<'_> {
    /// What tells it apart from all others.
    fn id(&self) -> String {
        let params = self.params.as_ref();
        let [namespace, name] = [object::namespace, object::name].map(|part| params.map_or("", part));
        format!("{}/{}/{namespace}/{name}", self.policy.common.name, self.binding.name)
    }

    async fn run(
        &self,
        write: &mut Write<'_>,
        (rounds, asked): (&mut Rounds, &mut Asked),
        refusals: &mut Vec<Refusal>,
    ) -> Result<(), Failure> {
        let common = &self.policy.common;
        let seen = Seen::new(write, self.row).await.map_err(Failure::Internal)?;
        let input = seen.input(write, self.params.as_ref());
        match common.conditions.hold_with(input, &common.variables, common.fail) {
            Ok(true) => {}
            Ok(false) => return Ok(()),
            Err(why) => {
                self.refuse(&why, refusals);
                return Ok(());
            }
        }
        drop(seen);
        let id = self.id();
        if !asked.is_due(rounds, &id) {
            return Ok(());
        }
        if self.change(write, refusals).await? {
            asked.changed();
            rounds.want_another();
        }
        if self.policy.reinvocable {
            asked.reinvocable(&id);
        }
        Ok(())
    }

    /// Makes the changes of the policy, one after the other. Answers whether the object is another now.
    async fn change(&self, write: &mut Write<'_>, refusals: &mut Vec<Refusal>) -> Result<bool, Failure> {
        let schema = write.schema(self.row)?;
        let mut changed = false;
        for mutation in &self.policy.mutations {
            let seen = Seen::new(write, self.row).await.map_err(Failure::Internal)?;
            let input = seen.input(write, self.params.as_ref());
            let Some(object) = input.object else { continue };
            let started = write.state.clock.now();
            let made = self.policy.change(mutation, input, (object, schema.get()));
            let took = write.state.clock.now().duration_since(started);
            drop(seen);
            self.count(write, made.as_ref().err().map_or("no_error", |why| error_type(why)), took);
            match made {
                Ok(new) => changed |= write.replace(self.row, new).await?,
                Err(why) => self.refuse(&why, refusals),
            }
        }
        Ok(changed)
    }

    /// Counts a change that was made, or not, in so long.
    fn count(&self, write: &Write<'_>, error: &str, took: SignedDuration) {
        let labels = [
            ("error_type", error),
            ("policy", &self.policy.common.name),
            ("policy_binding", &self.binding.name),
        ];
        write.state.metrics.named.count(Family::MutatingCheck, &labels);
        write.state.metrics.named.took(Family::MutatingCheckDuration, &labels, took);
    }

    fn refuse(&self, why: &str, refusals: &mut Vec<Refusal>) {
        if self.policy.common.fail == FailurePolicy::Fail {
            let message = message(self.policy, Some(self.binding), why);
            refusals.push(Refusal { message, evaluated: true });
        }
    }
}
