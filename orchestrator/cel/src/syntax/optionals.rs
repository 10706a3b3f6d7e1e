//! Macros that give a value a name: `cel.bind`, and `optMap` and `optFlatMap` of optional values; and `sortBy`.

use super::ast::{Expr, Fold, Kind as Node};
use super::macros::only;
use super::parser::{Parser, Reported};

impl Parser<'_> {
    /// `cel.bind(name, value, expression)`.
    pub(super) fn bind(&mut self, at: usize, args: Vec<Expr>) -> Result<Expr, Reported> {
        let wrong = "cel.bind() variable names must be simple identifiers";
        let (mut names, mut rest) = self.variables(args, 1, wrong)?;
        let expression = rest.pop().expect("the macro has three arguments");
        Ok(self.binding(at, names.swap_remove(0), only(rest), expression))
    }

    /// `expression` where `name` stands for `value`.
    fn binding(&mut self, at: usize, name: String, value: Expr, expression: Expr) -> Expr {
        let range = self.node(at, Node::List(Vec::new()));
        let (condition, step) = (self.boolean(at, false), self.ident(at, &name));
        let variable = "#unused".to_owned();
        let fold = Fold {
            range,
            variable,
            second: None,
            accumulator: name,
            init: value,
            condition,
            step,
            result: expression,
        };
        self.node(at, Node::Fold(Box::new(fold)))
    }

    /// `target.hasValue() ? optional.of(expression with the value) : optional.none()`.
    pub(super) fn optional_map(
        &mut self,
        at: usize,
        target: Expr,
        function: &str,
        args: Vec<Expr>,
    ) -> Result<Expr, Reported> {
        let wrong = format!("{function}() variable name must be a simple identifier");
        let (mut names, rest) = self.variables(args, 1, &wrong)?;
        let copy = self.copy(&target)?;
        let has_value = self.member_call(at, copy, "hasValue", Vec::new());
        let value = self.member_call(at, target, "value", Vec::new());
        let mut some = self.binding(at, names.swap_remove(0), value, only(rest));
        if function == "optMap" {
            let namespace = self.ident(at, "optional");
            some = self.member_call(at, namespace, "of", vec![some]);
        }
        let namespace = self.ident(at, "optional");
        let none = self.member_call(at, namespace, "none", Vec::new());
        Ok(self.call(at, "_?_:_", vec![has_value, some, none]))
    }

    /// `list.sortBy(v, key)`: the list sorted by the keys that a map over it makes.
    pub(super) fn sort_by(&mut self, at: usize, target: Expr, args: Vec<Expr>) -> Result<Expr, Reported> {
        let name = "@__sortBy_input__".to_owned();
        let input = self.ident(at, &name);
        let keys = self.map_list(at, input, args, 1)?;
        let input = self.ident(at, &name);
        let sorted = self.member_call(at, input, "@sortByAssociatedKeys", vec![keys]);
        Ok(self.binding(at, name, target, sorted))
    }
}
