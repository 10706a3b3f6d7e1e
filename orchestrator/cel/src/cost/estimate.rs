//! What an expression can cost, estimated from the largest sizes its data can have.

use std::collections::HashMap;

use super::call::{self, Operand};
use super::{LIST, MAP, MESSAGE, Range};
use crate::check::{Checked, Reference};
use crate::syntax::ast::{ACCUMULATOR, Element, Entry, Expr, Field, Fold, Id, Kind, Literal};
use crate::types::Type;

/// What the size of is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Node<'n> {
    /// The way to it through declared types: a variable's name, then fields' names, `@items`, `@indices`, `@keys` and
    /// `@values`. Empty if it is computed; what belongs to something computed begins with the step from there.
    pub path: &'n [String],
    /// Its type.
    pub of: &'n Type,
}

/// How large the caller's values can be.
pub trait Sizes {
    /// The size of a string, bytes, a list or a map, if anything is known of it.
    fn size(&self, node: Node<'_>) -> Option<Range>;
}

impl<F: Fn(Node<'_>) -> Option<Range>> Sizes for F {
    fn size(&self, node: Node<'_>) -> Option<Range> {
        self(node)
    }
}

pub(crate) fn estimate(checked: &Checked, sizes: &dyn Sizes) -> Range {
    let (paths, known, entries, locals) = Default::default();
    Estimator { checked, sizes, paths, known, entries, locals }.cost(&checked.ast.root)
}

/// The sizes of the keys and the values of a map, or of the items of a list.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub(super) list: bool,
    pub(super) key: Range,
    pub(super) value: Range,
}

impl Parts {
    pub(super) fn or(self, other: Self) -> Self {
        Self { list: self.list, key: self.key.or(other.key), value: self.value.or(other.value) }
    }
}

type Path = Vec<String>;

/// A variable of a macro.
struct Local<'c> {
    name: &'c str,
    path: Path,
    size: Option<Range>,
    parts: Option<Parts>,
}

pub(super) struct Estimator<'c> {
    pub(super) checked: &'c Checked,
    pub(super) sizes: &'c dyn Sizes,
    paths: HashMap<Id, Vec<String>>,
    known: HashMap<Id, Range>,
    entries: HashMap<Id, Parts>,
    locals: Vec<Local<'c>>,
}

/// The path one step further.
fn below(mut path: Path, step: &str) -> Path {
    path.push(step.to_owned());
    path
}

impl<'c> Estimator<'c> {
    pub(super) fn cost(&mut self, expr: &'c Expr) -> Range {
        if let Some(Reference::Variable(_) | Reference::Local(_) | Reference::Type(_)) =
            self.checked.reference(expr)
            && let (Kind::Ident(_) | Kind::Select { .. }, Some(name)) = (&expr.kind, expr.qualified_name())
        {
            return self.name(expr, &name);
        }
        match &expr.kind {
            Kind::Literal(_) => Range::ZERO,
            Kind::Ident(name) => self.name(expr, name),
            Kind::Select { operand, field, test } => self.select(expr, operand, field, *test),
            Kind::Call { target, function, args } => self.call(expr, target.as_deref(), function, args),
            Kind::List(items) => self.list(expr, items),
            Kind::Map(entries) => self.map(expr, entries),
            Kind::Message { fields, .. } => self.message(fields),
            Kind::Fold(fold) if fold.is_binding() => self.binding(expr, fold),
            Kind::Fold(fold) => self.fold(expr, fold),
        }
    }

