//! [`Opaque`]: values that only their own library understands.

use std::any::Any;
use std::fmt::Debug;

/// A value of a library: a quantity, an address, an authorizer.
pub trait Opaque: Any + Debug {
    /// The name of its type.
    fn type_name(&self) -> &str;

    /// Whether it equals another value of a library.
    fn equals(&self, other: &dyn Opaque) -> bool;

    /// What its cost is counted by.
    fn size(&self) -> u64 {
        1
    }
}
