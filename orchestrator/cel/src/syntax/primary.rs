//! Names, literals, lists, maps, messages, and what follows them: selections, calls and indices.

use super::ast::{Element, Entry, Expr, Field, Kind as Node, Literal};
use super::lexer::{Kind, Token};
use super::literal;
use super::parser::{Parsed, Parser, Reported};
use super::problems::{IN_LIST, IN_MAP, IN_MESSAGE, starts_operand};

/// Words that languages around this one need.
const RESERVED: [&str; 18] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// How much deeper the expansion of a macro is than a call.
const MACRO_DEPTH: usize = 3;

impl Parser<'_> {
    /// A primary expression with the selections, calls and indices behind it.
    pub(super) fn member(&mut self) -> Parsed {
        let (mut operand, mut depth) = self.primary()?;
        loop {
            let token = self.peek();
            (operand, depth) = match token.kind {
                Kind::Symbol(".") => self.selection(operand, depth)?,
                Kind::Symbol("[") => self.index(operand, depth)?,
                Kind::Symbol("{") if operand.qualified_name().is_some() => self.message(&operand)?,
                _ => return Ok((operand, depth)),
            };
        }
    }

    fn selection(&mut self, operand: Expr, depth: usize) -> Parsed {
        let dot = self.next();
        let optional = self.optional_mark()?;
        let (name, escaped) = self.field_name(dot)?;
        if let (false, false, Some(open)) = (optional, escaped, self.take("(")) {
            let (args, deep) = self.arguments(")")?;
            let call = self.expand_member(open.start, operand, name, args);
            let call = call.unwrap_or_else(|Reported| self.missing());
            let inside = if matches!(call.kind, Node::Fold(_)) { MACRO_DEPTH } else { 0 };
            return Ok((call, self.deeper(depth.max(deep) + inside)?));
        }
        let depth = self.deeper(depth)?;
        if optional {
            let field = self.literal(dot.start, Literal::String(name.into()));
            return Ok((self.call(dot.start, "_?._", vec![operand, field]), depth));
        }
        let select = Node::Select { operand: Box::new(operand), field: name, test: false };
        Ok((self.node(dot.start, select), depth))
    }

    fn index(&mut self, operand: Expr, depth: usize) -> Parsed {
        let open = self.next();
        let function = if self.optional_mark()? { "_[?_]" } else { "_[_]" };
        let (index, deep) = self.expr()?;
        self.expect("]")?;
        let depth = self.deeper(depth.max(deep))?;
        Ok((self.call(open.start, function, vec![operand, index]), depth))
    }

    /// Whether a `?` stands here.
    fn optional_mark(&mut self) -> Result<bool, Reported> {
        let Some(mark) = self.take("?") else { return Ok(false) };
        if self.dialect.is_kubernetes() {
            return Ok(true);
        }
        self.report(mark.start, "unsupported syntax '?'");
        Err(Reported)
    }

    fn field_name(&mut self, before: Token) -> Result<(String, bool), Reported> {
        let token = self.peek();
        let text = self.text_of(token);
        match token.kind {
            Kind::Ident => {
                self.next();
                Ok((text.to_owned(), false))
            }
            Kind::EscapedIdent if self.dialect.is_extended() => {
                self.next();
                Ok((text[1..text.len() - 1].to_owned(), true))
            }
            Kind::EscapedIdent => {
                self.report(token.start, "unsupported syntax: '`'");
                Err(Reported)
            }
            _ => self.no_name(before),
        }
    }

    fn message(&mut self, name: &Expr) -> Parsed {
        let open = self.next();
        let name = name.qualified_name().expect("the caller saw that it is one");
        let (mut fields, mut depth) = (Vec::new(), 0);
        while self.take("}").is_none() {
            self.ensure(IN_MESSAGE, |kind| {
                matches!(kind, Kind::Ident | Kind::EscapedIdent | Kind::Symbol("?" | "}"))
            })?;
            let optional = self.optional_mark()?;
            let (field, _) = self.field_name(open)?;
            let colon = self.expect(":")?;
            let id = self.id(colon.start);
            let (value, deep) = self.expr()?;
            depth = depth.max(deep);
            fields.push(Field { id, name: field, value, optional });
            self.separator("}")?;
        }
        let depth = self.deeper(depth)?;
        Ok((self.node(open.start, Node::Message { name, fields }), depth))
    }

    /// A comma, or nothing before the closing bracket.
    fn separator(&mut self, close: &str) -> Result<(), Reported> {
        let ends = |kind| matches!(kind, Kind::Symbol(symbol) if symbol == "," || symbol == close);
        self.ensure(&format!("{{'{close}', ','}}"), ends)?;
        self.take(",");
        Ok(())
    }

    fn primary(&mut self) -> Parsed {
        if let Some(missing) = self.ensure_operand()? {
            return Ok((missing, 1));
        }
        let token = self.peek();
        match token.kind {
            Kind::Symbol("(") => {
                self.next();
                let inner = self.expr()?;
                self.expect(")")?;
                Ok(inner)
            }
            Kind::Symbol("[") => self.list(),
            Kind::Symbol("{") => self.map(),
            Kind::Symbol(".") if self.ahead(1) == Kind::Ident => {
                self.next();
                let name = self.next();
                self.name(name)
            }
            Kind::Symbol(".") => {
                self.next();
                self.no_name(token)
            }
            Kind::Ident => {
                self.next();
                self.name(token)
            }
            _ => Ok((self.constant()?, 1)),
        }
    }

    /// A name or a call of it.
    fn name(&mut self, token: Token) -> Parsed {
        if RESERVED.contains(&self.text_of(token)) {
            self.report(token.start, format!("reserved identifier: {}", self.text_of(token)));
            return Ok((self.literal(token.start, Literal::Null), 1));
        }
        let name = self.text_of(token).to_owned();
        let Some(open) = self.take("(") else { return Ok((self.node(token.start, Node::Ident(name)), 1)) };
        let (args, depth) = self.arguments(")")?;
        let depth = self.deeper(depth)?;
        let call = self.expand_global(open.start, name, args);
        Ok((call.unwrap_or_else(|Reported| self.missing()), depth))
    }

    fn list(&mut self) -> Parsed {
        let open = self.next();
        let (mut items, mut depth) = (Vec::new(), 0);
        self.ensure(IN_LIST, |kind| starts_operand(kind) || matches!(kind, Kind::Symbol("]" | "," | "?")))?;
        if self.take(",").is_some() && !self.is("]") {
            self.expect("]")?;
        }
        while self.take("]").is_none() {
            let optional = self.optional_mark()?;
            let (value, deep) = self.expr()?;
            depth = depth.max(deep);
            items.push(Element { value, optional });
            self.separator("]")?;
        }
        let depth = self.deeper(depth)?;
        Ok((self.node(open.start, Node::List(items)), depth))
    }

    fn map(&mut self) -> Parsed {
        let open = self.next();
        let (mut entries, mut depth) = (Vec::new(), 0);
        self.ensure(IN_MAP, |kind| starts_operand(kind) || matches!(kind, Kind::Symbol("}" | "," | "?")))?;
        if self.take(",").is_some() && !self.is("}") {
            self.expect("}")?;
        }
        while self.take("}").is_none() {
            let optional = self.optional_mark()?;
            let (key, deep) = self.expr()?;
            self.expect(":")?;
            let (value, deeper) = self.expr()?;
            depth = depth.max(deep).max(deeper);
            entries.push(Entry { key, value, optional });
            self.separator("}")?;
        }
        let depth = self.deeper(depth)?;
        Ok((self.node(open.start, Node::Map(entries)), depth))
    }

    fn constant(&mut self) -> Result<Expr, Reported> {
        let start = self.peek().start;
        let minus = self.take("-").is_some();
        let token = self.peek();
        let text = &self.text[if minus { start } else { token.start }..token.end];
        let literal = match token.kind {
            Kind::Int => integer(text).map(Literal::Int).ok_or("invalid int literal"),
            Kind::Uint => unsigned(text).map(Literal::Uint).ok_or("invalid uint literal"),
            Kind::Float => double(text).map(Literal::Double).ok_or("invalid double literal"),
            Kind::String => literal::string(text).map(|text| Literal::String(text.into())),
            Kind::Bytes => literal::bytes(&text[1..]).map(|bytes| Literal::Bytes(bytes.into())),
            Kind::Symbol("true") => Ok(Literal::Bool(true)),
            Kind::Symbol("false") => Ok(Literal::Bool(false)),
            Kind::Symbol("null") => Ok(Literal::Null),
            _ => {
                self.ensure_operand()?;
                return self.no_name(token);
            }
        };
        self.next();
        let literal = literal.unwrap_or_else(|message| {
            self.report(start, message);
            Literal::Null
        });
        Ok(self.literal(start, literal))
    }
}

fn integer(text: &str) -> Option<i64> {
    let (sign, digits) = text.strip_prefix('-').map_or(("", text), |digits| ("-", digits.trim_start()));
    match digits.strip_prefix("0x") {
        Some(hex) => i64::from_str_radix(&format!("{sign}{hex}"), 16).ok(),
        None => format!("{sign}{digits}").parse().ok(),
    }
}

fn unsigned(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(['u', 'U']);
    match digits.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    }
}

fn double(text: &str) -> Option<f64> {
    let digits: String = text.chars().filter(|char| !char.is_whitespace()).collect();
    digits.parse().ok().filter(|number: &f64| number.is_finite())
}
