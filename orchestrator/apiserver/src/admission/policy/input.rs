//! [`Input`]: what expressions are told of a write; and [`Evaluation`], which evaluates the expressions of one policy
//! over it, its variables once each and only when they are asked for.

use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use std::sync::Arc;

use wherry_cel::{Error, Fields as Computed, Map, Program, Resource, Value as Cel, Variables};
use wherry_schema::Value;

use super::asker::Asker;
use super::expression::{Expression, Variable};
use super::namespace::Part;
use crate::auth::UserInfo;
use crate::authorize::Authorizer;
use crate::object::Fields;

/// What one expression may cost.
const PER_EXPRESSION: u64 = 1_000_000;
/// What the expressions of a policy may cost together.
pub(crate) const BUDGET: u64 = 10_000_000;

/// What expressions are told of a write. What is not there is null to them.
#[derive(Clone, Copy)]
pub(crate) struct Input<'a> {
    /// Answers what expressions ask about who may do what.
    pub(crate) authorizer: &'a Arc<Authorizer>,
    /// Who writes.
    pub(crate) user: Option<&'a UserInfo>,
    /// What is written.
    pub(crate) object: Option<&'a Value>,
    /// What was there before.
    pub(crate) old_object: Option<&'a Value>,
    /// The request, as an AdmissionReview would have it, without the objects.
    pub(crate) request: &'a Value,
    /// The namespace it is written to.
    pub(crate) namespace: Option<&'a Value>,
    /// The parameters of the policy.
    pub(crate) params: Option<&'a Value>,
}

/// The resource of a request, to ask about who may do what with it.
fn resource(request: &Value) -> Resource {
    let text = |path: &str| request.text(path).to_owned();
    Resource {
        group: text("requestResource.group"),
        resource: text("requestResource.resource"),
        subresource: text("requestSubResource"),
        namespace: text("namespace"),
        name: text("name"),
        ..Resource::default()
    }
}

/// That a policy's expressions cost too much together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("validation failed due to running out of cost budget, no further validation rules will be run")]
pub(crate) struct OutOfBudget;

/// What an expression came to; the error says why to nothing.
pub(crate) type Outcome<'a> = Result<Cel<'a>, String>;

/// The expressions of one policy being evaluated over one input.
pub(crate) struct Evaluation<'a> {
    scope: Rc<Scope<'a>>,
    budget: Cell<u64>,
}

struct Scope<'a> {
    input: Input<'a>,
    variables: &'a [Variable],
    known: RefCell<Vec<Option<Result<Cel<'a>, Error>>>>,
    /// What variables cost that nobody has paid for yet.
    owed: Cell<u64>,
    this: Weak<Scope<'a>>,
}

impl<'a> Evaluation<'a> {
    /// Evaluates expressions that may name these variables and cost so much together.
    pub(crate) fn new(input: Input<'a>, variables: &'a [Variable], budget: u64) -> Self {
        let scope = Rc::new_cyclic(|this| Scope {
            input,
            variables,
            known: RefCell::new(vec![None; variables.len()]),
            owed: Cell::new(0),
            this: Weak::clone(this),
        });
        Self { scope, budget: Cell::new(budget) }
    }

    /// Evaluates an expression.
    pub(crate) fn run(&self, expression: &'a Expression) -> Result<Outcome<'a>, OutOfBudget> {
        let program = match &expression.program {
            Ok(program) => program,
            Err(why) => return Ok(Err(format!("compilation error: {why}"))),
        };
        let (result, cost) = self.scope.evaluate(program);
        let cost = cost.saturating_add(self.scope.owed.take());
        self.budget.set(self.budget.get().checked_sub(cost).ok_or(OutOfBudget)?);
        Ok(result.map_err(|why| format!("expression '{}' resulted in error: {why}", expression.text)))
    }
}

impl<'a> Scope<'a> {
    fn evaluate(&self, program: &'a Program) -> (Result<Cel<'a>, Error>, u64) {
        let evaluated = program.evaluate(self, PER_EXPRESSION);
        (evaluated.result, evaluated.cost)
    }

    fn variable(&self, at: usize) -> Result<Cel<'a>, Error> {
        if let Some(known) = &self.known.borrow()[at] {
            return known.clone();
        }
        let Variable { name, program } = &self.variables[at];
        let result = match program {
            Err(why) => Err(Error::other(format!("composited variable {name:?} fails to compile: {why}"))),
            Ok(program) => {
                let (result, cost) = self.evaluate(program);
                self.owed.set(self.owed.get().saturating_add(cost));
                let told =
                    |why| Error::other(format!("composited variable {name:?} fails to evaluate: {why}"));
                result.map_err(told)
            }
        };
        self.known.borrow_mut()[at] = Some(result.clone());
        result
    }

    fn asker(&self) -> Rc<Asker> {
        Rc::new(Asker::new(self.input.authorizer, self.input.user))
    }
}

fn read(value: Option<&Value>) -> Result<Cel<'_>, Error> {
    value.map_or(Ok(Cel::Null), |value| Cel::view(value, None))
}

