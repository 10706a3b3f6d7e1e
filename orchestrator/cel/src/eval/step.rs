//! [`Step`]: a checked expression made ready to run, with names, overloads and constant patterns resolved.

use std::sync::Arc;

use regex::Regex;

use crate::cost::actual::Price;
use crate::env::{Implementation, Overload};
use crate::syntax::ast::Literal;
use crate::types::Type;

/// What is run.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Constant(Literal),
    /// A list of constants, made when it is needed.
    Constants(Box<[Literal]>),
    Type(Type),
    Variable(Box<str>),
    /// A variable of a macro, by its place among those that are live.
    Local(usize),
    Select {
        operand: Box<Step>,
        field: Box<str>,
    },
    /// `has(operand.field)`.
    Has {
        operand: Box<Step>,
        field: Box<str>,
    },
    /// `operand.?field`.
    OptionalSelect {
        operand: Box<Step>,
        field: Box<str>,
    },
    Index {
        operand: Box<Step>,
        index: Box<Step>,
        optional: bool,
    },
    And(Box<[Step; 2]>),
    Or(Box<[Step; 2]>),
    Conditional(Box<[Step; 3]>),
    /// False only for `false`, true also for errors.
    NotFalse(Box<Step>),
    /// Whether one of these constants is given.
    OneOf(Box<Step>, Box<[Literal]>),
    Matches(Box<Step>, Box<Pattern>),
    Call(Box<Call>),
    List(Box<[(Step, bool)]>),
    Map(Box<[(Step, Step, bool)]>),
    Message {
        name: Arc<str>,
        fields: Box<[(Box<str>, Step, bool)]>,
    },
    Fold(Box<Fold>),
    /// The optional, or what stands behind if it is empty; its value if `unwrap`.
    OrElse {
        sides: Box<[Step; 2]>,
        unwrap: bool,
    },
    /// A value of a macro's variable behind which the step is run.
    Bind(Box<[Step; 2]>),
    /// The accumulator with an item more, changed in place.
    Append {
        accumulator: usize,
        item: Box<Step>,
    },
    /// The accumulator with an entry more, or the entries of a map more, changed in place.
    Insert {
        accumulator: usize,
        entry: Box<[Step]>,
    },
}

/// A pattern that is known.
#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    pub(crate) regex: Regex,
    pub(crate) cost: u64,
}

/// A call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) function: &'static str,
    pub(crate) args: Box<[Step]>,
    pub(crate) target: Target,
    pub(crate) price: Price,
}

/// What a call calls.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// One implementation.
    Known(Implementation),
    /// The first overload that takes the values.
    Any(Box<[Arc<Overload>]>),
}

/// A loop with an accumulator.
#[derive(Clone, Debug)]
pub(crate) struct Fold {
    pub(crate) range: Step,
    pub(crate) two: bool,
    pub(crate) init: Step,
    pub(crate) condition: Step,
    pub(crate) step: Step,
    pub(crate) result: Step,
}
