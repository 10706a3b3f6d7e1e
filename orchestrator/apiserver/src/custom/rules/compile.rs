//! [`Compiled`]: an expression of a schema, ready to be evaluated, or why it cannot be.

use std::sync::Arc;

use wherry_cel::{Env, Node, Program, Type};
use wherry_schema::structural::{Rule, Structural};

use super::decl::{Decl, Declared};
use crate::custom::path::split_field;

/// A rule, compiled.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) rule: Rule,
    /// The expression, or why there is none.
    pub(super) program: Result<Program, String>,
    /// The expression of its message, if it has one that can be used.
    pub(super) message: Option<Result<Program, String>>,
    /// Whether it compares with what was there before.
    pub(super) uses_old: bool,
    /// The field to blame, from the value.
    pub(super) blamed: Option<String>,
}

impl Compiled {
    /// Compiles a rule on values of a schema. Without an expression there is none.
    pub(super) fn new(rule: &Rule, schema: &Structural, decl: &Decl, types: &Arc<Declared>) -> Option<Self> {
        if rule.rule.trim().is_empty() {
            return None;
        }
        let old =
            if rule.optional_old == Some(true) { Type::optional(decl.of.clone()) } else { decl.of.clone() };
        let types: Arc<dyn wherry_cel::Types> = Arc::clone(types) as _;
        let env = Env::kubernetes().types(types).variable("self", decl.of.clone()).variable("oldSelf", old);
        let program = compile(&env, &rule.rule);
        let said = !rule.message_expression.is_empty() && program.is_ok();
        Some(Self {
            uses_old: program.as_ref().is_ok_and(|program| program.variables().contains(&"oldSelf")),
            program,
            message: said.then(|| compile_message(&env, &rule.message_expression)),
            blamed: blamed(schema, &rule.field_path),
            rule: rule.clone(),
        })
    }

    /// The most that evaluating it once can cost.
    pub(super) fn cost(&self, decl: &Decl) -> u64 {
        self.program.as_ref().map_or(0, |program| most(program, decl))
    }

    /// The most that its message can cost.
    pub(super) fn message_cost(&self, decl: &Decl) -> Option<u64> {
        self.message.as_ref()?.as_ref().ok().map(|program| most(program, decl))
    }

    /// The rule as messages call it.
    pub(super) fn name(&self) -> &str {
        let Rule { rule, message, .. } = &self.rule;
        if message.is_empty() { rule.trim() } else { message.trim() }
    }

    /// What is said when it is false, unless an expression says more.
    pub(super) fn said(&self) -> String {
        match self.rule.message.as_str() {
            "" => format!("failed rule: {}", self.rule.rule.trim()),
            message => message.trim().to_owned(),
        }
    }
}

fn most(program: &Program, decl: &Decl) -> u64 {
    program.estimate(&|node: Node<'_>| decl.size(node.path)).max
}

fn compile(env: &Env, text: &str) -> Result<Program, String> {
    let program = env.compile(text).map_err(|issues| format!("compilation failed: {issues}"))?;
    match program.result_type() {
        Type::Bool => Ok(program),
        _ => Err("cel expression must evaluate to a bool".to_owned()),
    }
}

fn compile_message(env: &Env, text: &str) -> Result<Program, String> {
    let compiled = env.compile(text);
    let program = compiled.map_err(|issues| format!("messageExpression compilation failed: {issues}"))?;
    match program.result_type() {
        Type::String => Ok(program),
        _ => Err("messageExpression must evaluate to a string".to_owned()),
    }
}

/// The field that a rule blames: `.a['b']`, as paths of errors show it.
fn blamed(schema: &Structural, path: &str) -> Option<String> {
    let (mut schema, mut rest, mut shown) = (schema, path, String::new());
    while !rest.is_empty() {
        let name;
        (name, rest) = split_field(rest)?;
        if schema.properties.contains_key(name) {
            let dot = if shown.is_empty() { "" } else { "." };
            shown = format!("{shown}{dot}{name}");
        } else {
            shown = format!("{shown}[{name}]");
        }
        schema = schema.field(name)?;
    }
    (!shown.is_empty()).then_some(shown)
}
