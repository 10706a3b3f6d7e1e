//! Text to tokens. What is no token is reported and skipped, as the grammar's generated lexer does.

use crate::source::Issues;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    End,
    /// An operator, a bracket or a word of the grammar: `==`, `[`, `true`, `in`.
    Symbol(&'static str),
    Float,
    Int,
    Uint,
    String,
    Bytes,
    Ident,
    EscapedIdent,
}

/// A piece of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) start: usize,
    pub(crate) end: usize,
}

const SYMBOLS: [&str; 25] = [
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!", "?", ":",
    "+", "*", "/", "%", "in",
];
const WORDS: [&str; 4] = ["in", "true", "false", "null"];

/// All tokens of a text, the last an [`Kind::End`].
pub(crate) fn tokens(text: &str, issues: &mut Issues) -> Vec<Token> {
    let mut lexer = Lexer { text, bytes: text.as_bytes(), at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        let start = lexer.at;
        if start == text.len() {
            tokens.push(Token { kind: Kind::End, start, end: start });
            return tokens;
        }
        if let Ok(kind) = lexer.token() {
            tokens.push(Token { kind, start, end: lexer.at });
        } else {
            let wrong = shown(&text[start..lexer.at]);
            issues.report(start, format!("Syntax error: token recognition error at: '{wrong}'"));
        }
    }
}

fn shown(text: &str) -> String {
    text.replace('\n', "\\n").replace('\r', "\\r").replace('\t', "\\t")
}

struct Lexer<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn skip_while(&mut self, wanted: impl Fn(u8) -> bool) -> usize {
        let start = self.at;
        while self.at < self.bytes.len() && wanted(self.bytes[self.at]) {
            self.at += 1;
        }
        self.at - start
    }

    fn skip_blank(&mut self) {
        loop {
            let blank = self.skip_while(|b| matches!(b, b' ' | b'\t' | b'\r' | b'\n' | b'\x0c'));
            if self.bytes[self.at..].starts_with(b"//") {
                self.skip_while(|b| b != b'\n');
            } else if blank == 0 {
                return;
            }
        }
    }

    /// The token here; after an error the place is behind what was wrong.
    fn token(&mut self) -> Result<Kind, ()> {
        let first = self.peek(0);
        match first {
            b'0'..=b'9' => return Ok(self.number()),
            b'.' if self.peek(1).is_ascii_digit() => return Ok(self.number()),
            b'"' | b'\'' => return self.string(false).map(|()| Kind::String),
            b'`' => return self.escaped(),
            _ => {}
        }
        if let Some(kind) = self.prefixed_string() {
            return kind;
        }
        if first.is_ascii_alphabetic() || first == b'_' {
            return Ok(self.word());
        }
        self.symbol()
    }

    fn symbol(&mut self) -> Result<Kind, ()> {
        let rest = &self.bytes[self.at..];
        if let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(symbol.as_bytes())) {
            self.at += symbol.len();
            return Ok(Kind::Symbol(symbol));
        }
        let half_operator = matches!(self.peek(0), b'|' | b'&' | b'=');
        let width = |at: usize| self.text[at..].chars().next().map_or(0, char::len_utf8);
        let first = width(self.at);
        self.at += first + if half_operator { width(self.at + first) } else { 0 };
        Err(())
    }

    fn word(&mut self) -> Kind {
        let start = self.at;
        self.skip_while(|b| b.is_ascii_alphanumeric() || b == b'_');
        let word = &self.text[start..self.at];
        WORDS.iter().find(|known| **known == word).map_or(Kind::Ident, |known| Kind::Symbol(known))
    }

    fn escaped(&mut self) -> Result<Kind, ()> {
        self.at += 1;
        let inside =
            self.skip_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-' | b'/' | b' '));
        if inside > 0 && self.peek(0) == b'`' {
            self.at += 1;
            return Ok(Kind::EscapedIdent);
        }
        Err(())
    }

    fn number(&mut self) -> Kind {
        if self.peek(0) == b'0' && self.peek(1) == b'x' && self.peek(2).is_ascii_hexdigit() {
            self.at += 2;
            self.skip_while(|b| b.is_ascii_hexdigit());
            return self.unsigned_or(Kind::Int);
        }
        self.skip_while(|b| b.is_ascii_digit());
        let mut kind = Kind::Int;
        if self.peek(0) == b'.' && self.peek(1).is_ascii_digit() {
            self.at += 1;
            self.skip_while(|b| b.is_ascii_digit());
            kind = Kind::Float;
        }
        if matches!(self.peek(0), b'e' | b'E') {
            let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
            if self.peek(1 + sign).is_ascii_digit() {
                self.at += 1 + sign;
                self.skip_while(|b| b.is_ascii_digit());
                kind = Kind::Float;
            }
        }
        if kind == Kind::Int { self.unsigned_or(kind) } else { kind }
    }

    fn unsigned_or(&mut self, kind: Kind) -> Kind {
        if matches!(self.peek(0), b'u' | b'U') {
            self.at += 1;
            return Kind::Uint;
        }
        kind
    }

    /// A string with `r`, `b` or `br` before it.
    fn prefixed_string(&mut self) -> Option<Result<Kind, ()>> {
        let is = |at: usize, letter: u8| self.peek(at).eq_ignore_ascii_case(&letter);
        let bytes = is(0, b'b');
        let raw = is(usize::from(bytes), b'r');
        let prefix = usize::from(bytes) + usize::from(raw);
        if prefix == 0 || !matches!(self.peek(prefix), b'"' | b'\'') {
            return None;
        }
        self.at += prefix;
        Some(self.string(raw).map(|()| if bytes { Kind::Bytes } else { Kind::String }))
    }

    fn string(&mut self, raw: bool) -> Result<(), ()> {
        let quote = self.peek(0);
        let triple = self.peek(1) == quote && self.peek(2) == quote;
        let length = if triple { 3 } else { 1 };
        self.at += length;
        while self.at < self.bytes.len() {
            let byte = self.peek(0);
            if byte == quote && (!triple || (self.peek(1) == quote && self.peek(2) == quote)) {
                self.at += length;
                return Ok(());
            }
            if !triple && matches!(byte, b'\n' | b'\r') {
                return Err(());
            }
            self.at += if byte == b'\\' && !raw && self.at + 1 < self.bytes.len() { 2 } else { 1 };
        }
        self.at = self.bytes.len();
        Err(())
    }
}
