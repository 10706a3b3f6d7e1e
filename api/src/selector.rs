//! Label and field selectors in their query-string form (`a=b,c in (d,e),!f`), parsed once and matched often.

mod field;
mod index;

use std::collections::BTreeSet;
use std::fmt;

pub use field::{FieldOp, FieldRequirement, FieldSelector};
pub use index::SelectorIndex;

/// What one clause of a label selector demands.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// The label is there with one of the values.
    In(Vec<String>),
    /// The label is missing or has none of the values.
    NotIn(Vec<String>),
    /// The label is there.
    Exists,
    /// The label is missing.
    DoesNotExist,
    /// The label is there and a number above this one.
    GreaterThan(i64),
    /// The label is there and a number below this one.
    LessThan(i64),
}

/// One clause of a label selector.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LabelRequirement {
    /// The label.
    pub key: String,
    /// The demand.
    pub operator: Operator,
}

/// Clauses that must all hold; empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LabelSelector {
    requirements: Vec<LabelRequirement>,
}

/// A selector that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// A clause is none.
    #[error("unable to parse requirement: {0}")]
    Syntax(String),
    /// What stands between clauses does not separate them.
    #[error("{0}")]
    Sequence(String),
    /// A key is no label key.
    #[error("unable to parse requirement: <nil>: Invalid value: \"{key}\": {reason}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A value is no label value.
    #[error("unable to parse requirement: values[{index}][{key}]: Invalid value: \"{value}\": {reason}")]
    Value {
        /// The key.
        key: String,
        /// Which of its values, in their order.
        index: usize,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A value that must be a number is none.
    #[error(
        "unable to parse requirement: values[0]: Invalid value: {0:?}: for 'Gt', 'Lt' operators, the value must be an \
         integer"
    )]
    Number(String),
    /// A field selector clause without an operator.
    #[error("invalid selector: '{0}'; can't understand '{1}'")]
    Field(String, String),
    /// A backslash before something that needs none.
    #[error("invalid field selector: invalid escape sequence: {0}")]
    Escape(String),
    /// A separator in a value, as its code.
    #[error("invalid field selector: unescaped character in value: {0}")]
    Unescaped(u32),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Symbol(&'static str),
}

