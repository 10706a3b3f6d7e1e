//! Asking all validating policies about a write.

use jiff::SignedDuration;
use wherry_api::kinds::Kind;
use wherry_schema::Value;

use super::common::{Action, Binding};
use super::registry::{Bound, Policies};
use super::validating::{Denial, Policy, Reason, Verdict};
use crate::admission::dynamic::Write;
use crate::admission::dynamic::conditions::FailurePolicy;
use crate::admission::dynamic::seen::Views;
use crate::error::{Failure, Refused};
use crate::metrics::Family;
use crate::object::Fields;
use crate::validation::Cause;

/// The key under which the audit log is told of what was not met.
const FAILURE_KEY: &str = "validation.policy.admission.k8s.io/validation_failure";
/// What the audit log is told under one key is no longer than this.
const MAX_ANNOTATION: usize = 10 * 1024;

/// Asks all policies about a write. The first that refuses it is told.
pub(crate) async fn validate(policies: &Policies, write: &Write<'_>) -> Result<(), Failure> {
    let (mut views, mut refusals) = (Views::of(write), Vec::new());
    for bound in &policies.validating {
        // A namespace that is not there makes no policy match, as upstream has it.
        let Ok(Some(row)) = bound.policy.common.matches(write) else { continue };
        Inquiry { bound, write, row }.run(&mut views, &mut refusals).await;
    }
    let Some((reason, message)) = refusals.into_iter().next() else { return Ok(()) };
    Err(refused(write, reason, message))
}

fn refused(write: &Write<'_>, reason: Reason, message: String) -> Failure {
    let failure = write.forbidden(&message);
    let Failure::Forbidden { message: told, group, resource, name, mut causes } = failure else {
        return failure;
    };
    causes.push(Cause { reason: "", message, field: String::new() });
    let (code, reason) = reason.code();
    Failure::Refused(Box::new(Refused { code, reason, message: told, group, resource, name, causes }))
}

/// One policy asked about a write.
struct Inquiry<'i, 'w> {
    bound: &'i Bound<Policy>,
    write: &'i Write<'w>,
    /// What the policy knows the written object by.
    row: &'static Kind,
}

/// Why the write is refused.
type Refusals = Vec<(Reason, String)>;
/// What the audit log is told under which keys.
type Annotations = Vec<(String, Vec<String>)>;

fn unconverted(why: &str) -> String {
    format!("failed to convert object version: {why}")
}

impl Inquiry<'_, '_> {
    fn policy(&self) -> &Policy {
        &self.bound.policy
    }

    async fn run(&self, views: &mut Views<'_>, refusals: &mut Refusals) {
        if let Some(why) = self.policy().common.broken(self.write.state) {
            if self.policy().common.fail == FailurePolicy::Fail {
                let name = &self.policy().common.name;
                let why = format!("failed to configure policy: {why}");
                let message = format!("ValidatingAdmissionPolicy '{name}' denied request: {why}");
                refusals.push((Reason::Invalid, message));
            }
            return;
        }
        let mut annotations = Annotations::new();
        for binding in &self.bound.bindings {
            self.ask(binding, views, (refusals, &mut annotations)).await;
        }
        for (key, values) in annotations {
            self.write.notes.annotate(format!("{}/{key}", self.policy().common.name), values.join(", "));
        }
    }

    /// Asks under one binding.
    async fn ask(
        &self,
        binding: &Binding,
        views: &mut Views<'_>,
        (refusals, annotations): (&mut Refusals, &mut Annotations),
    ) {
        let matched = binding.matches(self.write).map_err(|failure| failure.to_string());
        let params = match matched {
            Ok(false) => return,
            Ok(true) => self.policy().common.params(binding, self.write).await,
            Err(why) => Err(why),
        };
        let seen = match params {
            Ok(params) if params.is_empty() => return,
            Ok(params) => {
                views.see(self.row).await.map(|seen| (params, seen)).map_err(|why| unconverted(&why))
            }
            Err(why) => Err(why),
        };
        let (params, seen) = match seen {
            Ok(seen) => seen,
            Err(why) => {
                if self.policy().common.fail == FailurePolicy::Fail {
                    let why = format!("failed to configure binding: {why}");
                    refusals.push((Reason::Invalid, self.message(binding, &why)));
                }
                return;
            }
        };
        for params in &params {
            let started = self.write.state.clock.now();
            let verdict = self.policy().judge(seen.input(self.write, params.as_ref()));
            let took = self.write.state.clock.now().duration_since(started);
            for denial in &verdict.denials {
                self.count(binding, denial, took);
            }
            self.follow(binding, verdict, refusals, annotations);
        }
    }

    /// Counts what follows from a denial by a policy that was asked for so long.
    fn count(&self, binding: &Binding, denial: &Denial, took: SignedDuration) {
        let named = &self.write.state.metrics.named;
        for action in &binding.actions {
            let labels = [
                ("enforcement_action", action.counted()),
                ("error_type", denial.error_type()),
                ("policy", &self.policy().common.name),
                ("policy_binding", &binding.name),
            ];
            named.count(Family::ValidatingCheck, &labels);
            named.took(Family::ValidatingCheckDuration, &labels, took);
        }
    }

    /// Does what follows from a verdict.
    fn follow(
        &self,
        binding: &Binding,
        verdict: Verdict,
        refusals: &mut Refusals,
        annotations: &mut Annotations,
    ) {
        for denial in verdict.denials {
            for action in &binding.actions {
                match action {
                    Action::Deny => refusals.push((denial.reason, self.message(binding, &denial.message))),
                    Action::Warn => self.write.notes.warn(format!(
                        "Validation failed for ValidatingAdmissionPolicy '{}' with binding '{}': {}",
                        self.policy().common.name,
                        binding.name,
                        denial.message
                    )),
                    Action::Audit => self.audit(binding, &denial),
                }
            }
        }
        for why in verdict.broken {
            refusals.push((Reason::Invalid, self.message(binding, &why)));
        }
        for (key, value) in verdict.annotations {
            let value = value[..value.floor_char_boundary(MAX_ANNOTATION)].to_owned();
            match annotations.iter_mut().find(|(known, _)| *known == key) {
                Some((_, values)) if values.contains(&value) => {}
                Some((_, values)) => values.push(value),
                None => annotations.push((key, vec![value])),
            }
        }
    }

    fn message(&self, binding: &Binding, why: &str) -> String {
        let (policy, binding) = (&self.policy().common.name, &binding.name);
        format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {why}")
    }

    /// Tells the audit log what was not met.
    fn audit(&self, binding: &Binding, denial: &Denial) {
        let actions: Vec<&str> = binding.actions.iter().map(|action| action.name()).collect();
        let mut failure = Value::object();
        failure.put("message", denial.message.as_str());
        failure.put("policy", binding.policy.as_str());
        failure.put("binding", binding.name.as_str());
        failure.put("expressionIndex", i64::try_from(denial.index).unwrap_or(i64::MAX));
        failure.put("validationActions", actions.into_iter().map(Value::from).collect::<Vec<_>>());
        let failures = Value::Array(vec![failure]).to_json_bytes();
        self.write.notes.annotate(FAILURE_KEY.to_owned(), String::from_utf8_lossy(&failures).into_owned());
    }
}
