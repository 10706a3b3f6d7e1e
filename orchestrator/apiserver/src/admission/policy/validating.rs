//! ValidatingAdmissionPolicy: what a policy decides about a write.

use wherry_cel::Value as Cel;
use wherry_schema::Value;

use super::common::Common;
use super::expression::{Compiler, Expression, Yields};
use super::input::{BUDGET, Evaluation, Input};
use crate::admission::dynamic::conditions::FailurePolicy;
use crate::object::Fields;

/// Messages that expressions make are no longer than this.
const MAX_MESSAGE: usize = 5 * 1024;
/// How the message begins that says that evaluating cost too much.
const SPENT: &str = "validation failed due to running out of cost budget";

/// A policy, compiled.
#[derive(Debug)]
pub(super) struct Policy {
    pub(super) common: Common,
    validations: Vec<Validation>,
    annotations: Vec<Annotation>,
}

#[derive(Debug)]
struct Validation {
    condition: Expression,
    message: String,
    message_expression: Option<Expression>,
    reason: Reason,
}

#[derive(Debug)]
struct Annotation {
    key: String,
    value: Expression,
}

/// Why a write is refused, as a code and a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Reason {
    #[default]
    Invalid,
    Forbidden,
    TooLarge,
}

impl Reason {
    fn of(validation: &Value) -> Self {
        match validation.text("reason") {
            "Forbidden" => Self::Forbidden,
            "RequestEntityTooLarge" => Self::TooLarge,
            _ => Self::Invalid,
        }
    }

    /// The HTTP status and the reason in a Status.
    pub(super) fn code(self) -> (u16, &'static str) {
        match self {
            Self::Invalid => (422, "Invalid"),
            Self::Forbidden => (403, "Forbidden"),
            Self::TooLarge => (413, "RequestEntityTooLarge"),
        }
    }
}

/// That a policy is not met.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Denial {
    /// The place of the validation in the policy.
    pub(super) index: usize,
    pub(super) reason: Reason,
    pub(super) message: String,
    /// Whether the expression was evaluated; otherwise the message says why it was not.
    pub(super) evaluated: bool,
}

impl Denial {
    /// The kind of error that it is, as metrics call it.
    pub(super) fn error_type(&self) -> &'static str {
        if self.evaluated { "no_error" } else { error_type(&self.message) }
    }
}

/// The kind of an error that says this, as metrics call it.
pub(super) fn error_type(why: &str) -> &'static str {
    match why {
        _ if why.starts_with("compilation") => "compile_error",
        _ if why.starts_with(SPENT) => "out_of_budget",
        _ => "invalid_error",
    }
}

/// What a policy says of a write.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// What is not met; whether it counts, the binding says.
    pub(super) denials: Vec<Denial>,
    /// What cannot be evaluated and refuses the write whatever the binding says.
    pub(super) broken: Vec<String>,
    /// What the audit log is told, by key.
    pub(super) annotations: Vec<(String, String)>,
}

impl Verdict {
    fn error(fail: FailurePolicy, message: String) -> Self {
        let denials = match fail {
            FailurePolicy::Fail => {
                vec![Denial { index: 0, reason: Reason::Invalid, message, evaluated: false }]
            }
            FailurePolicy::Ignore => Vec::new(),
        };
        Self { denials, ..Self::default() }
    }
}

impl Policy {
    /// Compiles a policy.
    pub(super) fn compile(policy: &Value) -> Self {
        let (common, compiler) = Common::compile(policy);
        let validations = policy.items("spec.validations").iter();
        let annotations = policy.items("spec.auditAnnotations").iter();
        Self {
            common,
            validations: validations.map(|v| Validation::compile(v, &compiler)).collect(),
            annotations: annotations
                .map(|annotation| Annotation {
                    key: annotation.text("key").to_owned(),
                    value: Expression::new(&compiler, annotation.text("valueExpression"), Yields::Annotation),
                })
                .collect(),
        }
    }

    /// Decides about a write.
    pub(super) fn judge(&self, input: Input<'_>) -> Verdict {
        let Common { fail, variables, conditions, .. } = &self.common;
        match conditions.hold_with(input, variables, *fail) {
            Ok(true) => {}
            Ok(false) => return Verdict::default(),
            Err(why) => return Verdict::error(*fail, why),
        }
        let evaluation = Evaluation::new(input, variables, BUDGET);
        let mut verdict = Verdict::default();
        for (index, validation) in self.validations.iter().enumerate() {
            match validation.judge(&evaluation, *fail, index) {
                Ok(denial) => verdict.denials.extend(denial),
                Err(spent) => return Verdict::error(*fail, spent),
            }
        }
        if !self.annotations.is_empty() {
            self.annotate(input, &mut verdict);
        }
        verdict
    }

    fn annotate(&self, input: Input<'_>, verdict: &mut Verdict) {
        let Common { fail, variables, .. } = &self.common;
        let evaluation = Evaluation::new(input, variables, BUDGET);
        for Annotation { key, value } in &self.annotations {
            let outcome = match evaluation.run(value) {
                Ok(outcome) => outcome,
                Err(spent) => {
                    *verdict = Verdict::error(*fail, spent.to_string());
                    return;
                }
            };
            match outcome {
                Ok(Cel::String(text)) if !text.trim().is_empty() => {
                    verdict.annotations.push((key.clone(), text.trim().to_owned()));
                }
                Err(why) if *fail == FailurePolicy::Fail => verdict.broken.push(why),
                Ok(_) | Err(_) => {}
            }
        }
    }
}

