//! Holding values to rules: within a budget for all of them, and letting through what was wrong before.

use wherry_cel::{Error, Program, Value as Cel, Variables};
use wherry_schema::Value;
use wherry_schema::structural::{ListType, MapType, Structural};

use super::Rules;
use super::compile::Compiled;
use crate::custom::values::old_item;
use crate::validation::{Errors, Path, Shown};

/// What all rules of an object together may cost.
const BUDGET: u64 = 10_000_000;
/// What one rule may cost.
const PER_RULE: u64 = 1_000_000;
/// The most bytes of a message that an expression makes.
const LONGEST_MESSAGE: usize = 5 * 1024;

/// That the budget is spent, or something else ended the evaluation of all rules.
struct Stop;

/// A value, what it was before, and the closest value around it (or itself) that can be told to be what it was.
#[derive(Clone, Copy)]
struct Place<'v> {
    value: &'v Value,
    old: Option<&'v Value>,
    nearest: Option<(&'v Value, &'v Value)>,
}

impl<'v> Place<'v> {
    fn inner(self, value: &'v Value, old: Option<&'v Value>) -> Self {
        Self { value, old, nearest: old.map(|old| (value, old)).or(self.nearest) }
    }

    /// Whether what is wrong here was wrong before.
    fn is_unchanged(self) -> bool {
        self.nearest.is_some_and(|(value, old)| value == old)
    }
}

/// What expressions call `self` and `oldSelf`.
struct Named<'v> {
    own: Cel<'v>,
    old: Option<Cel<'v>>,
}

impl<'v> Variables<'v> for Named<'v> {
    fn get(&self, name: &str) -> Option<Result<Cel<'v>, Error>> {
        match name {
            "self" => Some(Ok(self.own.clone())),
            "oldSelf" => self.old.clone().map(Ok),
            _ => None,
        }
    }
}

/// The evaluation of the rules of one object.
struct Evaluation<'e> {
    left: u64,
    errors: &'e mut Errors,
}

impl Rules {
    /// Reports the rules that a value breaks.
    pub(crate) fn check(
        &self,
        schema: &Structural,
        (value, old): (&Value, Option<&Value>),
        path: &Path,
        errors: &mut Errors,
    ) {
        let place = Place { value, old, nearest: old.map(|old| (value, old)) };
        // Having stopped has been reported already.
        let _ = Evaluation { left: BUDGET, errors }.visit(self, schema, place, path);
    }
}

