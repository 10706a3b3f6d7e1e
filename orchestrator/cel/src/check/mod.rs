//! The type checker: what every node is, and which overloads every call may mean. Texts are those of cel-go.

mod infer;
mod literals;
mod resolve;

use std::sync::Arc;

use infer::{Inference, most_general};

use crate::env::{Env, Named, Overload};
use crate::source::Issues;
use crate::syntax::ast::{Ast, Element, Entry, Expr, Field, Fold, Id, Kind, Literal};
use crate::types::Type;

/// What a name or a call refers to.
#[derive(Clone, Debug)]
pub(crate) enum Reference {
    /// A variable of the caller's.
    Variable(String),
    /// A variable of a macro.
    Local(String),
    /// A type as a value.
    Type(Type),
    /// A call, by what it may mean.
    Call {
        overloads: Vec<Arc<Overload>>,
        /// Whether the target is part of the function's name.
        namespaced: bool,
    },
}

/// A checked expression.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    pub(crate) ast: Ast,
    types: Vec<Type>,
    references: Vec<Option<Reference>>,
}

impl Checked {
    pub(crate) fn type_of(&self, expr: &Expr) -> &Type {
        &self.types[expr.id]
    }

    pub(crate) fn reference(&self, expr: &Expr) -> Option<&Reference> {
        self.references[expr.id].as_ref()
    }

    /// The names of the caller's variables in use, each once.
    pub(crate) fn variables(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for reference in self.references.iter().flatten() {
            if let Reference::Variable(name) = reference
                && !names.contains(&name.as_str())
            {
                names.push(name.as_str());
            }
        }
        names
    }
}

/// Checks an expression.
pub(crate) fn check(text: &str, ast: Ast, env: &Env) -> Result<Checked, Issues> {
    let count = ast.positions.len();
    let mut checker = Checker {
        env,
        positions: &ast.positions,
        issues: Issues::new(text),
        inference: Inference::default(),
        locals: Vec::new(),
        types: vec![Type::Error; count],
        references: vec![None; count],
    };
    checker.check(&ast.root);
    let Checker { mut issues, inference, types, references, .. } = checker;
    if issues.is_empty() {
        literals::check(&ast, &mut issues);
    }
    issues.into_result()?;
    let types = types.iter().map(|of| inference.substitute(of, true)).collect();
    Ok(Checked { ast, types, references })
}

struct Checker<'c> {
    env: &'c Env,
    positions: &'c [usize],
    issues: Issues,
    inference: Inference,
    /// The variables of the macros around, the innermost last.
    locals: Vec<(String, Type)>,
    types: Vec<Type>,
    references: Vec<Option<Reference>>,
}

