//! From a checked expression to [`Step`]s.

use std::sync::Arc;

use super::step::{Call, Fold, Pattern, Step, Target};
use crate::check::{Checked, Reference};
use crate::cost::PATTERN;
use crate::cost::actual::{price, scaled};
use crate::env::Overload;
use crate::regexes;
use crate::syntax::ast::{self, Element, Expr, Kind, Literal};
use crate::types::OPTIONAL;

pub(crate) fn plan(checked: &Checked) -> Step {
    Planner { checked, locals: Vec::new() }.step(&checked.ast.root)
}

struct Planner<'c> {
    checked: &'c Checked,
    /// The variables of the macros around, by the places they will have.
    locals: Vec<&'c str>,
}

impl<'c> Planner<'c> {
    fn boxed(&mut self, expr: &'c Expr) -> Box<Step> {
        Box::new(self.step(expr))
    }

    fn step(&mut self, expr: &'c Expr) -> Step {
        match self.checked.reference(expr) {
            Some(Reference::Variable(name)) => return Step::Variable(name.as_str().into()),
            Some(Reference::Local(name)) => return self.local(name),
            Some(Reference::Type(of)) if !matches!(expr.kind, Kind::Message { .. }) => {
                return Step::Type(of.clone());
            }
            _ => {}
        }
        match &expr.kind {
            Kind::Literal(literal) => Step::Constant(literal.clone()),
            Kind::Ident(name) => Step::Variable(name.as_str().into()),
            Kind::Select { operand, field, test } => {
                let (operand, field) = (self.boxed(operand), field.as_str().into());
                if *test { Step::Has { operand, field } } else { Step::Select { operand, field } }
            }
            Kind::Call { target, function, args } => self.call(expr, target.as_deref(), function, args),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => Step::Map(
                entries.iter().map(|e| (self.step(&e.key), self.step(&e.value), e.optional)).collect(),
            ),
            Kind::Message { name, fields } => Step::Message {
                name: name.as_str().into(),
                fields: fields
                    .iter()
                    .map(|f| (f.name.as_str().into(), self.step(&f.value), f.optional))
                    .collect(),
            },
            Kind::Fold(fold) => self.fold(fold),
        }
    }

    fn local(&self, name: &str) -> Step {
        let place = self.locals.iter().rposition(|local| *local == name);
        Step::Local(place.expect("the checker saw the macro's variable"))
    }

    fn list(&mut self, items: &'c [Element]) -> Step {
        if let Some(constants) = constants(items) {
            return Step::Constants(constants);
        }
        Step::List(items.iter().map(|item| (self.step(&item.value), item.optional)).collect())
    }

    fn call(&mut self, expr: &'c Expr, target: Option<&'c Expr>, function: &str, args: &'c [Expr]) -> Step {
        match (function, args) {
            ("_&&_", [a, b]) => return Step::And(Box::new([self.step(a), self.step(b)])),
            ("_||_", [a, b]) => return Step::Or(Box::new([self.step(a), self.step(b)])),
            ("_?_:_", [condition, a, b]) => {
                return Step::Conditional(Box::new([self.step(condition), self.step(a), self.step(b)]));
            }
            ("@not_strictly_false", [a]) => return Step::NotFalse(self.boxed(a)),
            ("_[_]" | "_[?_]", [operand, index]) => {
                let (operand, index) = (self.boxed(operand), self.boxed(index));
                return Step::Index { operand, index, optional: function == "_[?_]" };
            }
            ("_?._", [operand, field]) => {
                let field = field.as_str().unwrap_or_default().into();
                return Step::OptionalSelect { operand: self.boxed(operand), field };
            }
            _ => {}
        }
        let Some(Reference::Call { overloads, namespaced }) = self.checked.reference(expr) else {
            unreachable!("the checker resolved every call");
        };
        let target = target.filter(|_| !namespaced);
        let operands: Vec<&'c Expr> = target.into_iter().chain(args).collect();
        if let Some(step) = self.special(function, &operands) {
            return step;
        }
        let args = operands.into_iter().map(|arg| self.step(arg)).collect();
        Step::Call(Box::new(resolved(overloads, args)))
    }

    /// Calls for which there is a faster way.
    fn special(&mut self, function: &str, args: &[&'c Expr]) -> Option<Step> {
        match (function, args) {
            ("matches", [text, pattern]) => {
                let pattern = pattern.as_str()?;
                let regex = regexes::compile(pattern).ok()?;
                let cost = scaled(pattern.chars().count() as u64, PATTERN);
                Some(Step::Matches(self.boxed(text), Box::new(Pattern { regex, cost })))
            }
            ("@in", [item, Expr { kind: Kind::List(items), .. }]) => {
                let constants = constants(items)?;
                Some(Step::OneOf(self.boxed(item), constants))
            }
            ("_+_", [accumulator, Expr { kind: Kind::List(items), .. }]) => {
                let accumulator = self.accumulator(accumulator)?;
                let [Element { value, optional: false }] = items.as_slice() else { return None };
                Some(Step::Append { accumulator, item: self.boxed(value) })
            }
            ("or" | "orValue", [optional, other]) if self.checked.type_of(optional).name() == OPTIONAL => {
                let sides = Box::new([self.step(optional), self.step(other)]);
                Some(Step::OrElse { sides, unwrap: function == "orValue" })
            }
            ("cel.@mapInsert", [accumulator, entry @ ..]) => {
                let accumulator = self.accumulator(accumulator)?;
                Some(Step::Insert { accumulator, entry: entry.iter().map(|part| self.step(part)).collect() })
            }
            _ => None,
        }
    }

    /// The place of the accumulator, if this is the innermost macro's.
    fn accumulator(&self, expr: &Expr) -> Option<usize> {
        match &expr.kind {
            Kind::Ident(name) if name == ast::ACCUMULATOR => {
                self.locals.iter().rposition(|local| *local == ast::ACCUMULATOR)
            }
            _ => None,
        }
    }

    fn fold(&mut self, fold: &'c ast::Fold) -> Step {
        let outside = self.locals.len();
        if fold.is_binding() {
            let value = self.step(&fold.init);
            self.locals.push(&fold.accumulator);
            let result = self.step(&fold.result);
            self.locals.truncate(outside);
            return Step::Bind(Box::new([value, result]));
        }
        let (range, init) = (self.step(&fold.range), self.step(&fold.init));
        self.locals.push(&fold.accumulator);
        self.locals.push(&fold.variable);
        self.locals.extend(fold.second.as_deref());
        let (condition, step) = (self.step(&fold.condition), self.step(&fold.step));
        self.locals.truncate(outside + 1);
        let result = self.step(&fold.result);
        self.locals.truncate(outside);
        Step::Fold(Box::new(Fold { range, two: fold.second.is_some(), init, condition, step, result }))
    }
}

/// The constants of a list of nothing else.
fn constants(items: &[Element]) -> Option<Box<[Literal]>> {
    if items.is_empty() {
        return None;
    }
    let constant = |item: &Element| match (&item.value.kind, item.optional) {
        (Kind::Literal(literal), false) => Some(literal.clone()),
        _ => None,
    };
    items.iter().map(constant).collect()
}

fn resolved(overloads: &[Arc<Overload>], args: Box<[Step]>) -> Call {
    let first = &overloads[0];
    let function = first.function;
    let one = overloads.iter().all(|overload| std::ptr::fn_addr_eq(overload.call, first.call));
    let target = if one { Target::Known(first.call) } else { Target::Any(overloads.into()) };
    let overload = if overloads.len() == 1 { first.id } else { "" };
    Call { function, args, target, price: price(function, overload) }
}
