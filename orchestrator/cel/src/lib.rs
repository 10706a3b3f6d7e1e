//! The Common Expression Language as Kubernetes 1.36 speaks it: parsed, checked against declared types, estimated, and
//! evaluated over the caller's own values with its cost counted. Pure: no IO, no async, no clock.
//!
//! ```
//! use wherry_cel::{Env, Type, Value};
//!
//! let env = Env::kubernetes().variable("name", Type::String);
//! let program = env.compile("name.startsWith('a') && size(name) < 5")?;
//! assert_eq!(program.result_type(), &Type::Bool);
//! let evaluation = program.evaluate(&[("name", Value::from("abc"))], 1_000_000);
//! assert_eq!(evaluation.result.expect("nothing can fail").as_bool(), Some(true));
//! # Ok::<(), wherry_cel::Issues>(())
//! ```
//!
//! Reading order: [`Env`] (what may be named), `syntax` (text to tree), `check` (types and overloads), [`Program`],
//! `eval` (the steps it runs), [`Value`] with [`Data`] and [`Shape`] (the caller's values), `cost`, and `library` (one
//! file of functions for each library).

mod check;
mod cost;
mod env;
mod error;
mod eval;
mod library;
mod names;
mod program;
mod regexes;
mod source;
mod syntax;
mod types;
mod value;

pub use cost::{Node, Range, Sizes};
pub use env::Env;
pub use error::Error;
pub use eval::{Evaluation, Variables};
pub use library::{Authorizer, Check, Decision, Resource, Target};
pub use names::{escape, unescape};
pub use program::Program;
pub use source::Issues;
pub use types::{Type, Types};
pub use value::{
    Data, Fields, Key, List, ListKind, Map, Message, Opaque, Reading, Shape, Stored, Text, Time, Value, View,
    equal,
};
