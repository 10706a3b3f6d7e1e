//! The grammar of the language definition by recursive descent. Depth and size are bounded; errors read as those of
//! cel-go's generated parser for the usual mistakes.

use super::ast::{Ast, Expr, Id, Kind as Node, Literal};
use super::lexer::{self, Kind, Token};
use super::problems::starts_operand;
use crate::source::Issues;

/// How deep an expression may nest.
pub(crate) const MAX_DEPTH: usize = 250;
/// How many characters an expression may have.
const MAX_SIZE: usize = 100_000;

/// Which parts of the language may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Dialect {
    /// The language definition's.
    Standard,
    /// `a.?b`, `a[?b]`, `[?a]`, `{?a: b}`, the macros of optionals, those with two variables, and `sortBy`.
    Kubernetes,
    /// Also `cel.bind`.
    Devices,
    /// Also names in back quotes.
    Extended,
}

impl Dialect {
    pub(super) fn is_kubernetes(self) -> bool {
        self >= Self::Kubernetes
    }

    pub(super) fn binds(self) -> bool {
        self >= Self::Devices
    }

    pub(super) fn is_extended(self) -> bool {
        self >= Self::Extended
    }
}

/// The error is reported; the parser gives up.
#[derive(Debug)]
pub(crate) struct Reported;

/// An expression with the depth of its tree.
pub(super) type Parsed = Result<(Expr, usize), Reported>;

/// Parses an expression.
pub(crate) fn parse(text: &str, dialect: Dialect) -> Result<Ast, Issues> {
    let mut issues = Issues::new(text);
    let size = text.chars().count();
    if size > MAX_SIZE {
        issues.report(0, format!("expression code point size exceeds limit: size: {size}, limit {MAX_SIZE}"));
        return Err(issues);
    }
    let tokens = lexer::tokens(text, &mut issues);
    let mut parser = Parser {
        text,
        tokens,
        at: 0,
        depth: 0,
        copied: 0,
        recovering: false,
        positions: Vec::new(),
        issues,
        dialect,
    };
    let parsed = parser.expr().and_then(|(root, _)| {
        parser.end()?;
        Ok(root)
    });
    let Parser { issues, positions, .. } = parser;
    issues.into_result()?;
    match parsed {
        Ok(root) => Ok(Ast { root, positions }),
        Err(Reported) => unreachable!("what gives up has reported why"),
    }
}

pub(super) struct Parser<'t> {
    pub(super) text: &'t str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// How many nodes macros have copied.
    copied: usize,
    /// Whether a syntax error was told and nothing was understood since.
    pub(super) recovering: bool,
    positions: Vec<usize>,
    issues: Issues,
    pub(super) dialect: Dialect,
}

impl<'t> Parser<'t> {
    pub(super) fn peek(&self) -> Token {
        self.tokens[self.at]
    }

    pub(super) fn ahead(&self, count: usize) -> Kind {
        self.tokens.get(self.at + count).map_or(Kind::End, |token| token.kind)
    }

    pub(super) fn next(&mut self) -> Token {
        let token = self.tokens[self.at];
        self.recovering = false;
        if token.kind != Kind::End {
            self.at += 1;
        }
        token
    }

    pub(super) fn is(&self, symbol: &str) -> bool {
        matches!(self.peek().kind, Kind::Symbol(here) if here == symbol)
    }

    pub(super) fn take(&mut self, symbol: &str) -> Option<Token> {
        if self.is(symbol) { Some(self.next()) } else { None }
    }

    pub(super) fn text_of(&self, token: Token) -> &'t str {
        &self.text[token.start..token.end]
    }

    pub(super) fn node(&mut self, position: usize, kind: Node) -> Expr {
        Expr { id: self.id(position), kind }
    }

    pub(super) fn id(&mut self, position: usize) -> Id {
        self.positions.push(position);
        self.positions.len() - 1
    }

    pub(super) fn position(&self, id: Id) -> usize {
        self.positions[id]
    }

    pub(super) fn report(&mut self, position: usize, message: impl Into<String>) {
        self.issues.report(position, message);
    }

    pub(super) fn call(&mut self, position: usize, function: &str, args: Vec<Expr>) -> Expr {
        self.node(position, Node::Call { target: None, function: function.to_owned(), args })
    }

    /// One level deeper than `depth`, unless that is too deep.
    pub(super) fn deeper(&mut self, depth: usize) -> Result<usize, Reported> {
        if depth < MAX_DEPTH {
            return Ok(depth + 1);
        }
        let at = self.peek().start;
        self.report(at, format!("expression recursion limit exceeded: {MAX_DEPTH}"));
        Err(Reported)
    }

    /// A copy of a node for a macro that needs it twice; what grows without bound by that is refused.
    pub(super) fn copy(&mut self, node: &Expr) -> Result<Expr, Reported> {
        self.copied = self.copied.saturating_add(node.size());
        if self.copied <= MAX_SIZE {
            return Ok(node.clone());
        }
        let at = self.position(node.id);
        self.report(at, "expression is too large after macro expansion");
        Err(Reported)
    }

    /// `condition ? a : b`, or what binds tighter.
    pub(super) fn expr(&mut self) -> Parsed {
        self.depth = self.deeper(self.depth)?;
        let result = self.conditional();
        self.depth -= 1;
        result
    }

    fn conditional(&mut self) -> Parsed {
        let (condition, depth) = self.operation()?;
        let Some(operator) = self.take("?") else { return Ok((condition, depth)) };
        let (truthy, left) = self.operation()?;
        self.expect(":")?;
        let (falsy, right) = self.expr()?;
        let depth = self.deeper(depth.max(left).max(right))?;
        Ok((self.call(operator.start, "_?_:_", vec![condition, truthy, falsy]), depth))
    }

    pub(super) fn unary(&mut self) -> Parsed {
        let first = self.peek();
        let symbol = match first.kind {
            Kind::Symbol(symbol @ "!") => symbol,
            Kind::Symbol(symbol @ "-") if !is_number(self.ahead(1)) => symbol,
            _ => return self.member(),
        };
        let mut count = 0;
        while self.is(symbol) && !(symbol == "-" && is_number(self.ahead(1))) {
            self.next();
            count += 1;
        }
        if symbol == "-" && !starts_operand(self.peek().kind) {
            return self.nothing_negated();
        }
        let (operand, depth) = self.member()?;
        if count % 2 == 0 {
            return Ok((operand, depth));
        }
        let function = if symbol == "!" { "!_" } else { "-_" };
        Ok((self.call(first.start, function, vec![operand]), self.deeper(depth)?))
    }

    /// A comma separated list of expressions until `close`.
    pub(super) fn arguments(&mut self, close: &str) -> Result<(Vec<Expr>, usize), Reported> {
        let (mut args, mut depth) = (Vec::new(), 0);
        if self.take(close).is_some() {
            return Ok((args, depth));
        }
        loop {
            let (arg, deep) = self.expr()?;
            args.push(arg);
            depth = depth.max(deep);
            if self.take(",").is_none() {
                self.expect(close)?;
                return Ok((args, depth));
            }
        }
    }

    pub(super) fn literal(&mut self, position: usize, literal: Literal) -> Expr {
        self.node(position, Node::Literal(literal))
    }
}

fn is_number(kind: Kind) -> bool {
    matches!(kind, Kind::Int | Kind::Float)
}