/// Longest symbols first, so that `==` is not read as two `=`.
const SYMBOLS: [&str; 9] = ["==", "!=", "=", "!", ",", "(", ")", ">", "<"];

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut rest = text.trim_start();
    let mut out = Vec::new();
    while !rest.is_empty() {
        if let Some(symbol) = SYMBOLS.iter().find(|s| rest.starts_with(**s)) {
            out.push(Token::Symbol(symbol));
            rest = rest[symbol.len()..].trim_start();
        } else {
            let special = |c: char| c.is_whitespace() || "=!,()<>".contains(c);
            let end = rest.find(special).unwrap_or(rest.len());
            out.push(Token::Word(&rest[..end]));
            rest = rest[end..].trim_start();
        }
    }
    out
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&Token<'a>> {
        self.tokens.get(self.at)
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.tokens.get(self.at).cloned();
        self.at += usize::from(token.is_some());
        token
    }

    fn eat(&mut self, symbol: &'static str) -> bool {
        let found = self.peek() == Some(&Token::Symbol(symbol));
        self.at += usize::from(found);
        found
    }

    fn found(&self) -> String {
        match self.peek() {
            None => "found ''".to_owned(),
            Some(Token::Word(w)) => format!("found '{w}'"),
            Some(Token::Symbol(s)) => format!("found '{s}'"),
        }
    }

    /// Whether a clause can begin here.
    fn at_requirement(&self) -> bool {
        matches!(self.peek(), Some(Token::Word(_) | Token::Symbol("!")))
    }

    fn requirement(&mut self) -> Result<LabelRequirement, SelectorError> {
        let negated = self.eat("!");
        let expected = format!("{}, expected: identifier", self.found());
        let Some(Token::Word(key)) = self.next() else { return Err(SelectorError::Syntax(expected)) };
        check_key(key)?;
        let operator = if negated { Operator::DoesNotExist } else { self.operator(key)? };
        Ok(LabelRequirement { key: key.to_owned(), operator })
    }

    fn operator(&mut self, key: &str) -> Result<Operator, SelectorError> {
        match self.peek() {
            None | Some(Token::Symbol(",")) => Ok(Operator::Exists),
            Some(Token::Symbol("=" | "==")) => {
                self.at += 1;
                Ok(Operator::In(vec![self.checked_value(key)?]))
            }
            Some(Token::Symbol("!=")) => {
                self.at += 1;
                Ok(Operator::NotIn(vec![self.checked_value(key)?]))
            }
            Some(Token::Symbol(">")) => self.number().map(Operator::GreaterThan),
            Some(Token::Symbol("<")) => self.number().map(Operator::LessThan),
            Some(Token::Word("in")) => self.values(key).map(Operator::In),
            Some(Token::Word("notin")) => self.values(key).map(Operator::NotIn),
            Some(_) => Err(SelectorError::Syntax(format!(
                "{}, expected: in, notin, =, ==, !=, gt, lt",
                self.found()
            ))),
        }
    }

    fn checked_value(&mut self, key: &str) -> Result<String, SelectorError> {
        let value = self.value()?;
        check_value(key, 0, &value)?;
        Ok(value)
    }

    /// The value after an operator; nothing there means the empty value.
    fn value(&mut self) -> Result<String, SelectorError> {
        match self.peek() {
            None | Some(Token::Symbol(",")) => Ok(String::new()),
            Some(Token::Word(word)) => {
                let word = (*word).to_owned();
                self.at += 1;
                Ok(word)
            }
            Some(_) => Err(SelectorError::Syntax(format!("{}, expected: identifier", self.found()))),
        }
    }

    fn number(&mut self) -> Result<i64, SelectorError> {
        self.at += 1;
        let value = self.value()?;
        value.parse().map_err(|_| SelectorError::Number(value))
    }

    /// The values in parentheses, sorted and each once.
    fn values(&mut self, key: &str) -> Result<Vec<String>, SelectorError> {
        self.at += 1;
        if !self.eat("(") {
            return Err(SelectorError::Syntax(format!("{} expected: '('", self.found())));
        }
        let values = match self.peek() {
            Some(Token::Word(_) | Token::Symbol(",")) => self.identifiers()?,
            Some(Token::Symbol(")")) => BTreeSet::from([String::new()]),
            _ => {
                let text = format!("{}, expected: ',', ')' or identifier", self.found());
                return Err(SelectorError::Syntax(text));
            }
        };
        if !self.eat(")") {
            return Err(SelectorError::Syntax(format!("{}, expected: ')'", self.found())));
        }
        let values: Vec<String> = values.into_iter().collect();
        values.iter().enumerate().try_for_each(|(at, value)| check_value(key, at, value))?;
        Ok(values)
    }

    /// Words separated by commas; nothing between two commas is the empty word.
    fn identifiers(&mut self) -> Result<BTreeSet<String>, SelectorError> {
        let mut words = BTreeSet::new();
        loop {
            match self.peek() {
                Some(Token::Word(word)) => {
                    words.insert((*word).to_owned());
                    self.at += 1;
                    match self.peek() {
                        Some(Token::Symbol(",")) => {}
                        Some(Token::Symbol(")")) => return Ok(words),
                        _ => {
                            let text = format!("{}, expected: ',' or ')'", self.found());
                            return Err(SelectorError::Syntax(text));
                        }
                    }
                }
                Some(Token::Symbol(",")) => {
                    self.at += 1;
                    if words.is_empty() || self.eat(",") {
                        words.insert(String::new());
                    }
                    if self.peek() == Some(&Token::Symbol(")")) {
                        words.insert(String::new());
                        return Ok(words);
                    }
                }
                _ => {
                    let text = format!("{}, expected: ',', or identifier", self.found());
                    return Err(SelectorError::Syntax(text));
                }
            }
        }
    }
}

