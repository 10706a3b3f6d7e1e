//! JSON patch (RFC 6902). A patch that fails changes nothing.

use super::{PatchError, type_name};
use crate::value::{Value, parse_index, unescape};

/// Operations beyond this many are refused, as by Kubernetes.
const MOST_OPERATIONS: usize = 10_000;

/// Applies a JSON patch: a list of operations, all or none.
pub fn json_patch(target: &mut Value, patch: &Value) -> Result<(), PatchError> {
    let Value::Array(operations) = patch else {
        return Err(PatchError::Shape { found: type_name(patch), expected: "jsonpatch.Patch" });
    };
    if operations.len() > MOST_OPERATIONS {
        let reason = format!("The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}");
        return Err(PatchError::Operation { index: MOST_OPERATIONS, reason });
    }
    let mut document = target.clone();
    for (index, operation) in operations.iter().enumerate() {
        apply(&mut document, operation).map_err(|reason| PatchError::Operation { index, reason })?;
    }
    *target = document;
    Ok(())
}

fn apply(document: &mut Value, operation: &Value) -> Result<(), String> {
    let path = Pointer::parse(member(operation, "path")?)?;
    match member(operation, "op")? {
        "add" => add(document, &path, value(operation)?.clone()),
        "remove" => remove(document, &path).map(drop),
        "replace" => replace(document, &path, value(operation)?.clone()),
        "move" => {
            let from = Pointer::parse(member(operation, "from")?)?;
            if path.0.len() > from.0.len() && path.0.starts_with(&from.0) {
                return Err("a value cannot be moved into itself".to_owned());
            }
            let moved = remove(document, &from)?;
            add(document, &path, moved)
        }
        "copy" => {
            let from = Pointer::parse(member(operation, "from")?)?;
            let copied = find(document, &from)?.clone();
            add(document, &path, copied)
        }
        "test" => test(document, &path, value(operation)?),
        other => Err(format!("unexpected kind: {other}")),
    }
}

fn member<'a>(operation: &'a Value, name: &str) -> Result<&'a str, String> {
    operation.get(name).and_then(Value::as_str).ok_or_else(|| format!("no {name}"))
}

fn value(operation: &Value) -> Result<&Value, String> {
    operation.get("value").ok_or_else(|| "no value".to_owned())
}

fn test(document: &Value, path: &Pointer, expected: &Value) -> Result<(), String> {
    let found = match find(document, path) {
        Ok(found) => found,
        // Kubernetes' library takes an absent member for null.
        Err(_) if expected.is_null() => return Ok(()),
        Err(reason) => return Err(reason),
    };
    if same(found, expected) { Ok(()) } else { Err(format!("testing value {path} failed")) }
}

/// Equality of JSON values, where `1` and `1.0` are one number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Int(_) | Value::Float(_), Value::Int(_) | Value::Float(_)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
        }
        _ => a == b,
    }
}

fn add(document: &mut Value, path: &Pointer, value: Value) -> Result<(), String> {
    let Some((last, parent)) = path.0.split_last() else {
        *document = value;
        return Ok(());
    };
    match walk(document, parent)? {
        Value::Object(object) => {
            object.insert(last.as_str(), value);
            Ok(())
        }
        Value::Array(items) => {
            let at = if last == "-" { Some(items.len()) } else { parse_index(last) };
            let at = at.filter(|at| *at <= items.len()).ok_or_else(|| path.missing())?;
            items.insert(at, value);
            Ok(())
        }
        _ => Err(path.missing()),
    }
}

fn remove(document: &mut Value, path: &Pointer) -> Result<Value, String> {
    let (last, parent) =
        path.0.split_last().ok_or_else(|| "the whole document cannot be removed".to_owned())?;
    let removed = match walk(document, parent)? {
        Value::Object(object) => object.remove(last),
        Value::Array(items) => parse_index(last).filter(|at| *at < items.len()).map(|at| items.remove(at)),
        _ => None,
    };
    removed.ok_or_else(|| path.missing())
}

fn replace(document: &mut Value, path: &Pointer, value: Value) -> Result<(), String> {
    *walk(document, &path.0)? = value;
    Ok(())
}

fn find<'a>(document: &'a Value, path: &Pointer) -> Result<&'a Value, String> {
    path.0.iter().try_fold(document, |value, token| child(value, token)).ok_or_else(|| path.missing())
}

fn child<'a>(value: &'a Value, token: &str) -> Option<&'a Value> {
    match value {
        Value::Object(object) => object.get(token),
        Value::Array(items) => items.get(parse_index(token)?),
        _ => None,
    }
}

fn walk<'a>(document: &'a mut Value, tokens: &[String]) -> Result<&'a mut Value, String> {
    tokens.iter().try_fold(document, |value, token| {
        let found = match value {
            Value::Object(object) => object.get_mut(token),
            Value::Array(items) => parse_index(token).and_then(|at| items.get_mut(at)),
            _ => None,
        };
        found.ok_or_else(|| Pointer(tokens.to_vec()).missing())
    })
}

/// A JSON pointer, its tokens unescaped.
struct Pointer(Vec<String>);

impl Pointer {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let tokens =
            text.strip_prefix('/').ok_or_else(|| format!("the path {text:?} does not start with /"))?;
        Ok(Self(tokens.split('/').map(|token| unescape(token).into_owned()).collect()))
    }

    fn missing(&self) -> String {
        format!("the path {self} does not exist")
    }
}

impl std::fmt::Display for Pointer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
    }
}
