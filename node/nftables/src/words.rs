//! Reading words one after the other, and what statements have in common.

use crate::Error;
use crate::lexer::{Kind, Token};
use crate::syntax::Verdict;

/// Longer names the kernel has not.
const LONGEST_NAME: usize = 255;

/// The words that are left.
pub(crate) struct Words<'a, 't> {
    tokens: &'t [Token<'a>],
    /// That of the last one that was taken.
    pub(crate) line: usize,
}

impl<'a, 't> Words<'a, 't> {
    pub(crate) fn of(tokens: &'t [Token<'a>]) -> Self {
        Self { tokens, line: 1 }
    }

    /// Whether there are none.
    pub(crate) fn is_over(&self) -> bool {
        self.tokens.is_empty()
    }

    pub(crate) fn peek(&self) -> Option<Kind<'a>> {
        self.tokens.first().map(|token| token.kind)
    }

    pub(crate) fn next(&mut self) -> Option<Kind<'a>> {
        let (first, rest) = self.tokens.split_first()?;
        (self.tokens, self.line) = (rest, first.line);
        Some(first.kind)
    }

    pub(crate) fn next_if_word(&mut self) -> Option<&'a str> {
        let Some(Kind::Word(word)) = self.peek() else { return None };
        self.next();
        Some(word)
    }

    /// A word; `what` is expected.
    pub(crate) fn word(&mut self, what: &str) -> Result<&'a str, Error> {
        self.next_if_word().ok_or_else(|| self.unexpected(what))
    }

    /// A word, in quotes or not.
    pub(crate) fn quoted(&mut self, what: &str) -> Result<&'a str, Error> {
        match self.peek() {
            Some(Kind::Quoted(word)) => {
                self.next();
                Ok(word)
            }
            _ => self.word(what),
        }
    }

    /// The name of a table, chain or set.
    pub(crate) fn name(&mut self) -> Result<String, Error> {
        let name = self.word("a name")?;
        if name.len() > LONGEST_NAME || name.contains('\0') {
            return Err(self.error(format!("a name has at most {LONGEST_NAME} bytes")));
        }
        Ok(name.to_owned())
    }

    pub(crate) fn word_if(&mut self, word: &str) -> bool {
        let is_next = matches!(self.peek(), Some(Kind::Word(next)) if next == word);
        if is_next {
            self.next();
        }
        is_next
    }

    pub(crate) fn expect(&mut self, word: &str) -> Result<(), Error> {
        if self.word_if(word) { Ok(()) } else { Err(self.unexpected(word)) }
    }

    pub(crate) fn open(&mut self) -> Result<(), Error> {
        if self.sign_if(Kind::Open) { Ok(()) } else { Err(self.unexpected("{")) }
    }

    pub(crate) fn close_if(&mut self) -> bool {
        self.sign_if(Kind::Close)
    }

    pub(crate) fn comma_if(&mut self) -> bool {
        self.sign_if(Kind::Comma)
    }

    fn sign_if(&mut self, sign: Kind<'_>) -> bool {
        let is_next = self.peek() == Some(sign);
        if is_next {
            self.next();
        }
        is_next
    }

    /// Whether a statement ends here.
    pub(crate) fn is_at_end(&self) -> bool {
        matches!(self.peek(), None | Some(Kind::End | Kind::Close))
    }

    pub(crate) fn end(&mut self) -> Result<(), Error> {
        if self.tokens.is_empty() || self.sign_if(Kind::End) {
            Ok(())
        } else {
            Err(self.unexpected("its end"))
        }
    }

    pub(crate) fn skip_ends(&mut self) {
        while self.sign_if(Kind::End) {}
    }

    /// `{ …, … }`, which may go over several lines; it has something.
    pub(crate) fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, Error>) -> Result<Vec<T>, Error> {
        self.open()?;
        let mut items = Vec::new();
        loop {
            self.skip_ends();
            items.push(item(self)?);
            self.skip_ends();
            if self.close_if() {
                return Ok(items);
            }
            if !self.comma_if() {
                return Err(self.unexpected(", or }"));
            }
        }
    }

    /// `… . …`
    pub(crate) fn parts<T>(&mut self, part: impl Fn(&mut Self) -> Result<T, Error>) -> Result<Vec<T>, Error> {
        let mut parts = vec![part(self)?];
        while self.word_if(".") {
            parts.push(part(self)?);
        }
        Ok(parts)
    }

    pub(crate) fn verdict_if(&mut self) -> Result<Option<Verdict>, Error> {
        let Some(Kind::Word(word)) = self.peek() else { return Ok(None) };
        let verdict = match word {
            "accept" => Verdict::Accept,
            "drop" => Verdict::Drop,
            "return" => Verdict::Return,
            "jump" | "goto" => {
                self.next();
                let chain = self.name()?;
                return Ok(Some(if word == "jump" { Verdict::Jump(chain) } else { Verdict::Goto(chain) }));
            }
            _ => return Ok(None),
        };
        self.next();
        Ok(Some(verdict))
    }

    pub(crate) fn error(&self, message: impl Into<String>) -> Error {
        Error::Syntax { line: self.line, message: message.into() }
    }

    pub(crate) fn unexpected(&self, expected: &str) -> Error {
        let found = match self.peek() {
            None => "the end of the script",
            Some(Kind::Word(word) | Kind::Quoted(word)) => word,
            Some(Kind::Open) => "{",
            Some(Kind::Close) => "}",
            Some(Kind::Comma) => ",",
            Some(Kind::End) => "the end of the statement",
        };
        self.error(format!("there is {found} instead of {expected}"))
    }
}
