//! Calls: which function is meant, and which of its overloads take what it is given.

use std::sync::Arc;

use super::{Checker, Reference};
use crate::env::Function;
use crate::syntax::ast::{Expr, Id};
use crate::types::{Listed, Type};

/// What a call seems to mean.
struct Callee<'c> {
    name: &'c str,
    function: &'c Function,
    member: bool,
    /// Whether the target is part of the name.
    namespaced: bool,
}

impl Checker<'_> {
    pub(super) fn call(&mut self, id: Id, target: Option<&Expr>, name: &str, args: &[Expr]) -> Type {
        if let ("_?._", [operand, field]) = (name, args) {
            return self.optional_select(id, operand, field);
        }
        let mut types: Vec<Type> = args.iter().map(|arg| self.check(arg)).collect();
        let env = self.env;
        let Some(target) = target else {
            return match env.function(name) {
                Some(function) => {
                    self.resolve(id, &Callee { name, function, member: false, namespaced: false }, &types)
                }
                None => self.undeclared(id, name),
            };
        };
        let qualified = target.qualified_name().map(|prefix| format!("{prefix}.{name}"));
        if let Some((name, function)) =
            qualified.and_then(|name| env.function(&name).map(|function| (name, function)))
        {
            let callee = Callee { name: &name, function, member: false, namespaced: true };
            return self.resolve(id, &callee, &types);
        }
        types.insert(0, self.check(target));
        match env.function(name) {
            Some(function) => {
                self.resolve(id, &Callee { name, function, member: true, namespaced: false }, &types)
            }
            None => self.undeclared(id, name),
        }
    }

    /// `operand.?field`.
    fn optional_select(&mut self, id: Id, operand: &Expr, field: &Expr) -> Type {
        let name = field.as_str().unwrap_or_default().to_owned();
        self.check(field);
        self.field(id, operand, &name, true)
    }

    /// The result of the overloads that take these types.
    fn resolve(&mut self, id: Id, callee: &Callee<'_>, types: &[Type]) -> Type {
        let &Callee { name, function, member, namespaced } = callee;
        let (mut matching, mut result): (Vec<_>, Option<Type>) = (Vec::new(), None);
        for overload in function.overloads.iter().filter(|overload| overload.member == member) {
            let (params, own_result) = self.inference.instantiate(&overload.params, &overload.result);
            if !self.inference.assignable_all(types, &params) {
                continue;
            }
            matching.push(Arc::clone(overload));
            let own = self.inference.substitute(&own_result, false);
            result = Some(match result {
                Some(known) if !known.is_dyn() && known != own => Type::Dyn,
                Some(known) => known,
                None => own,
            });
        }
        let Some(result) = result else {
            self.no_overload(id, name, types, member);
            return Type::Error;
        };
        self.references[id] = Some(Reference::Call { overloads: matching, namespaced });
        result
    }

    fn no_overload(&mut self, id: Id, name: &str, types: &[Type], member: bool) {
        let types: Vec<Type> = types.iter().map(|of| self.shown(of)).collect();
        let signature = match types.split_first() {
            Some((target, args)) if member => format!("{target}.({})", Listed(args)),
            _ => format!("({})", Listed(&types)),
        };
        self.report(id, format!("found no matching overload for '{name}' applied to '{signature}'"));
    }
}
