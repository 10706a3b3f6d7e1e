//! [`Error`]: why an evaluation gave no value.

use crate::value::Value;

/// Why an evaluation gave no value. Prints as cel-go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A map or an object has no such key.
    #[error("no such key: {0}")]
    NoSuchKey(String),
    /// The caller gave no such variable.
    #[error("no such attribute(s): {0}")]
    NoSuchVariable(String),
    /// No overload of a function takes these values.
    #[error("no such overload{0}")]
    NoSuchOverload(String),
    /// An index is not in the list.
    #[error("index out of bounds: {0}")]
    OutOfBounds(i64),
    /// A number is divided by zero.
    #[error("division by zero")]
    DivisionByZero,
    /// The remainder of a division by zero was asked for.
    #[error("modulus by zero")]
    ModulusByZero,
    /// A result does not fit its type, which is named.
    #[error("{0} overflow")]
    Overflow(&'static str),
    /// The evaluation cost more than its limit. No operator absorbs this.
    #[error("operation cancelled: actual cost limit exceeded")]
    CostLimit,
    /// Anything else a function refused.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// What a function refused.
    pub fn other(message: impl Into<String>) -> Self {
        Self::Other(message.into())
    }

    /// That an operator does not take these values.
    pub(crate) fn no_overload() -> Self {
        Self::NoSuchOverload(String::new())
    }

    /// That a function does not take these values.
    pub(crate) fn no_overload_of(function: &str, args: &[Value<'_>]) -> Self {
        let types: Vec<_> = args.iter().map(|arg| arg.type_of().runtime_name().to_owned()).collect();
        Self::NoSuchOverload(format!(": {function}({})", types.join(", ")))
    }
}
