//! Macros: calls that expand to other expressions before anything is checked.

use super::ast::{ACCUMULATOR, Element, Expr, Fold, Kind as Node, Literal};
use super::parser::{Parser, Reported};

const NO_NAME: &str = "argument must be a simple name";
const NO_IDENTIFIER: &str = "argument is not an identifier";

impl Parser<'_> {
    /// `function(args)`, or what the macro of that name expands it to.
    pub(super) fn expand_global(
        &mut self,
        at: usize,
        function: String,
        args: Vec<Expr>,
    ) -> Result<Expr, Reported> {
        if function != "has" || args.len() != 1 {
            return Ok(self.node(at, Node::Call { target: None, function, args }));
        }
        match args.into_iter().next() {
            Some(Expr { kind: Node::Select { operand, field, .. }, .. }) => {
                Ok(self.node(at, Node::Select { operand, field, test: true }))
            }
            Some(Expr { kind: Node::Call { function, args, .. }, .. }) if function == "_?._" => {
                Ok(self.has_optional(at, args))
            }
            other => {
                let position = other.map_or(at, |arg| self.position(arg.id));
                self.report(position, "invalid argument to has() macro");
                Err(Reported)
            }
        }
    }

    /// `has(a.?b)` asks whether there is a value.
    fn has_optional(&mut self, at: usize, args: Vec<Expr>) -> Expr {
        let select = self.call(at, "_?._", args);
        self.member_call(at, select, "hasValue", Vec::new())
    }

    pub(super) fn member_call(&mut self, at: usize, target: Expr, function: &str, args: Vec<Expr>) -> Expr {
        self.node(at, Node::Call { target: Some(Box::new(target)), function: function.to_owned(), args })
    }

    /// `target.function(args)`, or what the macro of that name expands it to.
    pub(super) fn expand_member(
        &mut self,
        at: usize,
        target: Expr,
        function: String,
        args: Vec<Expr>,
    ) -> Result<Expr, Reported> {
        let two = self.dialect.is_kubernetes();
        match (function.as_str(), args.len()) {
            ("all" | "exists" | "exists_one" | "existsOne", 2) => {
                self.quantifier(at, target, &function, args)
            }
            ("all" | "exists" | "exists_one" | "existsOne", 3) if two => {
                self.quantifier(at, target, &function, args)
            }
            ("map", 2 | 3) => self.map_list(at, target, args, 1),
            ("filter", 2) => self.filter(at, target, args),
            ("transformList", 3 | 4) if two => self.map_list(at, target, args, 2),
            ("transformMap", 3 | 4) if two => self.transform_map(at, target, args, false),
            ("transformMapEntry", 3 | 4) if two => self.transform_map(at, target, args, true),
            ("bind", 3)
                if self.dialect.binds() && matches!(&target.kind, Node::Ident(name) if name == "cel") =>
            {
                self.bind(at, args)
            }
            ("optMap" | "optFlatMap", 2) if self.dialect.is_kubernetes() => {
                self.optional_map(at, target, &function, args)
            }
            ("sortBy", 2) if self.dialect.is_kubernetes() => self.sort_by(at, target, args),
            _ => Ok(self.node(at, Node::Call { target: Some(Box::new(target)), function, args })),
        }
    }

    /// The names at the head of the arguments, and the rest.
    pub(super) fn variables(
        &mut self,
        mut args: Vec<Expr>,
        count: usize,
        wrong: &str,
    ) -> Result<(Vec<String>, Vec<Expr>), Reported> {
        let rest = args.split_off(count);
        let mut names = Vec::new();
        for arg in args {
            let Node::Ident(name) = arg.kind else {
                let position = self.position(arg.id);
                self.report(position, wrong);
                return Err(Reported);
            };
            if name == ACCUMULATOR {
                let position = self.position(arg.id);
                self.report(position, "iteration variable overwrites accumulator variable");
                return Err(Reported);
            }
            names.push(name);
        }
        Ok((names, rest))
    }

    pub(super) fn ident(&mut self, at: usize, name: &str) -> Expr {
        self.node(at, Node::Ident(name.to_owned()))
    }

    fn accumulator(&mut self, at: usize) -> Expr {
        self.ident(at, ACCUMULATOR)
    }

    pub(super) fn boolean(&mut self, at: usize, value: bool) -> Expr {
        self.literal(at, Literal::Bool(value))
    }

    fn quantifier(
        &mut self,
        at: usize,
        range: Expr,
        function: &str,
        args: Vec<Expr>,
    ) -> Result<Expr, Reported> {
        let count = args.len() - 1;
        let (names, rest) = self.variables(args, count, NO_NAME)?;
        let predicate = only(rest);
        let accumulator = self.accumulator(at);
        let (init, condition, step, result);
        match function {
            "all" => {
                init = self.boolean(at, true);
                condition = self.call(at, "@not_strictly_false", vec![accumulator]);
                let accumulator = self.accumulator(at);
                step = self.call(at, "_&&_", vec![accumulator, predicate]);
                result = self.accumulator(at);
            }
            "exists" => {
                init = self.boolean(at, false);
                let not = self.call(at, "!_", vec![accumulator]);
                condition = self.call(at, "@not_strictly_false", vec![not]);
                let accumulator = self.accumulator(at);
                step = self.call(at, "_||_", vec![accumulator, predicate]);
                result = self.accumulator(at);
            }
            _ => {
                init = self.literal(at, Literal::Int(0));
                condition = self.boolean(at, true);
                let one = self.literal(at, Literal::Int(1));
                let more = self.call(at, "_+_", vec![accumulator, one]);
                let same = self.accumulator(at);
                step = self.call(at, "_?_:_", vec![predicate, more, same]);
                let (count, one) = (self.accumulator(at), self.literal(at, Literal::Int(1)));
                result = self.call(at, "_==_", vec![count, one]);
            }
        }
        Ok(self.fold(at, range, names, [init, condition, step, result]))
    }

    fn fold(&mut self, at: usize, range: Expr, names: Vec<String>, parts: [Expr; 4]) -> Expr {
        let [init, condition, step, result] = parts;
        let mut names = names.into_iter();
        let variable = names.next().expect("a fold has a variable");
        let accumulator = ACCUMULATOR.to_owned();
        let fold = Fold { range, variable, second: names.next(), accumulator, init, condition, step, result };
        self.node(at, Node::Fold(Box::new(fold)))
    }

    /// A fold whose step is `step`, or keeps the accumulator where `filter` does not hold.
    fn collect(
        &mut self,
        at: usize,
        range: Expr,
        names: Vec<String>,
        parts: (Expr, Option<Expr>, Expr),
    ) -> Expr {
        let (init, filter, step) = parts;
        let step = match filter {
            None => step,
            Some(filter) => {
                let same = self.accumulator(at);
                self.call(at, "_?_:_", vec![filter, step, same])
            }
        };
        let (condition, result) = (self.boolean(at, true), self.accumulator(at));
        self.fold(at, range, names, [init, condition, step, result])
    }

    fn append(&mut self, at: usize, item: Expr) -> Expr {
        let accumulator = self.accumulator(at);
        let list = self.node(at, Node::List(vec![Element { value: item, optional: false }]));
        self.call(at, "_+_", vec![accumulator, list])
    }

    pub(super) fn map_list(
        &mut self,
        at: usize,
        range: Expr,
        args: Vec<Expr>,
        count: usize,
    ) -> Result<Expr, Reported> {
        let wrong = if count == 1 { NO_IDENTIFIER } else { NO_NAME };
        let (names, mut rest) = self.variables(args, count, wrong)?;
        let filter = if rest.len() == 2 { Some(rest.remove(0)) } else { None };
        let step = self.append(at, only(rest));
        let init = self.node(at, Node::List(Vec::new()));
        Ok(self.collect(at, range, names, (init, filter, step)))
    }

    fn filter(&mut self, at: usize, range: Expr, args: Vec<Expr>) -> Result<Expr, Reported> {
        let (names, rest) = self.variables(args, 1, NO_IDENTIFIER)?;
        let item = self.ident(at, &names[0]);
        let step = self.append(at, item);
        let init = self.node(at, Node::List(Vec::new()));
        Ok(self.collect(at, range, names, (init, Some(only(rest)), step)))
    }

    fn transform_map(
        &mut self,
        at: usize,
        range: Expr,
        args: Vec<Expr>,
        entry: bool,
    ) -> Result<Expr, Reported> {
        let (names, mut rest) = self.variables(args, 2, NO_NAME)?;
        let filter = if rest.len() == 2 { Some(rest.remove(0)) } else { None };
        let mut parts = vec![self.accumulator(at)];
        if !entry {
            parts.push(self.ident(at, &names[0]));
        }
        parts.push(only(rest));
        let step = self.call(at, "cel.@mapInsert", parts);
        let init = self.node(at, Node::Map(Vec::new()));
        Ok(self.collect(at, range, names, (init, filter, step)))
    }
}

/// The only one of a list of one.
pub(super) fn only(args: Vec<Expr>) -> Expr {
    args.into_iter().next_back().expect("the macro has the argument")
}