impl<'a> Variables<'a> for Scope<'a> {
    fn get(&self, name: &str) -> Option<Result<Cel<'a>, Error>> {
        Some(match name {
            "object" => read(self.input.object),
            "oldObject" => read(self.input.old_object),
            "request" => read(Some(self.input.request)),
            "namespaceObject" => match self.input.namespace {
                Some(namespace) => Cel::view(namespace, Some(&Part::Whole)),
                None => Ok(Cel::Null),
            },
            "params" => read(self.input.params),
            "variables" => Ok(Cel::Map(Map::Fields(Rc::new(Composed(Weak::clone(&self.this)))))),
            "authorizer" => Ok(Cel::authorizer(self.asker())),
            "authorizer.requestResource" => {
                Ok(Cel::resource_check(self.asker(), resource(self.input.request)))
            }
            _ => return None,
        })
    }
}

/// The variables of a policy as one value. They are there as long as it is being evaluated.
struct Composed<'a>(Weak<Scope<'a>>);

impl<'a> Computed<'a> for Composed<'a> {
    fn field(&self, name: &str) -> Option<Result<Cel<'a>, Error>> {
        let scope = self.0.upgrade()?;
        let at = scope.variables.iter().rposition(|variable| variable.name == name)?;
        Some(scope.variable(at))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use wherry_schema::Value;

    use super::{Evaluation, Input};
    use crate::admission::policy::expression::{Compiler, Expression, Variable, Yields};
    use crate::auth::UserInfo;
    use crate::authorize::Authorizer;

    const REQUEST: &str = r#"{"operation":"CREATE","name":"n","namespace":"ns","userInfo":{"username":"u"}}"#;

    const NAMESPACE: &str = r#"{"metadata":{"name":"ns","uid":"u","creationTimestamp":"2024-01-02T03:04:05Z",
        "managedFields":[]},"status":{"conditions":[{"lastTransitionTime":"2024-01-02T03:04:05Z"}]}}"#;

    /// The result of a condition with these variables, or why there is none.
    fn outcome(text: &str, variables: &[(&str, &str)], budget: u64) -> Result<Option<bool>, String> {
        let mut compiler = Compiler::composing(true);
        let variables: Vec<Variable> =
            variables.iter().map(|(name, text)| Variable::new(&mut compiler, name, text)).collect();
        let expression = Expression::new(&compiler, text, Yields::Truth);
        let (authorizer, user) = (Arc::new(Authorizer::lenient()), UserInfo::new("u", &[]));
        let read = |text: &str| Value::from_json(text.as_bytes()).expect("it is JSON");
        let (object, request) = (read(r#"{"data":{"a":"bad"}}"#), read(REQUEST));
        let namespace = read(NAMESPACE);
        let input = Input {
            authorizer: &authorizer,
            user: Some(&user),
            object: Some(&object),
            old_object: None,
            request: &request,
            namespace: Some(&namespace),
            params: None,
        };
        let evaluation = Evaluation::new(input, &variables, budget);
        match evaluation.run(&expression) {
            Ok(outcome) => outcome.map(|value| value.as_bool()),
            Err(spent) => Err(spent.to_string()),
        }
    }

    #[test]
    fn expressions_are_told_of_the_write() {
        for text in [
            "object.data.a == 'bad' && oldObject == null && params == null && namespaceObject != null",
            "namespaceObject.metadata.name == 'ns' && namespaceObject.metadata.UID == 'u'",
            "namespaceObject.metadata.creationTimestamp < timestamp('2024-01-03T00:00:00Z')",
            "namespaceObject.status.conditions.all(c, c.lastTransitionTime.getFullYear() == 2024)",
            "!has(dyn(namespaceObject.metadata).managedFields)",
            "request.userInfo.username == 'u' && request.operation == 'CREATE' && !has(request.subResource)",
            "authorizer.requestResource.check('get').allowed()",
            "authorizer.serviceAccount('ns', 'sa').path('/healthz').check('get').allowed()",
        ] {
            assert_eq!(outcome(text, &[], super::BUDGET), Ok(Some(true)), "{text}");
        }
        assert_eq!(
            outcome("object.data.zzz == 'x'", &[], super::BUDGET),
            Err("expression 'object.data.zzz == 'x'' resulted in error: no such key: zzz".to_owned())
        );
        let error = outcome("nope", &[], super::BUDGET).expect_err("it does not compile");
        assert!(error.starts_with("compilation error: compilation failed: ERROR: <input>:1:1:"), "{error}");
    }

    #[test]
    fn variables_are_evaluated_when_asked_for() {
        let variables = [("a", "object.data.a"), ("b", "variables.a + '!'"), ("broken", "object.nope")];
        assert_eq!(outcome("variables.b == 'bad!'", &variables, super::BUDGET), Ok(Some(true)));
        assert_eq!(
            outcome("variables.broken == 1", &variables, super::BUDGET),
            Err("expression 'variables.broken == 1' resulted in error: composited variable \"broken\" fails to \
                 evaluate: no such key: nope"
                .to_owned())
        );
    }

    #[test]
    fn variables_cost_once_and_the_budget_is_for_all() {
        let text = "variables.b && variables.b";
        let variables = [("b", "object.data.a.size() > 1 && object.data.a.size() > 2")];
        let spent = (1..100).find(|budget| outcome(text, &variables, *budget) == Ok(Some(true)));
        let budget = spent.expect("the expression is cheap");
        let error = outcome(text, &variables, budget - 1).expect_err("the budget is too small");
        assert!(error.contains("running out of cost budget"), "{error}");
        assert!(outcome("variables.b", &variables, budget - 1).is_ok(), "the variable is paid for once");
    }
}