impl Checker<'_> {
    fn report(&mut self, id: Id, message: impl Into<String>) {
        self.issues.report(self.positions[id], message);
    }

    fn set(&mut self, id: Id, of: Type) {
        self.types[id] = of;
    }

    fn check(&mut self, expr: &Expr) -> Type {
        let of = match &expr.kind {
            Kind::Literal(literal) => literal_type(literal),
            Kind::Ident(name) => self.ident(expr.id, name),
            Kind::Select { operand, field, test } => self.select(expr, operand, field, *test),
            Kind::Call { target, function, args } => self.call(expr.id, target.as_deref(), function, args),
            Kind::List(items) => self.list(items),
            Kind::Map(entries) => self.map(entries),
            Kind::Message { name, fields } => self.message(expr.id, name, fields),
            Kind::Fold(fold) => self.fold(fold),
        };
        self.set(expr.id, of.clone());
        of
    }

    fn lookup(&self, name: &str) -> Option<(Reference, Type)> {
        if let Some((_, of)) = self.locals.iter().rev().find(|(local, _)| local == name) {
            return Some((Reference::Local(name.to_owned()), of.clone()));
        }
        Some(match self.env.name(name)? {
            Named::Variable(of) => (Reference::Variable(name.to_owned()), of),
            Named::Type(of) => (Reference::Type(of.clone()), Type::Type(Some(Arc::new(of)))),
        })
    }

    fn undeclared(&mut self, id: Id, name: &str) -> Type {
        self.report(id, format!("undeclared reference to '{name}' (in container '')"));
        Type::Error
    }

    fn ident(&mut self, id: Id, name: &str) -> Type {
        let Some((reference, of)) = self.lookup(name) else { return self.undeclared(id, name) };
        self.references[id] = Some(reference);
        of
    }

    fn select(&mut self, expr: &Expr, operand: &Expr, field: &str, test: bool) -> Type {
        if let Some((reference, of)) = expr.qualified_name().and_then(|name| self.lookup(&name)) {
            self.references[expr.id] = Some(reference);
            return of;
        }
        let of = self.field(expr.id, operand, field, false);
        if test { Type::Bool } else { of }
    }

    /// The type of a field of what the operand is.
    fn field(&mut self, id: Id, operand: &Expr, field: &str, optional: bool) -> Type {
        let of = self.check(operand);
        let (target, was_optional) = self.inference.substitute(&of, false).unwrap_optional();
        let result = match &target {
            Type::Map(entry) => entry.1.clone(),
            Type::Object(name) => self.object_field(id, name, field),
            Type::Param(_) => {
                self.inference.assignable(&Type::Dyn, &target);
                Type::Dyn
            }
            Type::Dyn | Type::Error => Type::Dyn,
            Type::Opaque(name, params) if params.is_empty() => {
                self.report(id, format!("unexpected failed resolution of '{name}'"));
                Type::Error
            }
            other => {
                self.report(id, format!("type '{other}' does not support field selection"));
                Type::Error
            }
        };
        if was_optional || optional { Type::optional(result) } else { result }
    }

    fn object_field(&mut self, id: Id, object: &str, field: &str) -> Type {
        self.env.field(object, field).unwrap_or_else(|| {
            self.report(id, format!("undefined field '{field}'"));
            Type::Error
        })
    }

    /// The common type of what a literal collects, of which every part fits the one before.
    fn join(&mut self, id: Id, previous: Option<Type>, of: Type) -> Type {
        let Some(previous) = previous else { return of };
        if self.inference.assignable(&previous, &of) {
            return most_general(previous, of);
        }
        self.mismatch(id, &previous, &of);
        Type::Error
    }

    fn mismatch(&mut self, id: Id, expected: &Type, found: &Type) {
        let (expected, found) = (self.shown(expected), self.shown(found));
        self.report(id, format!("expected type '{expected}' but found '{found}'"));
    }

    fn shown(&self, of: &Type) -> Type {
        self.inference.substitute(of, true)
    }

    /// What an optional part of a literal adds if it is there.
    fn present(&mut self, value: &Expr, of: Type, optional: bool) -> Type {
        if !optional {
            return of;
        }
        let (inner, was_optional) = of.unwrap_optional();
        if !was_optional && !inner.is_dyn() {
            self.mismatch(value.id, &Type::optional(inner.clone()), &inner);
        }
        inner
    }

    fn list(&mut self, items: &[Element]) -> Type {
        let mut joined = None;
        for Element { value, optional } in items {
            let of = self.check(value);
            let of = self.present(value, of, *optional);
            joined = Some(self.join(value.id, joined, of));
        }
        Type::list(joined.unwrap_or_else(|| self.inference.fresh()))
    }

    fn map(&mut self, entries: &[Entry]) -> Type {
        let (mut keys, mut values) = (None, None);
        for Entry { key, value, optional } in entries {
            let of = self.check(key);
            keys = Some(self.join(key.id, keys, of));
            let of = self.check(value);
            let of = self.present(value, of, *optional);
            values = Some(self.join(value.id, values, of));
        }
        let mut or_fresh = |of: Option<Type>| of.unwrap_or_else(|| self.inference.fresh());
        Type::map(or_fresh(keys), or_fresh(values))
    }

    fn message(&mut self, id: Id, name: &str, fields: &[Field]) -> Type {
        let Some((reference, of)) = self.lookup(name) else { return self.undeclared(id, name) };
        self.references[id] = Some(reference);
        let object = match of {
            Type::Type(Some(of)) if matches!(*of, Type::Object(_)) => (*of).clone(),
            Type::Type(of) => {
                let shown = of.map_or("type".to_owned(), |of| of.to_string());
                self.report(id, format!("'{shown}' is not a message type"));
                Type::Error
            }
            other => {
                self.report(id, format!("'{other}' is not a type"));
                Type::Error
            }
        };
        for field in fields {
            self.message_field(&object, field);
        }
        object
    }

    fn message_field(&mut self, object: &Type, field: &Field) {
        let of = self.check(&field.value);
        let declared = match object {
            Type::Object(name) => self.object_field(field.id, name, &field.name),
            _ => Type::Error,
        };
        let of = self.present(&field.value, of, field.optional);
        if !self.inference.assignable(&declared, &of) {
            let (declared, of) = (self.shown(&declared), self.shown(&of));
            let name = &field.name;
            self.report(
                field.id,
                format!("expected type of field '{name}' is '{declared}' but provided type is '{of}'"),
            );
        }
    }

    fn fold(&mut self, fold: &Fold) -> Type {
        let range = self.check(&fold.range);
        let accumulated = self.check(&fold.init);
        let (first, second) = self.iterated(fold, &range);
        let outside = self.locals.len();
        self.locals.push((fold.accumulator.clone(), accumulated.clone()));
        let inside = self.locals.len();
        self.locals.push((fold.variable.clone(), first));
        if let Some(name) = &fold.second {
            self.locals.push((name.clone(), second));
        }
        self.expect(&fold.condition, &Type::Bool);
        self.expect(&fold.step, &accumulated);
        self.locals.truncate(inside);
        let of = self.check(&fold.result);
        self.locals.truncate(outside);
        self.inference.substitute(&of, false)
    }

    fn expect(&mut self, expr: &Expr, wanted: &Type) {
        let of = self.check(expr);
        if !self.inference.assignable(wanted, &of) {
            self.mismatch(expr.id, wanted, &of);
        }
    }

    /// The types of the variables of a fold over the range.
    fn iterated(&mut self, fold: &Fold, range: &Type) -> (Type, Type) {
        let two = fold.second.is_some();
        match self.inference.substitute(range, false) {
            Type::List(item) if two => (Type::Int, (*item).clone()),
            Type::List(item) => ((*item).clone(), Type::Error),
            Type::Map(entry) => (entry.0.clone(), entry.1.clone()),
            Type::Dyn | Type::Error => (Type::Dyn, Type::Dyn),
            param @ Type::Param(_) => {
                self.inference.assignable(&Type::Dyn, &param);
                (Type::Dyn, Type::Dyn)
            }
            other => {
                let message = format!(
                    "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                );
                self.report(fold.range.id, message);
                (Type::Error, Type::Error)
            }
        }
    }
}

fn literal_type(literal: &Literal) -> Type {
    match literal {
        Literal::Null => Type::Null,
        Literal::Bool(_) => Type::Bool,
        Literal::Int(_) => Type::Int,
        Literal::Uint(_) => Type::Uint,
        Literal::Double(_) => Type::Double,
        Literal::String(_) => Type::String,
        Literal::Bytes(_) => Type::Bytes,
    }
}
