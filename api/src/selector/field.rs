//! Field selectors: clauses over the paths that a kind lets clients select by.

use std::fmt;

use super::SelectorError;

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
        let mut clauses = split_unescaped(text);
        clauses.sort_unstable();
        let requirements = clauses
            .iter()
            .filter(|clause| !clause.is_empty())
            .map(|clause| field_requirement(text, clause))
            .collect::<Result<_, _>>()?;
        Ok(Self { requirements })
    }

    /// The selector of what has this value in a field.
    pub fn exactly(field: &str, value: &str) -> Self {
        let clause = FieldRequirement { field: field.to_owned(), op: FieldOp::Eq, value: value.to_owned() };
        Self { requirements: vec![clause] }
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
    let operators = [("!=", FieldOp::NotEq), ("==", FieldOp::Eq), ("=", FieldOp::Eq)];
    let found = clause.char_indices().find_map(|(at, _)| {
        let rest = &clause[at..];
        operators.iter().find_map(|(sign, op)| Some((at, *op, rest.strip_prefix(sign)?)))
    });
    let Some((at, op, value)) = found else {
        return Err(SelectorError::Field(whole.to_owned(), clause.to_owned()));
    };
    Ok(FieldRequirement { field: clause[..at].to_owned(), op, value: unescape(value)? })
}

fn unescape(value: &str) -> Result<String, SelectorError> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('\\' | ',' | '=')) => out.push(escaped),
                other => {
                    let sequence = std::iter::once('\\').chain(other).collect();
                    return Err(SelectorError::Escape(sequence));
                }
            },
            ',' | '=' => return Err(SelectorError::Unescaped(u32::from(c))),
            _ => out.push(c),
        }
    }
    Ok(out)
}

impl fmt::Display for FieldSelector {
    /// The query-string form, which reads back as the same selector.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, FieldRequirement { field, op, value }) in self.requirements.iter().enumerate() {
            let separator = if index > 0 { "," } else { "" };
            let sign = if *op == FieldOp::Eq { "=" } else { "!=" };
            let value = value.replace('\\', r"\\").replace(',', r"\,").replace('=', r"\=");
            write!(f, "{separator}{field}{sign}{value}")?;
        }
        Ok(())
    }
}
