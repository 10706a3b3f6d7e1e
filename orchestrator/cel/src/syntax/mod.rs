//! From text to tree: [`lexer`], [`parser`], [`macros`], and the tree itself in [`ast`].

pub(crate) mod ast;
mod lexer;
mod literal;
mod macros;
mod operators;
mod optionals;
mod parser;
mod primary;
mod problems;

pub(crate) use parser::{Dialect, parse};