    fn local(&self, name: &str) -> Option<&Local<'c>> {
        self.locals.iter().rev().find(|local| local.name == name)
    }

    fn name(&mut self, expr: &Expr, name: &str) -> Range {
        let path = self.local(name).map_or_else(|| vec![name.to_owned()], |local| local.path.clone());
        self.set_path(expr, path);
        Range::ONE
    }

    fn select(&mut self, expr: &Expr, operand: &'c Expr, field: &str, test: bool) -> Range {
        let cost = self.cost(operand);
        if test {
            return cost;
        }
        let path = below(self.path(operand), field);
        self.set_path(expr, path);
        match self.checked.type_of(operand) {
            Type::Map(_) | Type::Object(_) | Type::Param(_) => cost.plus(Range::ONE),
            _ => cost,
        }
    }

    fn call(&mut self, expr: &'c Expr, target: Option<&'c Expr>, function: &str, args: &'c [Expr]) -> Range {
        if let ("dyn", [arg]) = (function, args) {
            let cost = self.cost(arg);
            self.copy_sizes(expr, arg);
            return cost.plus(Range::ONE);
        }
        let costs: Vec<Range> = args.iter().map(|arg| self.cost(arg)).collect();
        let (overloads, namespaced) = match self.checked.reference(expr) {
            Some(Reference::Call { overloads, namespaced }) => {
                (overloads.iter().map(|overload| overload.id).collect(), *namespaced)
            }
            _ => (vec!["select_optional_field"], false),
        };
        let target = target.filter(|_| !namespaced);
        let target_cost = target.map_or(Range::ZERO, |target| self.cost(target));
        let function = if namespaced { self.namespaced(expr) } else { function };
        let operands: Vec<Operand<'c>> = args.iter().map(|arg| self.operand(arg)).collect();
        let target = target.map(|target| self.operand(target));
        let (mut total, mut size) = (Range { min: u64::MAX, max: 0 }, None::<Range>);
        for overload in overloads {
            let estimate =
                call::estimate(self, (expr, function, overload), target.as_ref(), (&operands, &costs));
            total = total.or(estimate.cost);
            size = match (size, estimate.size) {
                (Some(known), Some(new)) => Some(known.or(new)),
                (known, new) => known.or(new),
            };
            if let ("index_list" | "index_map", Some(of)) = (overload, args.first()) {
                size = self.parts(of).map(|parts| parts.value);
                let step = if overload == "index_list" { "@items" } else { "@values" };
                let path = below(self.path(of), step);
                self.set_path(expr, path);
            }
            size = size.or_else(|| self.size(expr));
        }
        self.set_size(expr, size);
        target_cost.plus(total)
    }

    /// The whole name of a function whose target is part of it.
    fn namespaced(&self, expr: &Expr) -> &'c str {
        match self.checked.reference(expr) {
            Some(Reference::Call { overloads, .. }) => overloads[0].function,
            _ => "",
        }
    }

    pub(super) fn operand(&mut self, expr: &'c Expr) -> Operand<'c> {
        let computed = |path: &Path| path.first().is_some_and(|first| first == ACCUMULATOR);
        let path = Some(self.path(expr)).filter(|path| !computed(path)).unwrap_or_default();
        Operand { expr, path, of: self.checked.type_of(expr), size: self.size(expr) }
    }

    fn list(&mut self, expr: &Expr, items: &'c [Element]) -> Range {
        let mut cost = Range::fixed(LIST);
        let mut value = Range { min: if items.is_empty() { 0 } else { u64::MAX }, max: 0 };
        for item in items {
            cost = cost.plus(self.cost(&item.value));
            value = value.or(self.size(&item.value).unwrap_or(Range::UNKNOWN));
        }
        self.set_parts(expr, Some(Parts { list: true, key: Range::ONE, value }));
        cost
    }

    fn map(&mut self, expr: &Expr, entries: &'c [Entry]) -> Range {
        let mut cost = Range::fixed(MAP);
        let mut key = Range { min: if entries.is_empty() { 0 } else { u64::MAX }, max: 0 };
        let mut value = key;
        for entry in entries {
            cost = cost.plus(self.cost(&entry.key)).plus(self.cost(&entry.value));
            key = key.or(self.size(&entry.key).unwrap_or(Range::UNKNOWN));
            value = value.or(self.size(&entry.value).unwrap_or(Range::UNKNOWN));
        }
        self.set_parts(expr, Some(Parts { list: false, key, value }));
        cost
    }

    fn message(&mut self, fields: &'c [Field]) -> Range {
        fields.iter().fold(Range::fixed(MESSAGE), |cost, field| cost.plus(self.cost(&field.value)))
    }

    fn binding(&mut self, expr: &Expr, fold: &'c Fold) -> Range {
        let cost = self.cost(&fold.range).plus(self.cost(&fold.init));
        self.push_value(&fold.accumulator, &fold.init);
        let cost = cost.plus(self.cost(&fold.result));
        self.locals.pop();
        self.copy_sizes(expr, &fold.result);
        cost
    }

    fn push_value(&mut self, name: &'c str, value: &'c Expr) {
        let (path, size, parts) = (self.path(value), self.size(value), self.parts(value));
        self.locals.push(Local { name, path, size, parts });
    }

    /// A variable that goes over the range; `key` if it is the index or the key of two.
    fn push_iterated(&mut self, name: &'c str, range: &'c Expr, key: Option<bool>) {
        let parts = self.parts(range);
        let of = self.checked.type_of(range);
        let list = parts.map_or(matches!(of, Type::List(_)), |parts| parts.list);
        let is_key = key.unwrap_or(!list);
        let size = parts.map(|parts| if is_key { parts.key } else { parts.value });
        let step = match (list, is_key) {
            (true, true) => "@indices",
            (true, false) => "@items",
            (false, true) => "@keys",
            (false, false) => "@values",
        };
        let path = below(self.path(range), step);
        self.locals.push(Local { name, path, size, parts: None });
    }

    fn fold(&mut self, expr: &Expr, fold: &'c Fold) -> Range {
        let mut cost = self.cost(&fold.range).plus(self.cost(&fold.init));
        let outside = self.locals.len();
        self.push_value(&fold.accumulator, &fold.init);
        match &fold.second {
            Some(second) => {
                self.push_iterated(&fold.variable, &fold.range, Some(true));
                self.push_iterated(second, &fold.range, Some(false));
            }
            None => self.push_iterated(&fold.variable, &fold.range, None),
        }
        let turn = self.cost(&fold.condition).plus(self.cost(&fold.step));
        let step_parts = self.parts(&fold.step);
        self.locals.truncate(outside + 1);
        cost = cost.plus(self.cost(&fold.result));
        self.locals.truncate(outside);
        let count = self.size(&fold.range).unwrap_or(Range::UNKNOWN);
        match &fold.init.kind {
            Kind::Literal(_) => {
                let size = self.size(&fold.init);
                self.set_size(expr, size);
            }
            Kind::List(_) | Kind::Map(_) => {
                self.set_size(expr, Some(count));
                self.set_parts(expr, step_parts);
            }
            _ => {}
        }
        cost.plus(count.times(turn))
    }

    pub(super) fn path(&self, expr: &Expr) -> Path {
        if let Kind::Ident(name) = &expr.kind
            && let Some(local) = self.local(name)
        {
            return local.path.clone();
        }
        self.paths.get(&expr.id).cloned().unwrap_or_default()
    }

    fn set_path(&mut self, expr: &Expr, path: Path) {
        self.paths.insert(expr.id, path);
    }

    fn set_size(&mut self, expr: &Expr, size: Option<Range>) {
        self.known.extend(size.map(|size| (expr.id, size)));
    }

    pub(super) fn set_parts(&mut self, expr: &Expr, parts: Option<Parts>) {
        self.entries.extend(parts.map(|parts| (expr.id, parts)));
    }

    fn copy_sizes(&mut self, to: &Expr, from: &Expr) {
        let (size, parts) = (self.size(from), self.parts(from));
        self.set_size(to, size);
        self.set_parts(to, parts);
    }

    pub(super) fn parts(&self, expr: &Expr) -> Option<Parts> {
        let local = || match &expr.kind {
            Kind::Ident(name) => self.local(name).and_then(|local| local.parts),
            _ => None,
        };
        self.entries.get(&expr.id).copied().or_else(local)
    }

    pub(super) fn size(&mut self, expr: &Expr) -> Option<Range> {
        if let Some(known) = self.known.get(&expr.id) {
            return Some(*known);
        }
        if let Some(size) = literal_size(expr) {
            return Some(Range::fixed(size));
        }
        let (path, of) = (self.path(expr), self.checked.type_of(expr));
        if let Some(size) = self.sizes.size(Node { path: &path, of }) {
            self.known.insert(expr.id, size);
            return Some(size);
        }
        if is_scalar(of) {
            return Some(Range::ONE);
        }
        match &expr.kind {
            Kind::Ident(name) => self.local(name).and_then(|local| local.size),
            _ => None,
        }
    }
}

fn literal_size(expr: &Expr) -> Option<u64> {
    let size = match &expr.kind {
        Kind::Literal(Literal::String(text)) => text.chars().count(),
        Kind::Literal(Literal::Bytes(bytes)) => bytes.len(),
        Kind::Literal(_) => 1,
        Kind::List(items) => items.len(),
        Kind::Map(entries) => entries.len(),
        _ => return None,
    };
    Some(size as u64)
}

fn is_scalar(of: &Type) -> bool {
    match of {
        Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
        Type::Opaque(name, params) if &**name == crate::types::OPTIONAL => {
            params.first().is_some_and(is_scalar)
        }
        _ => false,
    }
}