fn check_key(key: &str) -> Result<(), SelectorError> {
    crate::names::label_key(key).map_err(|reason| {
        let reason = reason.replacen("a qualified name", "a valid label key", 1);
        SelectorError::Key { key: key.to_owned(), reason }
    })
}

fn check_value(key: &str, index: usize, value: &str) -> Result<(), SelectorError> {
    crate::names::label_value(value).map_err(|reason| SelectorError::Value {
        key: key.to_owned(),
        index,
        value: value.to_owned(),
        reason,
    })
}

impl LabelSelector {
    /// Reads the query-string form; empty text selects everything.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser { tokens: tokens(text), at: 0 };
        let mut requirements = Vec::new();
        while parser.peek().is_some() {
            if !parser.at_requirement() {
                let text = format!("{}, expected: !, identifier, or 'end of string'", parser.found());
                return Err(SelectorError::Sequence(text));
            }
            requirements.push(parser.requirement()?);
            if parser.peek().is_none() {
                break;
            }
            if !parser.eat(",") {
                let text = format!("{}, expected: ',' or 'end of string'", parser.found());
                return Err(SelectorError::Sequence(text));
            }
            if !parser.at_requirement() {
                let text = format!("{}, expected: identifier after ','", parser.found());
                return Err(SelectorError::Sequence(text));
            }
        }
        Ok(Self { requirements })
    }

    /// A selector of these clauses, for selectors that come as objects (`matchLabels`, `matchExpressions`).
    pub fn from_requirements(requirements: Vec<LabelRequirement>) -> Self {
        Self { requirements }
    }

    /// The clauses.
    pub fn requirements(&self) -> &[LabelRequirement] {
        &self.requirements
    }

    /// The labels that must be there with one value only.
    pub fn labels(&self) -> impl Iterator<Item = (&String, &String)> {
        self.requirements.iter().filter_map(|clause| match &clause.operator {
            Operator::In(values) => match values.as_slice() {
                [value] => Some((&clause.key, value)),
                _ => None,
            },
            _ => None,
        })
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether labels, looked up by `label`, satisfy every clause.
    pub fn matches<'a>(&self, label: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|r| {
            let value = label(&r.key);
            let number = || value.and_then(|v| v.parse::<i64>().ok());
            match &r.operator {
                Operator::In(values) => value.is_some_and(|v| values.iter().any(|x| x == v)),
                Operator::NotIn(values) => value.is_none_or(|v| values.iter().all(|x| x != v)),
                Operator::Exists => value.is_some(),
                Operator::DoesNotExist => value.is_none(),
                Operator::GreaterThan(than) => number().is_some_and(|n| n > *than),
                Operator::LessThan(than) => number().is_some_and(|n| n < *than),
            }
        })
    }
}

impl fmt::Display for LabelSelector {
    /// The query-string form, which reads back as the same selector.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, LabelRequirement { key, operator }) in self.requirements.iter().enumerate() {
            f.write_str(if index > 0 { "," } else { "" })?;
            match operator {
                Operator::In(values) if values.len() == 1 => write!(f, "{key}={}", values[0]),
                Operator::In(values) => write!(f, "{key} in ({})", values.join(",")),
                Operator::NotIn(values) if values.len() == 1 => write!(f, "{key}!={}", values[0]),
                Operator::NotIn(values) => write!(f, "{key} notin ({})", values.join(",")),
                Operator::Exists => f.write_str(key),
                Operator::DoesNotExist => write!(f, "!{key}"),
                Operator::GreaterThan(than) => write!(f, "{key}>{than}"),
                Operator::LessThan(than) => write!(f, "{key}<{than}"),
            }?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
