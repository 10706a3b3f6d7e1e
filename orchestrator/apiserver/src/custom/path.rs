//! Paths into custom objects: the part of JSONPath that columns, selectable fields and scales use.
//!
//! `.spec.size`, `.spec['a.b']`, `.status.conditions[0].type`, `.items[*].name`,
//! `.status.conditions[?(@.type=="Ready")].status`. What a path does not find is missing, never an error.

use wherry_schema::Value;

/// A path.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// A field of an object.
    Field(String),
    /// An item of a list; those before zero count from the end.
    Item(i64),
    /// Every item or field.
    All,
    /// The items whose field compares so.
    Where { field: Path, op: Op, value: Value },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Exists,
    Equal,
    Different,
}

/// The first field of a path of fields only, `.spec.size` or `['a.b'].c`, and the rest.
pub(crate) fn split_field(path: &str) -> Option<(&str, &str)> {
    if let Some(quoted) = path.strip_prefix("['") {
        return quoted.split_once("']");
    }
    let plain = path.strip_prefix('.')?;
    Some(plain.split_at(plain.find(['.', '[']).unwrap_or(plain.len())))
}

impl Path {
    /// Reads a path; none if it is of no form known here.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (mut steps, mut rest) = (Vec::new(), text);
        while !rest.is_empty() {
            let (step, after) = match rest.strip_prefix('[') {
                Some(inside) => bracket(inside)?,
                None => field(rest.strip_prefix('.')?)?,
            };
            steps.push(step);
            rest = after;
        }
        Some(Self(steps))
    }

    /// What is at the path, in order.
    pub(crate) fn find<'v>(&self, object: &'v Value) -> Vec<&'v Value> {
        self.0
            .iter()
            .fold(vec![object], |found, step| found.into_iter().flat_map(|value| step.of(value)).collect())
    }

    /// The first value at the path.
    pub(crate) fn first<'v>(&self, object: &'v Value) -> Option<&'v Value> {
        self.find(object).into_iter().next()
    }
}

impl Step {
    fn of<'v>(&self, value: &'v Value) -> Vec<&'v Value> {
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Item(index) => item(value, *index).into_iter().collect(),
            Self::All => match value {
                Value::Array(items) => items.iter().collect(),
                Value::Object(fields) => fields.values().collect(),
                _ => Vec::new(),
            },
            Self::Where { field, op, value: wanted } => {
                let items = value.as_array().into_iter().flatten();
                let fits = |item: &&Value| match (field.first(item), op) {
                    (None, _) => false,
                    (Some(_), Op::Exists) => true,
                    (Some(found), Op::Equal) => found == wanted,
                    (Some(found), Op::Different) => found != wanted,
                };
                items.filter(fits).collect()
            }
        }
    }
}

fn item(value: &Value, index: i64) -> Option<&Value> {
    let items = value.as_array()?;
    let length = i64::try_from(items.len()).ok()?;
    let index = if index < 0 { index.checked_add(length)? } else { index };
    items.get(usize::try_from(index).ok()?)
}

/// A field's name, which may escape dots, and what follows it.
fn field(text: &str) -> Option<(Step, &str)> {
    if let Some(rest) = text.strip_prefix('*') {
        return Some((Step::All, rest));
    }
    let (mut name, mut escaped) = (String::new(), false);
    for (at, c) in text.char_indices() {
        match c {
            '.' | '[' if !escaped => return (!name.is_empty()).then(|| (Step::Field(name), &text[at..])),
            '\\' if !escaped => escaped = true,
            c => {
                name.push(c);
                escaped = false;
            }
        }
    }
    (!name.is_empty() && !escaped).then_some((Step::Field(name), ""))
}

/// What is between brackets, and what follows them.
fn bracket(text: &str) -> Option<(Step, &str)> {
    if let Some(rest) = text.strip_prefix("*]") {
        return Some((Step::All, rest));
    }
    if let Some(condition) = text.strip_prefix("?(@") {
        let (condition, rest) = condition.split_once(")]")?;
        return Some((filter(condition)?, rest));
    }
    for quote in ['\'', '"'] {
        if let Some(quoted) = text.strip_prefix(quote) {
            let (name, rest) = quoted.split_once(quote)?;
            return Some((Step::Field(name.to_owned()), rest.strip_prefix(']')?));
        }
    }
    let (index, rest) = text.split_once(']')?;
    Some((Step::Item(index.trim().parse().ok()?), rest))
}

/// A condition on items: `.type=="Ready"`.
fn filter(text: &str) -> Option<Step> {
    let operator = [("==", Op::Equal), ("!=", Op::Different)].into_iter();
    let found =
        operator.filter_map(|(sign, op)| Some((text.find(sign)?, sign, op))).min_by_key(|(at, ..)| *at);
    let Some((at, sign, op)) = found else {
        return Some(Step::Where { field: Path::parse(text.trim())?, op: Op::Exists, value: Value::Null });
    };
    let value = literal(text[at + sign.len()..].trim())?;
    Some(Step::Where { field: Path::parse(text[..at].trim())?, op, value })
}

fn literal(text: &str) -> Option<Value> {
    let quoted = text.strip_prefix('\'').and_then(|rest| rest.strip_suffix('\''));
    match quoted {
        Some(text) => Some(text.into()),
        None => Value::from_json(text.as_bytes())
            .ok()
            .filter(|value| !matches!(value, Value::Array(_) | Value::Object(_))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(".spec.size", "[3]")]
    #[case(".spec['a.b'].c", "[true]")]
    #[case(r".spec.a\.b.c", "[true]")]
    #[case(".status.conditions[0].type", r#"["Ready"]"#)]
    #[case(".status.conditions[-1].type", r#"["Done"]"#)]
    #[case(".status.conditions[*].type", r#"["Ready","Done"]"#)]
    #[case(r#".status.conditions[?(@.type=="Done")].status"#, r#"["False"]"#)]
    #[case(".status.conditions[?(@.type=='Ready')].status", r#"["True"]"#)]
    #[case(r#".status.conditions[?(@.type!="Ready")].type"#, r#"["Done"]"#)]
    #[case(".status.conditions[?(@.reason)].type", r#"["Done"]"#)]
    #[case(".status.conditions[9].type", "[]")]
    #[case(".nope.deeper", "[]")]
    fn a_path_finds_what_is_there(#[case] path: &str, #[case] expected: &str) {
        let object = br#"{"spec":{"size":3,"a.b":{"c":true}},"status":{"conditions":[
            {"type":"Ready","status":"True"},{"type":"Done","status":"False","reason":"r"}]}}"#;
        let object = Value::from_json(object).unwrap();
        let found: Vec<Value> = Path::parse(path).unwrap().find(&object).into_iter().cloned().collect();
        assert_eq!(Value::Array(found).to_string(), expected, "{path}");
    }

    #[rstest]
    #[case("spec")]
    #[case(".")]
    #[case("..a")]
    #[case(".a[")]
    #[case(".a['b]")]
    #[case(".a[?(@.b==)]")]
    #[case(r".a\")]
    fn what_is_no_path_is_refused(#[case] path: &str) {
        assert_eq!(Path::parse(path), None);
    }

    proptest! {
        #[test]
        fn any_text_is_a_path_or_none(text in r#"([.\[\]*?(@)='"\\a-c!0-9-]|\PC){0,24}"#) {
            if let Some(path) = Path::parse(&text) {
                path.find(&Value::from_json(br#"{"a":{"b":[1,{"c":"x"}]},"b":[[]]}"#).unwrap());
            }
        }
    }
}
