//! [`Conditions`]: the match conditions of webhooks and policies, which narrow down the writes they are asked about.

use wherry_schema::Value;

use crate::admission::policy::expression::{Compiler, Expression, Variable, Yields};
use crate::admission::policy::input::{self, Evaluation, Input};
use crate::authorize::aggregate;
use crate::object::Fields;

/// What the conditions of one webhook or policy may cost together.
const BUDGET: u64 = input::BUDGET / 4;

/// What follows when conditions cannot be evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailurePolicy {
    /// The write is refused.
    Fail,
    /// The write goes on as if the conditions did not hold.
    Ignore,
}

impl FailurePolicy {
    /// The `failurePolicy` of a webhook or of the spec of a policy.
    pub(crate) fn of(object: &Value) -> Self {
        if object.text("failurePolicy") == "Ignore" { Self::Ignore } else { Self::Fail }
    }
}

/// Match conditions, compiled.
#[derive(Debug)]
pub(crate) struct Conditions(Vec<Expression>);

impl Conditions {
    /// The conditions of a webhook: its `matchConditions`.
    pub(crate) fn new(conditions: &[Value]) -> Self {
        Self::compile(conditions, &Compiler::new(false))
    }

    /// The conditions of a policy, compiled with its variables.
    pub(crate) fn compile(conditions: &[Value], compiler: &Compiler) -> Self {
        let expression =
            |condition: &Value| Expression::new(compiler, condition.text("expression"), Yields::Truth);
        Self(conditions.iter().map(expression).collect())
    }

    /// Whether all conditions hold. One that does not hold decides; otherwise what could not be evaluated does by the
    /// failure policy, and the error says why the write is refused.
    pub(crate) fn hold(&self, input: Input<'_>, fail: FailurePolicy) -> Result<bool, String> {
        self.hold_with(input, &[], fail)
    }

    /// [`Self::hold`] for conditions that name variables.
    pub(crate) fn hold_with(
        &self,
        input: Input<'_>,
        variables: &[Variable],
        fail: FailurePolicy,
    ) -> Result<bool, String> {
        if self.0.is_empty() {
            return Ok(true);
        }
        // Conditions choose by the request; upstream shows them no namespace.
        let evaluation = Evaluation::new(Input { namespace: None, ..input }, variables, BUDGET);
        let mut errors = Vec::new();
        for condition in &self.0 {
            match evaluation.run(condition) {
                Err(spent) => {
                    errors = vec![spent.to_string()];
                    break;
                }
                Ok(Ok(value)) if value.as_bool() == Some(false) => return Ok(false),
                Ok(Ok(_)) => {}
                Ok(Err(why)) => errors.push(why),
            }
        }
        match fail {
            _ if errors.is_empty() => Ok(true),
            FailurePolicy::Fail => Err(aggregate(errors)),
            FailurePolicy::Ignore => Ok(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wherry_schema::Value;

    use super::{Conditions, FailurePolicy};
    use crate::admission::policy::input::Input;
    use crate::authorize::Authorizer;
    use crate::object::Fields;

    fn hold(conditions: &str, fail: FailurePolicy) -> Result<bool, String> {
        let read = |text: &str| Value::from_json(text.as_bytes()).expect("it is JSON");
        let conditions = Conditions::new(read(conditions).as_array().expect("it is a list"));
        let (object, request) = (read(r#"{"a":1}"#), Value::object());
        let (authorizer, object) = (Arc::new(Authorizer::lenient()), Some(&object));
        let input = Input {
            authorizer: &authorizer,
            user: None,
            object,
            old_object: None,
            request: &request,
            namespace: object,
            params: None,
        };
        conditions.hold(input, fail)
    }

    #[test]
    fn one_condition_that_does_not_hold_decides() {
        let mixed = r#"[{"expression":"object.b == 1"},{"expression":"object.a == 2"}]"#;
        assert_eq!(hold(mixed, FailurePolicy::Fail), Ok(false));
        let all = r#"[{"expression":"object.a == 1"},{"expression":"namespaceObject == null"}]"#;
        assert_eq!(hold(all, FailurePolicy::Fail), Ok(true));
        assert_eq!(hold("[]", FailurePolicy::Fail), Ok(true));
    }

    #[test]
    fn what_cannot_be_evaluated_is_left_to_the_failure_policy() {
        let broken =
            r#"[{"expression":"object.a == 1"},{"expression":"object.b == 1"},{"expression":"object.c"}]"#;
        assert_eq!(hold(broken, FailurePolicy::Ignore), Ok(false));
        assert_eq!(
            hold(broken, FailurePolicy::Fail),
            Err("[expression 'object.b == 1' resulted in error: no such key: b, compilation error: must evaluate to \
                 bool but got dyn]"
                .to_owned())
        );
    }

    #[test]
    fn only_ignore_ignores() {
        let mut webhook = Value::object();
        assert_eq!(FailurePolicy::of(&webhook), FailurePolicy::Fail);
        webhook.put("failurePolicy", "Ignore");
        assert_eq!(FailurePolicy::of(&webhook), FailurePolicy::Ignore);
    }
}
