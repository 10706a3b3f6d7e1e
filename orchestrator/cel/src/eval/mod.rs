//! Running steps over the caller's variables, counting what it costs.

mod access;
mod fold;
mod plan;
mod step;

use std::rc::Rc;

use indexmap::IndexMap;

pub(crate) use plan::plan;
pub(crate) use step::Step;

use crate::cost;
use crate::error::Error;
use crate::syntax::ast::Literal;
use crate::value::{Entries, Key, Map, Message, Value, equal};
use step::{Call, Pattern, Target};

/// What evaluating gave and what it cost.
#[derive(Clone, Debug)]
pub struct Evaluation<'a> {
    /// The value.
    pub result: Result<Value<'a>, Error>,
    /// What it cost.
    pub cost: u64,
}

/// The caller's variables.
pub trait Variables<'a> {
    /// The value of a variable, computed when it is asked for.
    fn get(&self, name: &str) -> Option<Result<Value<'a>, Error>>;
}

impl<'a> Variables<'a> for [(&str, Value<'a>)] {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, Error>> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| Ok(value.clone()))
    }
}

impl<'a, const N: usize> Variables<'a> for [(&str, Value<'a>); N] {
    fn get(&self, name: &str) -> Option<Result<Value<'a>, Error>> {
        Variables::get(self.as_slice(), name)
    }
}

/// Runs a program's step.
pub(crate) fn run<'a>(step: &'a Step, variables: &dyn Variables<'a>, limit: u64) -> Evaluation<'a> {
    let mut machine = Machine { variables, locals: Vec::new(), cost: 0, limit };
    let result = machine.run(step);
    Evaluation { result, cost: machine.cost }
}

type Outcome<'a> = Result<Value<'a>, Error>;

struct Machine<'a, 'v> {
    variables: &'v dyn Variables<'a>,
    /// The variables of the macros around. An accumulator may hold an error that a later item absorbs.
    locals: Vec<Outcome<'a>>,
    cost: u64,
    limit: u64,
}

