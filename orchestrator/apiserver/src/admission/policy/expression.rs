//! Expressions of policies and match conditions, compiled once: when they are checked, and when they come into use.

use std::sync::Arc;

use wherry_cel::{Issues, Program, Type, Types};

use super::types::{self, Declared, Extras};

/// What an expression must evaluate to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Yields {
    /// Whether something holds.
    Truth,
    /// A message. It may not ask who may do what.
    Message,
    /// A text or nothing.
    Annotation,
    /// Anything.
    Anything,
    /// The operations of a JSON patch.
    Patches,
    /// A configuration that is applied.
    Configuration,
}

impl Yields {
    /// The types it may be of; none if it may be of any.
    fn types(self) -> Vec<Type> {
        match self {
            Self::Truth => vec![Type::Bool],
            Self::Message => vec![Type::String],
            Self::Annotation => vec![Type::String, Type::Null],
            Self::Anything => Vec::new(),
            Self::Patches => vec![types::patches()],
            Self::Configuration => vec![types::configuration()],
        }
    }

    fn check(self, result: &Type) -> Result<(), String> {
        let wanted = self.types();
        if wanted.is_empty() || wanted.contains(result) {
            return Ok(());
        }
        let names: Vec<String> = wanted.iter().map(Type::declared).collect();
        let got = result.declared();
        Err(match names.as_slice() {
            [one] => format!("must evaluate to {one} but got {got}"),
            many => format!("must evaluate to one of [{}] but got {got}", many.join(" ")),
        })
    }
}

/// Compiles the expressions of one policy, or of conditions that belong to none.
pub(crate) struct Compiler {
    object: Type,
    params: Option<Type>,
    /// The types of custom kinds that are known.
    custom: Vec<Arc<dyn Types>>,
    /// The variables declared so far; none where expressions cannot have any.
    declared: Option<Declared>,
}

impl Compiler {
    /// A compiler of expressions without variables, which may name parameters or not.
    pub(crate) fn new(params: bool) -> Self {
        Self { declared: None, ..Self::composing(params) }
    }

    /// A compiler of expressions that may name variables.
    pub(crate) fn composing(params: bool) -> Self {
        Self::typed(Type::Dyn, params.then_some(Type::Dyn), Vec::new())
    }

    /// A compiler of expressions that may name variables, about objects and parameters of these types, custom ones of
    /// which are in these.
    pub(super) fn typed(object: Type, params: Option<Type>, custom: Vec<Arc<dyn Types>>) -> Self {
        Self { object, params, custom, declared: Some(Declared::new()) }
    }

    /// What is wrong with an expression, whatever it evaluates to.
    pub(super) fn issues(&self, text: &str) -> Option<Issues> {
        self.check(text, Yields::Anything).err()
    }

    fn check(&self, text: &str, yields: Yields) -> Result<Program, Issues> {
        let extras = Extras {
            object: self.object.clone(),
            params: self.params.clone(),
            custom: self.custom.clone(),
            authorizer: yields != Yields::Message,
            changes: matches!(yields, Yields::Patches | Yields::Configuration),
        };
        types::env(&extras, self.declared.as_ref()).compile(text)
    }

    /// Compiles an expression; the error says why it is refused.
    pub(crate) fn compile(&self, text: &str, yields: Yields) -> Result<Program, String> {
        let compiled = self.check(text, yields);
        let program = compiled.map_err(|issues| format!("compilation failed: {issues}"))?;
        yields.check(program.result_type())?;
        Ok(program)
    }

    /// Compiles a variable, which later expressions may name whether it compiles or not.
    pub(crate) fn declare(&mut self, name: &str, text: &str) -> Result<Program, String> {
        let compiled = self.compile(text, Yields::Anything);
        let of = compiled.as_ref().map_or(Type::Dyn, |program| types::of_variable(program.result_type()));
        if let Some(declared) = &mut self.declared {
            declared.push((name.to_owned(), of));
        }
        compiled
    }
}