impl Validation {
    fn compile(validation: &Value, compiler: &Compiler) -> Self {
        let message = validation.text("messageExpression");
        Self {
            condition: Expression::new(compiler, validation.text("expression"), Yields::Truth),
            message: validation.text("message").trim().to_owned(),
            message_expression: (!message.is_empty())
                .then(|| Expression::new(compiler, message, Yields::Message)),
            reason: Reason::of(validation),
        }
    }

    /// Why a write does not meet the validation, if it does not; the error says that evaluating cost too much.
    fn judge<'a>(
        &'a self,
        evaluation: &Evaluation<'a>,
        fail: FailurePolicy,
        index: usize,
    ) -> Result<Option<Denial>, String> {
        let refused = |message| {
            let denial = Denial { index, reason: Reason::Invalid, message, evaluated: false };
            (fail == FailurePolicy::Fail).then_some(denial)
        };
        match evaluation.run(&self.condition) {
            Err(spent) => Err(spent.to_string()),
            Ok(Err(why)) => Ok(refused(why)),
            Ok(Ok(value)) if value.as_bool() == Some(true) => Ok(None),
            Ok(Ok(_)) => Ok(match self.message(evaluation) {
                Ok(message) => Some(Denial { index, reason: self.reason, message, evaluated: true }),
                Err(why) => refused(why),
            }),
        }
    }

    fn message<'a>(&'a self, evaluation: &Evaluation<'a>) -> Result<String, String> {
        if let Some(expression) = &self.message_expression {
            let made = evaluation.run(expression).map_err(|e| format!("failed messageExpression: {e}"))?;
            if let Ok(Cel::String(text)) = made
                && !text.trim().is_empty()
                && text.trim().len() <= MAX_MESSAGE
                && !text.trim().contains('\n')
            {
                return Ok(text.trim().to_owned());
            }
        }
        if self.message.is_empty() {
            return Ok(format!("failed expression: {}", self.condition.text.trim()));
        }
        Ok(self.message.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;
    use wherry_schema::Value;

    use super::{Denial, Policy, Reason, Verdict};
    use crate::admission::policy::input::Input;
    use crate::authorize::Authorizer;

    fn judge(spec: &serde_json::Value) -> Verdict {
        let read =
            |json: &serde_json::Value| Value::from_json(json.to_string().as_bytes()).expect("it is JSON");
        let policy = Policy::compile(&read(&json!({"metadata": {"name": "p"}, "spec": spec})));
        let (object, request) = (read(&json!({"a": 1, "text": " b "})), Value::object());
        let authorizer = Arc::new(Authorizer::lenient());
        policy.judge(Input {
            authorizer: &authorizer,
            user: None,
            object: Some(&object),
            old_object: None,
            request: &request,
            namespace: None,
            params: None,
        })
    }

    fn denial(index: usize, message: &str) -> Denial {
        Denial { index, reason: Reason::Invalid, message: message.to_owned(), evaluated: true }
    }

    fn error(message: &str) -> Denial {
        Denial { evaluated: false, ..denial(0, message) }
    }

    #[test]
    fn messages_fall_back_to_what_is_there() {
        let verdict = judge(&json!({"validations": [
            {"expression": "object.a == 2", "messageExpression": "'a is ' + string(object.a)", "message": "other"},
            {"expression": "object.a == 2", "messageExpression": "string(object.nope)", "message": " plain "},
            {"expression": "object.a == 2", "messageExpression": "'two\\nlines'"},
            {"expression": "object.a == 1"},
        ]}));
        let expected =
            [denial(0, "a is 1"), denial(1, "plain"), denial(2, "failed expression: object.a == 2")];
        assert_eq!(verdict.denials, expected);
    }

    #[test]
    fn annotations_are_texts_or_nothing() {
        let verdict = judge(&json!({"auditAnnotations": [
            {"key": "text", "valueExpression": "string(object.text)"},
            {"key": "none", "valueExpression": "null"},
            {"key": "empty", "valueExpression": "' '"},
            {"key": "broken", "valueExpression": "string(object.nope)"},
        ]}));
        assert_eq!(verdict.annotations, [("text".to_owned(), "b".to_owned())]);
        let why = "expression 'string(object.nope)' resulted in error: no such key: nope";
        assert_eq!(verdict.broken, [why]);
    }

    #[test]
    fn what_cannot_be_evaluated_is_left_to_the_failure_policy() {
        let spec = |policy: &str| {
            json!({
                "failurePolicy": policy,
                "matchConditions": [{"name": "c", "expression": "object.a == 1 || object.nope == 1"}],
                "validations": [{"expression": "object.nope == 1"}],
                "auditAnnotations": [{"key": "k", "valueExpression": "string(object.nope)"}],
            })
        };
        assert_eq!(judge(&spec("Ignore")), Verdict::default());
        assert_eq!(judge(&spec("Fail")).denials.len(), 1);
        let mut unmatched = spec("Fail");
        unmatched["matchConditions"][0]["expression"] = "object.a == 2".into();
        assert_eq!(judge(&unmatched), Verdict::default());
        unmatched["matchConditions"][0]["expression"] = "object.b == 2".into();
        let why = "expression 'object.b == 2' resulted in error: no such key: b";
        assert_eq!(judge(&unmatched).denials, [error(why)]);
    }

    #[test]
    fn expressions_share_a_budget() {
        let check = "authorizer.path('/x').check('get').allowed()";
        let costly = format!("{check} && {check}");
        let validation = json!({"expression": costly});
        let spent =
            "validation failed due to running out of cost budget, no further validation rules will be run";
        let many: Vec<_> = std::iter::repeat_n(validation, 30).collect();
        assert_eq!(judge(&json!({"validations": many})).denials, [error(spent)]);
        assert!(judge(&json!({"validations": &many[..14]})).denials.is_empty());
    }
}
