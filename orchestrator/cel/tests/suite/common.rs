//! What the tests share: expressions that have to hold, and those that have to fail with a text.

use wherry_cel::{Env, Value};

/// The limit of the tests, as that of one call in Kubernetes.
pub(crate) const LIMIT: u64 = 1_000_000;

/// Evaluates to the text of an error, or of the value.
pub(crate) fn outcome(env: &Env, text: &str) -> String {
    let program = match env.compile(text) {
        Ok(program) => program,
        Err(issues) => return issues.to_string(),
    };
    match program.evaluate(&[] as &[(&str, Value<'_>); 0], LIMIT).result {
        Ok(Value::Bool(truth)) => truth.to_string(),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("error: {error}"),
    }
}

/// Every expression, one a line, is true.
#[track_caller]
pub(crate) fn hold(env: &Env, expressions: &str) {
    for text in expressions.lines().map(str::trim).filter(|line| !line.is_empty()) {
        assert_eq!(outcome(env, text), "true", "{text}");
    }
}

/// Every expression evaluates to its error.
#[track_caller]
pub(crate) fn fail(env: &Env, cases: &[(&str, &str)]) {
    for (text, error) in cases {
        assert_eq!(outcome(env, text), format!("error: {error}"), "{text}");
    }
}