/// An expression in use.
#[derive(Debug)]
pub(crate) struct Expression {
    /// Its text.
    pub(crate) text: String,
    /// What it compiled to, or why it did not.
    pub(crate) program: Result<Program, String>,
}

impl Expression {
    /// Compiles it.
    pub(crate) fn new(compiler: &Compiler, text: &str, yields: Yields) -> Self {
        Self { text: text.to_owned(), program: compiler.compile(text, yields) }
    }
}

/// A variable of a policy.
#[derive(Debug)]
pub(crate) struct Variable {
    /// By this name, expressions have it as a field of `variables`.
    pub(crate) name: String,
    /// What it stands for, or why it stands for nothing.
    pub(crate) program: Result<Program, String>,
}

impl Variable {
    /// Compiles it.
    pub(crate) fn new(compiler: &mut Compiler, name: &str, text: &str) -> Self {
        Self { name: name.to_owned(), program: compiler.declare(name, text) }
    }
}

#[cfg(test)]
mod tests {
    use super::{Compiler, Yields};

    fn refusal(text: &str, yields: Yields) -> String {
        Compiler::new(false).compile(text, yields).expect_err("it does not compile")
    }

    #[test]
    fn what_does_not_compile_is_told_with_its_place() {
        assert_eq!(
            refusal("nope.x", Yields::Truth),
            "compilation failed: ERROR: <input>:1:1: undeclared reference to 'nope' (in container '')\n | nope.x\n | ^"
        );
        assert!(refusal("params.x == 1", Yields::Truth).contains("undeclared reference to 'params'"));
        assert!(refusal("request.nope == ''", Yields::Truth).contains("undefined field 'nope'"));
        assert!(
            refusal("string(authorizer)", Yields::Message).contains("undeclared reference to 'authorizer'")
        );
        assert!(refusal("variables.x == 1", Yields::Truth).contains("undeclared reference to 'variables'"));
        assert!(refusal("Object{}", Yields::Anything).contains("undeclared reference to 'Object'"));
    }

    #[test]
    fn expressions_must_evaluate_to_what_is_asked_for() {
        assert_eq!(refusal("object.x", Yields::Truth), "must evaluate to bool but got dyn");
        assert_eq!(refusal("['x']", Yields::Message), "must evaluate to string but got list(string)");
        assert_eq!(
            refusal("1", Yields::Annotation),
            "must evaluate to one of [string null_type] but got int"
        );
        assert_eq!(refusal("object", Yields::Patches), "must evaluate to list(JSONPatch) but got dyn");
        assert_eq!(
            refusal("Object.spec{}", Yields::Configuration),
            "must evaluate to Object but got Object.spec"
        );
    }

    #[test]
    fn variables_have_the_types_of_their_expressions() {
        let mut compiler = Compiler::composing(true);
        compiler.declare("count", "size(params.items)").expect("it compiles");
        assert!(compiler.declare("broken", "nope").is_err());
        assert!(compiler.compile("variables.count > 1 && variables.broken", Yields::Truth).is_ok());
        let error = compiler.compile("variables.count == 'x'", Yields::Truth).expect_err("types differ");
        assert!(error.contains("no matching overload for '_==_' applied to '(int, string)'"), "{error}");
        let error =
            compiler.compile("variables.other", Yields::Truth).expect_err("there is no such variable");
        assert!(error.contains("undefined field 'other'"), "{error}");
    }

    #[test]
    fn changes_are_made_of_their_own_types() {
        let compiler = Compiler::new(false);
        for text in [
            "[JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'c'}]",
            "object.x ? [JSONPatch{op: 'remove', path: '/a'}] : []",
        ] {
            compiler.compile(text, Yields::Patches).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
        let text = "Object{metadata: Object.metadata{labels: {'a': 'b'}}, spec: Object.spec{replicas: 1}}";
        compiler.compile(text, Yields::Configuration).unwrap_or_else(|error| panic!("{error}"));
        assert!(
            refusal("[JSONPatch{op: 1}]", Yields::Patches)
                .contains("expected type of field 'op' is 'string'")
        );
    }
}
