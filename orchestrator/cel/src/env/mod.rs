//! [`Env`]: what an expression may name. Built from libraries of functions, and the caller's variables and types.

mod functions;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

pub(crate) use functions::{Function, Functions, Implementation, Overload, Row};

use crate::library;
use crate::syntax::Dialect;
use crate::types::{Type, Types};

/// What an expression may name. Cheap to copy and to extend.
#[derive(Clone)]
pub struct Env {
    functions: Arc<Functions>,
    variables: HashMap<Arc<str>, Type>,
    types: Option<Arc<dyn Types>>,
    dialect: Dialect,
}

type Lazy = LazyLock<Arc<Functions>>;

static STANDARD: Lazy = LazyLock::new(|| Arc::new(Functions::of(&[library::STANDARD])));
static KUBERNETES: Lazy =
    LazyLock::new(|| Arc::new(Functions::of(&[library::STANDARD, library::KUBERNETES])));
static MUTATIONS: Lazy =
    LazyLock::new(|| Arc::new(Functions::of(&[library::STANDARD, library::KUBERNETES, library::MUTATIONS])));
static EXTENDED: Lazy = LazyLock::new(|| {
    Arc::new(Functions::of(&[library::STANDARD, library::KUBERNETES, library::MUTATIONS, library::NEWER]))
});

impl Env {
    /// The language definition's functions and macros, no more.
    pub fn standard() -> Self {
        Self::new(&STANDARD, Dialect::Standard)
    }

    /// What Kubernetes 1.36 gives to every expression.
    pub fn kubernetes() -> Self {
        Self::new(&KUBERNETES, Dialect::Kubernetes)
    }

    /// What Kubernetes 1.36 gives to expressions that change objects.
    pub fn mutations() -> Self {
        Self::new(&MUTATIONS, Dialect::Kubernetes)
    }

    /// What Kubernetes 1.36 gives to expressions that select devices.
    pub fn devices() -> Self {
        Self::new(&KUBERNETES, Dialect::Devices)
    }

    /// Everything this crate knows.
    pub fn extended() -> Self {
        Self::new(&EXTENDED, Dialect::Extended)
    }

    fn new(functions: &Arc<Functions>, dialect: Dialect) -> Self {
        Self { functions: functions.clone(), variables: HashMap::new(), types: None, dialect }
    }

    /// With a variable.
    #[must_use]
    pub fn variable(mut self, name: &str, of: Type) -> Self {
        self.variables.insert(name.into(), of);
        self
    }

    /// With object types of the caller's.
    #[must_use]
    pub fn types(mut self, types: Arc<dyn Types>) -> Self {
        self.types = Some(types);
        self
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    pub(crate) fn function(&self, name: &str) -> Option<&Function> {
        self.functions.get(name)
    }

    /// The type of what a name stands for: a variable, or a type as a value.
    pub(crate) fn name(&self, name: &str) -> Option<Named> {
        if let Some(of) = self.variables.get(name) {
            return Some(Named::Variable(of.clone()));
        }
        let known = Type::named(name).filter(|_| name != "dyn");
        let object =
            || self.types.as_ref().is_some_and(|types| types.contains(name)).then(|| Type::object(name));
        let of = known.or_else(|| self.functions.opaque(name)).or_else(object)?;
        Some(Named::Type(of))
    }

    /// The type of a field of an object type; the error says whether the object type is unknown.
    pub(crate) fn field(&self, object: &str, field: &str) -> Option<Type> {
        self.types.as_ref()?.field(object, field)
    }
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Named {
    /// A variable of the caller's.
    Variable(Type),
    /// A type as a value.
    Type(Type),
}
