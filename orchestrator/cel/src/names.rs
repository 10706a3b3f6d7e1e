//! Names of properties as expressions can say them: Kubernetes writes `x-y` as `x__dash__y` and `for` as `__for__`.

use std::borrow::Cow;

/// Words that are no names in expressions.
const RESERVED: [&str; 21] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
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
const ESCAPES: [(&str, &str); 4] =
    [("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")];

/// The name by which expressions reach a property, or `None` if they cannot.
pub fn escape(property: &str) -> Option<Cow<'_, str>> {
    if RESERVED.contains(&property) {
        return Some(format!("__{property}__").into());
    }
    let plain = |char: char| char.is_ascii_alphanumeric() || char == '_';
    if property.is_empty() || property.starts_with(|char: char| char.is_ascii_digit()) {
        return None;
    }
    if property.chars().all(plain) && !property.contains("__") {
        return Some(property.into());
    }
    if !property.chars().all(|char| plain(char) || matches!(char, '.' | '-' | '/')) {
        return None;
    }
    let mut escaped = String::with_capacity(property.len() + 16);
    let mut rest = property;
    while let Some(char) = rest.chars().next() {
        let escape = ESCAPES.iter().find(|(plain, _)| rest.starts_with(plain));
        let (taken, written) =
            escape.map_or((&rest[..char.len_utf8()], &rest[..char.len_utf8()]), |(a, b)| (*a, *b));
        escaped.push_str(written);
        rest = &rest[taken.len()..];
    }
    Some(escaped.into())
}

/// The property that expressions reach by a name, or `None` if they reach none by it.
pub fn unescape(name: &str) -> Option<Cow<'_, str>> {
    if !name.contains("__") {
        return Some(name.into());
    }
    let word = name.strip_prefix("__").and_then(|name| name.strip_suffix("__"));
    if let Some(word) = word.filter(|word| RESERVED.contains(word)) {
        return Some(word.into());
    }
    let mut property = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(at) = rest.find("__") {
        // A single underscore may stand before an escape.
        let at = if escape_at(&rest[at..]).is_none() { at + 1 } else { at };
        property.push_str(&rest[..at]);
        let (plain, escape) = escape_at(&rest[at..])?;
        property.push_str(plain);
        rest = &rest[at + escape.len()..];
    }
    property.push_str(rest);
    Some(property.into())
}

fn escape_at(rest: &str) -> Option<(&'static str, &'static str)> {
    ESCAPES.into_iter().find(|(_, escape)| rest.starts_with(escape))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{escape, unescape};

    #[test]
    fn properties_are_escaped_as_kubernetes_escapes_them() {
        for (property, name) in [
            ("a", Some("a")),
            ("x-y", Some("x__dash__y")),
            ("a.b/c", Some("a__dot__b__slash__c")),
            ("__a__", Some("__underscores__a__underscores__")),
            ("for", Some("__for__")),
            ("_", Some("_")),
            ("", None),
            ("1a", None),
            ("a b", None),
            ("é", None),
        ] {
            assert_eq!(escape(property).as_deref(), name, "{property}");
        }
        assert_eq!(unescape("a__b"), None);
    }

    proptest! {
        #[test]
        fn what_is_escaped_comes_back(property in "[a-z_./-][a-z0-9_./-]{0,12}") {
            let name = escape(&property).expect("such a property can be reached").into_owned();
            let back = unescape(&name).map(std::borrow::Cow::into_owned);
            prop_assert_eq!(back, Some(property));
        }
    }
}