impl Evaluation<'_> {
    fn visit(
        &mut self,
        rules: &Rules,
        schema: &Structural,
        place: Place<'_>,
        path: &Path,
    ) -> Result<(), Stop> {
        if place.value.is_null() {
            return Ok(());
        }
        self.own(rules, schema, place, path)?;
        match place.value {
            Value::Array(items) => {
                if let (Some(rules), Some(schema_of_items)) = (&rules.items, &schema.items) {
                    for (index, item) in items.iter().enumerate() {
                        let keyed = matches!(schema.list_type, ListType::Map(_));
                        let old =
                            place.old.filter(|_| keyed).and_then(|old| old_item(schema, old, index, item));
                        self.visit(rules, schema_of_items, place.inner(item, old), &path.index(index))?;
                    }
                }
            }
            Value::Object(fields) => {
                let before = place.old.filter(|_| schema.map_type == MapType::Granular);
                for (name, value) in fields.iter() {
                    let (rules, at) = match (rules.properties.get(name.as_str()), &rules.additional) {
                        (Some(rules), _) => (rules, path.child(name)),
                        (None, Some(rules)) if !schema.properties.contains_key(name.as_str()) => {
                            (&**rules, path.key(name))
                        }
                        _ => continue,
                    };
                    let Some(inner) = schema.field(name) else { continue };
                    let old = before.and_then(|old| old.get(name));
                    self.visit(rules, inner, place.inner(value, old), &at)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn own(&mut self, rules: &Rules, schema: &Structural, place: Place<'_>, path: &Path) -> Result<(), Stop> {
        for compiled in &rules.own {
            let optional = compiled.rule.optional_old == Some(true);
            if !(compiled.uses_old && place.old.is_none() && !optional) {
                self.rule(compiled, rules, (schema, place), path)?;
            }
        }
        Ok(())
    }

    /// Refuses the value for a reason that is not the value's.
    fn fail(&mut self, schema: &Structural, path: &Path, detail: &str) {
        let kind = super::definition::type_name(schema);
        self.errors.invalid(&shown(path), kind, detail);
    }

    fn rule(
        &mut self,
        compiled: &Compiled,
        rules: &Rules,
        (schema, place): (&Structural, Place<'_>),
        path: &Path,
    ) -> Result<(), Stop> {
        let program = match &compiled.program {
            Ok(program) => program,
            Err(problem) => {
                self.fail(schema, path, &format!("rule compile error: {problem}"));
                return Ok(());
            }
        };
        let optional = compiled.rule.optional_old == Some(true);
        match self.run(program, rules, place, optional) {
            Err(OutOfBudget) => {
                let detail = "validation failed due to running out of cost budget, no further validation rules will be run";
                self.fail(schema, path, detail);
                Err(Stop)
            }
            Ok(Ok(Cel::Bool(true))) => Ok(()),
            Ok(Ok(_)) => self.broken(compiled, rules, (schema, place), path),
            Ok(Err(error @ Error::NoSuchOverload(_))) => {
                let detail = format!(
                    "'{error}': call arguments did not match a supported operator, function or macro signature for rule: {}",
                    compiled.name()
                );
                self.fail(schema, path, &detail);
                Ok(())
            }
            Ok(Err(error @ Error::CostLimit)) => {
                let detail = format!(
                    "'{error}': no further validation rules will be run due to call cost exceeds limit for rule: {}",
                    compiled.name()
                );
                self.fail(schema, path, &detail);
                Err(Stop)
            }
            Ok(Err(error)) => {
                self.fail(schema, path, &format!("{error} evaluating rule: {}", compiled.name()));
                Ok(())
            }
        }
    }

    /// Evaluates an expression over a value and what it was before.
    fn run<'a>(
        &mut self,
        program: &'a Program,
        rules: &'a Rules,
        place: Place<'a>,
        optional: bool,
    ) -> Result<Result<Cel<'a>, Error>, OutOfBudget> {
        let view = |value: &'a Value| Cel::view(value, Some(&*rules.decl));
        let own = match view(place.value) {
            Ok(own) => own,
            Err(error) => return Ok(Err(error)),
        };
        let old = match place.old.map(view).transpose() {
            Ok(old) if optional => Some(old.map_or(Cel::Optional(None), Cel::some)),
            Ok(old) => old,
            Err(error) => return Ok(Err(error)),
        };
        let evaluation = program.evaluate(&Named { own, old }, PER_RULE);
        self.left = self.left.checked_sub(evaluation.cost).ok_or(OutOfBudget)?;
        Ok(evaluation.result)
    }

    /// Reports a broken rule, unless the value broke it before.
    fn broken(
        &mut self,
        compiled: &Compiled,
        rules: &Rules,
        (schema, place): (&Structural, Place<'_>),
        path: &Path,
    ) -> Result<(), Stop> {
        let forgiven = !compiled.uses_old && place.is_unchanged();
        let blamed = match &compiled.blamed {
            Some(field) => path.child(field),
            None => path.clone(),
        };
        let detail = match self.message(compiled, rules, place) {
            Ok(message) => message.unwrap_or_else(|| compiled.said()),
            Err(detail) => {
                if !forgiven {
                    self.fail(schema, &blamed, &detail);
                }
                return Err(Stop);
            }
        };
        if forgiven {
            return Ok(());
        }
        let (at, errors) = (shown(&blamed), &mut *self.errors);
        let holds_more = matches!(place.value, Value::Object(_) | Value::Array(_));
        match compiled.rule.reason.as_deref() {
            Some("FieldValueForbidden") => errors.forbidden(&at, &detail),
            Some("FieldValueRequired") => errors.required(&at, &detail),
            Some("FieldValueDuplicate") if holds_more => errors.duplicate_without_value(&at),
            Some("FieldValueDuplicate") => errors.duplicate(&at, place.value),
            _ if holds_more => errors.invalid_without_value(&at, &detail),
            _ => errors.invalid(&at, Shown::from(place.value), &detail),
        }
        Ok(())
    }

    /// What the rule's own expression says, if it has one that says something.
    fn message(
        &mut self,
        compiled: &Compiled,
        rules: &Rules,
        place: Place<'_>,
    ) -> Result<Option<String>, String> {
        let Some(Ok(program)) = &compiled.message else { return Ok(None) };
        let text = &compiled.rule.message_expression;
        match self.run(program, rules, place, false) {
            Err(OutOfBudget) => {
                Err("messageExpression evaluation failed due to running out of cost budget, no further \
                                     validation rules will be run"
                    .to_owned())
            }
            Ok(Err(Error::CostLimit)) => Err(format!(
                "no further validation rules will be run due to call cost exceeds limit for messageExpression: {text:?}"
            )),
            Ok(Ok(said)) => {
                let said = said.as_str().unwrap_or_default().trim();
                let fits = !said.is_empty() && said.len() <= LONGEST_MESSAGE && !said.contains('\n');
                Ok(fits.then(|| said.to_owned()))
            }
            Ok(Err(_)) => Ok(None),
        }
    }
}

/// That nothing is left of the budget.
struct OutOfBudget;

/// The object itself has no path, which upstream shows so.
pub(crate) fn shown(path: &Path) -> Path {
    if path.is_empty() { Path::new("<nil>") } else { path.clone() }
}
