//! Label and field selectors in their query-string form (`a=b,c in (d,e),!f`), parsed once and matched often.

/// What one clause of a label selector demands.
#[derive(Clone, Debug, PartialEq, Eq)]
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LabelRequirement {
    /// The label.
    pub key: String,
    /// The demand.
    pub operator: Operator,
}

/// Clauses that must all hold; empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    requirements: Vec<LabelRequirement>,
}

/// A selector that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// The text is no selector.
    #[error("unable to parse requirement: {0}")]
    Syntax(String),
    /// A key is no label key.
    #[error("unable to parse requirement: <nil>: Invalid value: \"{key}\": {reason}")]
    Key {
        /// The key.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A value is no label value.
    #[error("unable to parse requirement: values[0][{key}]: Invalid value: \"{value}\": {reason}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A field selector clause without an operator.
    #[error("invalid selector: '{0}'; can't understand '{1}'")]
    Field(String, String),
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

    fn requirement(&mut self) -> Result<LabelRequirement, SelectorError> {
        let negated = self.eat("!");
        let expected = format!("{}, expected: !, identifier, or 'end of string'", self.found());
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
                Ok(Operator::In(vec![self.value(key)?]))
            }
            Some(Token::Symbol("!=")) => {
                self.at += 1;
                Ok(Operator::NotIn(vec![self.value(key)?]))
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

    /// The value after `=`; nothing there means the empty value.
    fn value(&mut self, key: &str) -> Result<String, SelectorError> {
        match self.peek() {
            None | Some(Token::Symbol(",")) => Ok(String::new()),
            Some(Token::Word(word)) => {
                let word = (*word).to_owned();
                self.at += 1;
                check_value(key, &word)?;
                Ok(word)
            }
            Some(_) => Err(SelectorError::Syntax(format!("{}, expected: identifier", self.found()))),
        }
    }

    fn number(&mut self) -> Result<i64, SelectorError> {
        self.at += 1;
        let expected = format!("{}, expected: an integer", self.found());
        match self.next() {
            Some(Token::Word(word)) => word.parse().map_err(|_| SelectorError::Syntax(expected)),
            _ => Err(SelectorError::Syntax(expected)),
        }
    }

    fn values(&mut self, key: &str) -> Result<Vec<String>, SelectorError> {
        self.at += 1;
        if !self.eat("(") {
            return Err(SelectorError::Syntax(format!("{}, expected: '('", self.found())));
        }
        let mut values = Vec::new();
        loop {
            match self.next() {
                Some(Token::Word(word)) => {
                    check_value(key, word)?;
                    values.push(word.to_owned());
                    if self.eat(")") {
                        return Ok(values);
                    }
                    if !self.eat(",") {
                        return Err(SelectorError::Syntax(format!("{}, expected: ',' or ')'", self.found())));
                    }
                }
                Some(Token::Symbol(",")) => values.push(String::new()),
                Some(Token::Symbol(")")) => {
                    values.push(String::new());
                    return Ok(values);
                }
                _ => {
                    self.at = self.at.saturating_sub(1);
                    return Err(SelectorError::Syntax(format!(
                        "{}, expected: ',', ')' or identifier",
                        self.found()
                    )));
                }
            }
        }
    }
}

fn check_key(key: &str) -> Result<(), SelectorError> {
    crate::names::label_key(key).map_err(|reason| SelectorError::Key { key: key.to_owned(), reason })
}

fn check_value(key: &str, value: &str) -> Result<(), SelectorError> {
    crate::names::label_value(value).map_err(|reason| SelectorError::Value {
        key: key.to_owned(),
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
            requirements.push(parser.requirement()?);
            if parser.peek().is_none() {
                break;
            }
            if !parser.eat(",") {
                return Err(SelectorError::Syntax(format!(
                    "{}, expected: ',' or 'end of string'",
                    parser.found()
                )));
            }
            if parser.peek().is_none() {
                return Err(SelectorError::Syntax("found '', expected: identifier after ','".to_owned()));
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

/// How a field selector clause compares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldOp {
    /// `=` or `==`.
    Eq,
    /// `!=`.
    NotEq,
}

/// One clause of a field selector.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRequirement {
    /// The field's path: `spec.nodeName`.
    pub field: String,
    /// The comparison.
    pub op: FieldOp,
    /// The value; a missing field counts as empty.
    pub value: String,
}

/// Field clauses that must all hold; empty selects everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    requirements: Vec<FieldRequirement>,
}

impl FieldSelector {
    /// Reads the query-string form; `\` escapes `,`, `=` and itself in values.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let clauses = split_unescaped(text);
        let requirements = clauses
            .iter()
            .filter(|clause| !clause.is_empty())
            .map(|clause| field_requirement(text, clause))
            .collect::<Result<_, _>>()?;
        Ok(Self { requirements })
    }

    /// The clauses.
    pub fn requirements(&self) -> &[FieldRequirement] {
        &self.requirements
    }

    /// Whether everything is selected.
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether fields, looked up by `field`, satisfy every clause.
    pub fn matches<'a>(&self, field: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.requirements.iter().all(|r| {
            let equal = field(&r.field).unwrap_or_default() == r.value;
            equal == (r.op == FieldOp::Eq)
        })
    }
}

