//! [`Program`]: an expression that was parsed and checked, ready to be estimated and evaluated any number of times.

use crate::check::{self, Checked};
use crate::cost::{self, Range, Sizes};
use crate::env::Env;
use crate::eval::{self, Evaluation, Step, Variables};
use crate::source::Issues;
use crate::syntax;
use crate::types::Type;

/// An expression that was parsed and checked.
#[derive(Clone, Debug)]
pub struct Program {
    checked: Checked,
    step: Step,
}

impl Env {
    /// Parses and checks an expression.
    pub fn compile(&self, text: &str) -> Result<Program, Issues> {
        let ast = syntax::parse(text, self.dialect())?;
        let checked = check::check(text, ast, self)?;
        let step = eval::plan(&checked);
        Ok(Program { checked, step })
    }
}

impl Program {
    /// The type of what it evaluates to.
    pub fn result_type(&self) -> &Type {
        self.checked.type_of(&self.checked.ast.root)
    }

    /// What it can cost, given how large the caller's values can be.
    pub fn estimate(&self, sizes: &dyn Sizes) -> Range {
        cost::estimate(&self.checked, sizes)
    }

    /// Evaluates it; what costs more than the limit is cancelled.
    pub fn evaluate<'a>(&'a self, variables: &dyn Variables<'a>, limit: u64) -> Evaluation<'a> {
        eval::run(&self.step, variables, limit)
    }

    /// Whether it reads a field of a variable by its name: `variable.field`, `variable.?field` or `has(variable.field)`.
    pub fn selects(&self, variable: &str, field: &str) -> bool {
        self.checked.ast.root.selects(variable, field)
    }

    /// The names of the caller's variables that it uses, each once.
    pub fn variables(&self) -> Vec<&str> {
        self.checked.variables()
    }
}
