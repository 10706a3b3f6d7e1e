//! Which types fit which: assignability with type parameters found on the way, as cel-go's checker does it.

use std::collections::HashMap;
use std::sync::Arc;

use crate::types::Type;

/// What the type parameters found so far stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Inference {
    found: HashMap<Arc<str>, Type>,
    /// What the comparison that is going on has found, with what was known before, to undo it.
    journal: Vec<(Arc<str>, Option<Type>)>,
    fresh: usize,
}

impl Inference {
    /// A type parameter that is not yet in use.
    pub(super) fn fresh(&mut self) -> Type {
        self.fresh += 1;
        Type::Param(format!("_var{}", self.fresh - 1).into())
    }

    /// Whether `a` can be assigned to `b`; what that finds of type parameters is kept if so.
    pub(super) fn assignable(&mut self, a: &Type, b: &Type) -> bool {
        self.assignable_all(std::slice::from_ref(a), std::slice::from_ref(b))
    }

    /// The same for each of two lists.
    pub(super) fn assignable_all(&mut self, a: &[Type], b: &[Type]) -> bool {
        if a.len() != b.len() {
            return false;
        }
        if !a.iter().chain(b).any(has_params) {
            return a.iter().zip(b).all(|(a, b)| self.fits(a, b));
        }
        self.journal.clear();
        let fits = a.iter().zip(b).all(|(a, b)| self.fits(a, b));
        if !fits {
            while let Some((param, before)) = self.journal.pop() {
                match before {
                    Some(of) => self.found.insert(param, of),
                    None => self.found.remove(&param),
                };
            }
        }
        fits
    }

    fn learn(&mut self, param: &Arc<str>, of: Type) {
        let before = self.found.insert(param.clone(), of);
        self.journal.push((param.clone(), before));
    }

    fn fits(&mut self, a: &Type, b: &Type) -> bool {
        if a == b {
            return true;
        }
        if let Type::Param(param) = b {
            let (fits, known) = self.stands_for(a, param);
            if fits || known {
                return fits;
            }
        }
        if let Type::Param(param) = a {
            return self.stands_for(b, param).0;
        }
        if a.is_dyn_or_error() || b.is_dyn_or_error() {
            return true;
        }
        match (a, b) {
            (Type::Null, nullable) | (nullable, Type::Null) => {
                matches!(nullable, Type::Object(_) | Type::Opaque(..) | Type::Timestamp | Type::Duration)
            }
            (Type::Opaque(a, of_a), Type::Opaque(b, of_b)) => {
                a == b
                    && of_a.len() == of_b.len()
                    && of_a.iter().zip(of_b.iter()).all(|(a, b)| self.fits(a, b))
            }
            (Type::List(a), Type::List(b)) => self.fits(a, b),
            (Type::Map(a), Type::Map(b)) => self.fits(&a.0, &b.0) && self.fits(&a.1, &b.1),
            (Type::Type(_), Type::Type(_)) => true,
            _ => false,
        }
    }

    /// Whether a parameter can stand for the type, and whether it already stood for one.
    fn stands_for(&mut self, of: &Type, param: &Arc<str>) -> (bool, bool) {
        if let Some(known) = self.found.get(param).cloned() {
            if *of == known {
                return (true, true);
            }
            if self.fits(of, &known) {
                let general = if less_specific(of, &known) { of.clone() } else { known };
                if general != Type::Param(param.clone()) {
                    self.learn(param, general);
                }
                return (true, true);
            }
            return (false, true);
        }
        if self.occurs(param, of) {
            return (false, false);
        }
        self.learn(param, of.clone());
        (true, false)
    }

    /// Whether the parameter is part of the type.
    fn occurs(&self, param: &Arc<str>, of: &Type) -> bool {
        match of {
            Type::Param(other) if other == param => true,
            Type::Param(other) => self.found.get(other).is_some_and(|found| self.occurs(param, found)),
            Type::Opaque(_, of) => of.iter().any(|of| self.occurs(param, of)),
            Type::List(item) => self.occurs(param, item),
            Type::Map(entry) => self.occurs(param, &entry.0) || self.occurs(param, &entry.1),
            _ => false,
        }
    }

    /// The type with the parameters replaced that are known, and by `dyn` those that are not if `finally`.
    pub(super) fn substitute(&self, of: &Type, finally: bool) -> Type {
        match of {
            Type::Param(param) => match self.found.get(param) {
                Some(found) => self.substitute(found, finally),
                None if finally => Type::Dyn,
                None => of.clone(),
            },
            Type::Opaque(name, params) if !params.is_empty() => {
                Type::Opaque(name.clone(), params.iter().map(|of| self.substitute(of, finally)).collect())
            }
            Type::List(item) => Type::list(self.substitute(item, finally)),
            Type::Map(entry) => {
                Type::map(self.substitute(&entry.0, finally), self.substitute(&entry.1, finally))
            }
            Type::Type(Some(of)) => Type::Type(Some(Arc::new(self.substitute(of, finally)))),
            other => other.clone(),
        }
    }

    /// The signature with parameters of its own, so that calls do not share them.
    pub(super) fn instantiate(&mut self, params: &[Type], result: &Type) -> (Vec<Type>, Type) {
        if !params.iter().any(has_params) {
            return (params.to_vec(), result.clone());
        }
        let mut own = HashMap::new();
        let params = params.iter().map(|of| self.renamed(of, &mut own)).collect();
        (params, self.renamed(result, &mut own))
    }

    fn renamed(&mut self, of: &Type, own: &mut HashMap<Arc<str>, Type>) -> Type {
        match of {
            Type::Param(param) => {
                if let Some(known) = own.get(param) {
                    return known.clone();
                }
                let fresh = self.fresh();
                own.insert(param.clone(), fresh.clone());
                fresh
            }
            Type::Opaque(name, params) => {
                Type::Opaque(name.clone(), params.iter().map(|of| self.renamed(of, own)).collect())
            }
            Type::List(item) => Type::list(self.renamed(item, own)),
            Type::Map(entry) => Type::map(self.renamed(&entry.0, own), self.renamed(&entry.1, own)),
            Type::Type(Some(of)) => Type::Type(Some(Arc::new(self.renamed(of, own)))),
            other => other.clone(),
        }
    }
}

fn has_params(of: &Type) -> bool {
    match of {
        Type::Param(_) => true,
        Type::Opaque(_, of) => of.iter().any(has_params),
        Type::List(item) => has_params(item),
        Type::Map(entry) => has_params(&entry.0) || has_params(&entry.1),
        Type::Type(Some(of)) => has_params(of),
        _ => false,
    }
}

/// Whether the first type says no more than the second.
fn less_specific(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Dyn | Type::Param(_), _) | (Type::Type(_), Type::Type(_)) => true,
        (_, Type::Dyn | Type::Param(_)) => false,
        (Type::Opaque(a, of_a), Type::Opaque(b, of_b)) => {
            a == b
                && of_a.len() == of_b.len()
                && of_a.iter().zip(of_b.iter()).all(|(a, b)| less_specific(a, b))
        }
        (Type::List(a), Type::List(b)) => less_specific(a, b),
        (Type::Map(a), Type::Map(b)) => less_specific(&a.0, &b.0) && less_specific(&a.1, &b.1),
        _ => a == b,
    }
}

/// Of two types that fit, the one that says less.
pub(super) fn most_general(a: Type, b: Type) -> Type {
    if less_specific(&a, &b) { a } else { b }
}
