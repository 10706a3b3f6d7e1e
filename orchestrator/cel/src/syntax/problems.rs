//! What is told of wrong syntax: the texts of the parser that ANTLR generates for cel-go, which leaves out or makes up one
//! token where that helps, and after an error tells no other before it understood something again.

use super::ast::{Expr, Literal};
use super::lexer::{Kind, Token};
use super::parser::{Parsed, Parser, Reported};

/// What begins an operand, as errors list it.
pub(super) const OPERAND: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
/// What may follow the bracket of a list.
pub(super) const IN_LIST: &str = "{'[', ']', '{', '(', '.', ',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
/// What may follow the bracket of a map.
pub(super) const IN_MAP: &str = "{'[', '{', '}', '(', '.', ',', '-', '!', '?', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
/// What may follow the bracket of a message.
pub(super) const IN_MESSAGE: &str = "{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}";

/// Whether an operand can begin with this.
pub(super) fn starts_operand(kind: Kind) -> bool {
    match kind {
        Kind::Symbol(symbol) => {
            matches!(symbol, "[" | "{" | "(" | "." | "-" | "!" | "true" | "false" | "null")
        }
        Kind::Float | Kind::Int | Kind::Uint | Kind::String | Kind::Bytes | Kind::Ident => true,
        Kind::End | Kind::EscapedIdent => false,
    }
}

/// Whether this can follow an operand that is missing, so that reading goes on there.
fn follows_operand(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Symbol(
            "==" | "!="
                | "in"
                | "<"
                | "<="
                | ">="
                | ">"
                | "&&"
                | "||"
                | "?"
                | "+"
                | "*"
                | "/"
                | "%"
                | "["
                | "."
        )
    )
}

impl Parser<'_> {
    fn shown(&self, token: Token) -> &str {
        if token.kind == Kind::End { "<EOF>" } else { self.text_of(token) }
    }

    /// Tells a syntax error, unless one was told and nothing was understood since.
    fn wrong(&mut self, position: usize, message: &str) {
        if !self.recovering {
            self.report(position, format!("Syntax error: {message}"));
        }
        self.recovering = true;
    }

    /// Tells that the token here is not what is expected, and whether leaving it out helps.
    fn unwanted(&mut self, expected: &str, helps: bool) {
        let token = self.peek();
        let what = if helps { "extraneous" } else { "mismatched" };
        let message = format!("{what} input '{}' expecting {expected}", self.shown(token));
        self.wrong(token.start, &message);
    }

    /// What stands for an operand that could not be read.
    pub(super) fn missing(&mut self) -> Expr {
        let at = self.peek().start;
        self.literal(at, Literal::Null)
    }

    /// Takes a symbol that has to stand here.
    pub(super) fn expect(&mut self, symbol: &str) -> Result<Token, Reported> {
        if let Some(token) = self.take(symbol) {
            return Ok(token);
        }
        if matches!(self.ahead(1), Kind::Symbol(behind) if behind == symbol) {
            self.unwanted(&format!("'{symbol}'"), true);
            self.next();
            return Ok(self.next());
        }
        let token = self.peek();
        if token.kind == Kind::End && symbol != ":" {
            self.wrong(token.start, &format!("missing '{symbol}' at '<EOF>'"));
        } else {
            self.unwanted(&format!("'{symbol}'"), false);
        }
        Err(Reported)
    }

    /// Nothing may follow.
    pub(super) fn end(&mut self) -> Result<(), Reported> {
        if self.peek().kind == Kind::End {
            return Ok(());
        }
        self.unwanted("<EOF>", self.ahead(1) == Kind::End);
        Err(Reported)
    }

    /// Sees to it that one of these kinds of tokens comes, leaving out one that does not belong here.
    pub(super) fn ensure(&mut self, expected: &str, fits: impl Fn(Kind) -> bool) -> Result<(), Reported> {
        if fits(self.peek().kind) {
            return Ok(());
        }
        let helps = fits(self.ahead(1));
        self.unwanted(expected, helps);
        if !helps {
            return Err(Reported);
        }
        self.next();
        Ok(())
    }

    /// An operand has to begin here; one that is missing is made up before an operator.
    pub(super) fn ensure_operand(&mut self) -> Result<Option<Expr>, Reported> {
        match self.ensure(OPERAND, starts_operand) {
            Err(Reported) if follows_operand(self.peek().kind) => Ok(Some(self.missing())),
            ensured => ensured.map(|()| None),
        }
    }

    /// A name is missing behind the token before this one.
    pub(super) fn no_name<T>(&mut self, dot: Token) -> Result<T, Reported> {
        let token = self.peek();
        let input = self.text[dot.start..token.end].trim_end().to_owned();
        self.wrong(token.start, &format!("no viable alternative at input '{input}'"));
        Err(Reported)
    }

    /// Nothing follows a minus that could be negated.
    pub(super) fn nothing_negated(&mut self) -> Parsed {
        let token = self.peek();
        let shown = if token.kind == Kind::End { "" } else { self.text_of(token) };
        self.wrong(token.start, &format!("no viable alternative at input '-{shown}'"));
        if token.kind == Kind::End {
            self.recovering = false;
            self.unwanted(OPERAND, false);
        }
        Err(Reported)
    }
}
