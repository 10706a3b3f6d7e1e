//! The functions of an environment: their overloads, declared as rows of a table with readable signatures.

use std::collections::HashMap;
use std::sync::Arc;

use crate::error::Error;
use crate::types::{Type, read, read_list};
use crate::value::Value;

/// What computes an overload. It may be given values of other types than declared (from `dyn`) and refuses those.
pub(crate) type Implementation = for<'a> fn(&[Value<'a>]) -> Result<Value<'a>, Error>;

/// A row of a library's table: name, overload's name, signature, implementation. The signature of a method names its
/// target: `string.(int) -> string`.
pub(crate) type Row = (&'static str, &'static str, &'static str, Implementation);

/// One way to call a function.
#[derive(Clone, Debug)]
pub(crate) struct Overload {
    pub(crate) function: &'static str,
    pub(crate) id: &'static str,
    pub(crate) member: bool,
    /// With the target of a method first.
    pub(crate) params: Vec<Type>,
    pub(crate) result: Type,
    pub(crate) call: Implementation,
}

/// All ways to call a function.
#[derive(Clone, Debug, Default)]
pub(crate) struct Function {
    pub(crate) overloads: Vec<Arc<Overload>>,
}

/// The functions of an environment by name.
#[derive(Debug, Default)]
pub(crate) struct Functions {
    by_name: HashMap<&'static str, Function>,
    opaque: HashMap<Arc<str>, Type>,
}

impl Functions {
    /// The functions of some libraries.
    pub(crate) fn of(libraries: &[&[&[Row]]]) -> Self {
        let mut functions = Self::default();
        for row in libraries.iter().copied().flatten().copied().flatten() {
            functions.add(row);
        }
        functions
    }

    fn add(&mut self, &(function, id, signature, call): &Row) {
        let (head, result) = signature.split_once(" -> ").expect("a signature has a result");
        let member = !head.starts_with('(');
        let (target, params) =
            if member { head.split_once(".(").expect("a method has parameters") } else { ("", &head[1..]) };
        let params = params.strip_suffix(')').expect("parameters end with a bracket");
        let mut types = if member { vec![read(target)] } else { Vec::new() };
        types.extend(read_list(params));
        let overload = Overload { function, id, member, params: types, result: read(result), call };
        for of in overload.params.iter().chain([&overload.result]) {
            self.learn(of);
        }
        self.by_name.entry(function).or_default().overloads.push(Arc::new(overload));
    }

    /// Remembers the libraries' own types, which expressions can name.
    fn learn(&mut self, of: &Type) {
        match of {
            Type::Opaque(name, params) => {
                params.iter().for_each(|param| self.learn(param));
                if params.is_empty() {
                    self.opaque.insert(name.clone(), of.clone());
                }
            }
            Type::List(item) => self.learn(item),
            _ => {}
        }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Function> {
        self.by_name.get(name)
    }

    pub(crate) fn opaque(&self, name: &str) -> Option<Type> {
        self.opaque.get(name).cloned()
    }
}