fn split_unescaped(text: &str) -> Vec<&str> {
    let mut clauses = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (i, c) in text.char_indices() {
        match c {
            '\\' if !escaped => escaped = true,
            ',' if !escaped => {
                clauses.push(&text[start..i]);
                start = i + 1;
            }
            _ => escaped = false,
        }
    }
    clauses.push(&text[start..]);
    clauses
}

fn field_requirement(whole: &str, clause: &str) -> Result<FieldRequirement, SelectorError> {
    let fail = || SelectorError::Field(whole.to_owned(), clause.to_owned());
    let at = clause.find(['=', '!']).ok_or_else(fail)?;
    let (field, rest) = clause.split_at(at);
    let (op, value) = if let Some(value) = rest.strip_prefix("!=") {
        (FieldOp::NotEq, value)
    } else if let Some(value) = rest.strip_prefix("==").or_else(|| rest.strip_prefix('=')) {
        (FieldOp::Eq, value)
    } else {
        return Err(fail());
    };
    Ok(FieldRequirement { field: field.to_owned(), op, value: unescape(value).ok_or_else(fail)? })
}

fn unescape(value: &str) -> Option<String> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(chars.next().filter(|e| ['\\', ',', '='].contains(e))?),
            ',' | '=' => return None,
            _ => out.push(c),
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn labels(key: &str) -> Option<&'static str> {
        [("app", "web"), ("tier", "front"), ("n", "5"), ("empty", "")]
            .into_iter()
            .find(|(k, _)| *k == key)
            .map(|(_, v)| v)
    }

    #[rstest]
    #[case("", true)]
    #[case("app", true)]
    #[case("!app", false)]
    #[case("app=web", true)]
    #[case("app == web , tier!=back", true)]
    #[case("app in (web, api)", true)]
    #[case("app notin (web)", false)]
    #[case("missing notin (x)", true)]
    #[case("missing!=x", true)]
    #[case("missing", false)]
    #[case("n>4,n<6", true)]
    #[case("n>5", false)]
    #[case("empty=", true)]
    #[case("empty in ()", true)]
    #[case("app.kubernetes.io/name", false)]
    fn label_selectors(#[case] text: &str, #[case] expected: bool) {
        assert_eq!(LabelSelector::parse(text).unwrap().matches(labels), expected);
    }

    #[rstest]
    #[case("a b")]
    #[case("a in b")]
    #[case("a in (b")]
    #[case("=x")]
    #[case("a,")]
    #[case("a>x")]
    #[case("a=b=c")]
    #[case("-a=b")]
    #[case("a=-b")]
    fn bad_label_selectors_are_refused(#[case] text: &str) {
        assert!(LabelSelector::parse(text).is_err());
    }

    #[rstest]
    #[case("metadata.name=a", true)]
    #[case("metadata.name==a,spec.nodeName!=n1", true)]
    #[case("spec.nodeName=", true)]
    #[case("metadata.name!=a", false)]
    fn field_selectors(#[case] text: &str, #[case] expected: bool) {
        let field = |f: &str| (f == "metadata.name").then_some("a");
        assert_eq!(FieldSelector::parse(text).unwrap().matches(field), expected);
    }

    #[test]
    fn field_values_can_be_escaped() {
        let selector = FieldSelector::parse(r"a=x\,y\=z\\").unwrap();
        assert_eq!(selector.requirements()[0].value, r"x,y=z\");
    }

    #[test]
    fn bad_field_selectors_are_refused() {
        let error = FieldSelector::parse("metadata.name").unwrap_err();
        assert_eq!(error.to_string(), "invalid selector: 'metadata.name'; can't understand 'metadata.name'");
        assert!(FieldSelector::parse("a=b=c").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_without_panic(text in "\\PC{0,60}") {
            let _ = LabelSelector::parse(&text);
            let _ = FieldSelector::parse(&text);
        }
    }
}