impl<'a> Machine<'a, '_> {
    fn charge(&mut self, cost: u64) -> Result<(), Error> {
        self.cost = self.cost.saturating_add(cost);
        if self.cost > self.limit { Err(Error::CostLimit) } else { Ok(()) }
    }

    fn run(&mut self, step: &'a Step) -> Outcome<'a> {
        match step {
            Step::Constant(literal) => Ok(Value::constant(literal)),
            Step::Constants(items) => Ok(Value::list(items.iter().map(Value::constant).collect())),
            Step::Type(of) => {
                self.charge(1)?;
                Ok(Value::Type(of.clone()))
            }
            Step::Variable(name) => {
                self.charge(1)?;
                self.variables.get(name).unwrap_or_else(|| Err(Error::NoSuchVariable((**name).to_owned())))
            }
            Step::Local(place) => {
                self.charge(1)?;
                self.locals[*place].clone()
            }
            Step::Select { operand, field } => self.select(operand, field),
            Step::Has { operand, field } => self.has(operand, field),
            Step::OptionalSelect { operand, field } => self.optional_select(operand, field),
            Step::Index { operand, index, optional } => self.index(operand, index, *optional),
            Step::And(sides) => self.logical(sides, false),
            Step::Or(sides) => self.logical(sides, true),
            Step::Conditional(parts) => self.conditional(parts),
            Step::NotFalse(inner) => self.not_false(inner),
            Step::OneOf(item, constants) => self.one_of(item, constants),
            Step::Matches(text, pattern) => self.matches(text, pattern),
            Step::Call(call) => self.call(call),
            Step::List(items) => self.list(items),
            Step::Map(entries) => self.map(entries),
            Step::Message { .. } => self.message(step),
            Step::Fold(fold) => self.fold(fold),
            Step::OrElse { sides, unwrap } => self.or_else(sides, *unwrap),
            Step::Bind(parts) => self.bind(parts),
            Step::Append { accumulator, item } => self.append(*accumulator, item),
            Step::Insert { accumulator, entry } => self.insert(*accumulator, entry),
        }
    }

    /// `&&` and `||`: `decisive` on either side decides, whatever the other side is.
    fn logical(&mut self, sides: &'a [Step; 2], decisive: bool) -> Outcome<'a> {
        let mut problem = None;
        for side in sides {
            match self.run(side) {
                Ok(Value::Bool(truth)) if truth == decisive => return Ok(Value::Bool(decisive)),
                Ok(Value::Bool(_)) => {}
                Err(Error::CostLimit) => return Err(Error::CostLimit),
                Err(error) => problem = problem.or(Some(error)),
                Ok(_) => problem = problem.or_else(|| Some(Error::no_overload())),
            }
        }
        problem.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    fn conditional(&mut self, parts: &'a [Step; 3]) -> Outcome<'a> {
        let [condition, truthy, falsy] = parts;
        match self.run(condition)? {
            Value::Bool(true) => self.run(truthy),
            Value::Bool(false) => self.run(falsy),
            _ => Err(Error::no_overload()),
        }
    }

    fn not_false(&mut self, inner: &'a Step) -> Outcome<'a> {
        let outcome = self.run(inner);
        if matches!(outcome, Err(Error::CostLimit)) {
            return outcome;
        }
        self.charge(1)?;
        Ok(Value::Bool(!matches!(outcome, Ok(Value::Bool(false)))))
    }

    fn one_of(&mut self, item: &'a Step, constants: &'a [Literal]) -> Outcome<'a> {
        let item = self.run(item)?;
        for constant in constants {
            let found = match (&item, constant) {
                (Value::String(item), Literal::String(text)) => **item == **text,
                _ => equal(&item, &Value::constant(constant))?,
            };
            if found {
                return Ok(Value::Bool(true));
            }
        }
        Ok(Value::Bool(false))
    }

    fn matches(&mut self, text: &'a Step, pattern: &'a Pattern) -> Outcome<'a> {
        let Value::String(text) = self.run(text)? else { return Err(Error::no_overload()) };
        let traversal = cost::actual::scaled(text.chars().count() as u64 + 1, cost::TRAVERSAL);
        self.charge(traversal.saturating_mul(pattern.cost))?;
        Ok(Value::Bool(pattern.regex.is_match(&text)))
    }

    fn call(&mut self, call: &'a Call) -> Outcome<'a> {
        match &*call.args {
            [a] => {
                let args = [self.run(a)?];
                self.apply(call, &args)
            }
            [a, b] => {
                let args = [self.run(a)?, self.run(b)?];
                self.apply(call, &args)
            }
            args => {
                let args = args.iter().map(|arg| self.run(arg)).collect::<Result<Vec<_>, _>>()?;
                self.apply(call, &args)
            }
        }
    }

    fn apply(&mut self, call: &'a Call, args: &[Value<'a>]) -> Outcome<'a> {
        let implementation = match &call.target {
            Target::Known(implementation) => *implementation,
            Target::Any(overloads) => {
                let fitting = overloads
                    .iter()
                    .find(|overload| overload.params.iter().zip(args).all(|(param, arg)| arg.fits(param)));
                fitting.ok_or_else(|| Error::no_overload_of(call.function, args))?.call
            }
        };
        let result = implementation(args).map_err(|error| match error {
            Error::NoSuchOverload(of)
                if of.is_empty() && !call.function.starts_with(['_', '!', '-', '@']) =>
            {
                Error::no_overload_of(call.function, args)
            }
            other => other,
        })?;
        self.charge((call.price)(args, &result))?;
        Ok(result)
    }

    fn list(&mut self, items: &'a [(Step, bool)]) -> Outcome<'a> {
        let mut values = Vec::with_capacity(items.len());
        for (item, optional) in items {
            let value = self.run(item)?;
            values.extend(present(value, *optional)?);
        }
        self.charge(cost::LIST)?;
        Ok(Value::list(values))
    }

    fn map(&mut self, items: &'a [(Step, Step, bool)]) -> Outcome<'a> {
        let mut entries = Entries::with_capacity(items.len());
        for (key, value, optional) in items {
            let key = Key::try_from(self.run(key)?)?;
            let value = self.run(value)?;
            let Some(value) = present(value, *optional)? else { continue };
            if entries.contains_key(&key) {
                return Err(Error::other(format!(
                    "Failed with repeated key: {}",
                    access::shown(&key.into())
                )));
            }
            entries.insert(key, value);
        }
        self.charge(cost::MAP)?;
        Ok(Value::Map(Map::Entries(Rc::new(entries))))
    }

    fn message(&mut self, step: &'a Step) -> Outcome<'a> {
        let Step::Message { name, fields } = step else { return Err(Error::no_overload()) };
        let mut made = IndexMap::with_capacity(fields.len());
        for (field, value, optional) in fields {
            let value = self.run(value)?;
            if let Some(value) = present(value, *optional)? {
                made.insert(field.clone(), value);
            }
        }
        self.charge(cost::MESSAGE)?;
        Ok(Value::Message(Rc::new(Message { name: name.clone(), fields: made })))
    }
}

/// What a part of a literal adds: nothing if it is an empty optional.
fn present(value: Value<'_>, optional: bool) -> Result<Option<Value<'_>>, Error> {
    match value {
        value if !optional => Ok(Some(value)),
        Value::Optional(inner) => Ok(inner.map(|inner| (*inner).clone())),
        other => Err(Error::other(format!(
            "cannot initialize optional entry from non-optional value: {}",
            other.type_of()
        ))),
    }
}
