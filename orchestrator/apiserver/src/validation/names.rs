//! Names and labels, with every rule a text breaks: upstream reports them all, one cause each.

use std::borrow::Cow;

use super::{Errors, Path};

const LABEL_MAX: usize = 63;
const SUBDOMAIN_MAX: usize = 253;

const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
    start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or \
    '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is \
    '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const UNDERSCORED: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', \
    '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation \
    is '_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')";
const QUALIFIED: &str = "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
    with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const KEY: &str = "a valid label key must consist of alphanumeric characters, '-', '_' or '.', and must start and end \
    with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is \
    '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an optional DNS subdomain prefix and '/' (e.g. \
    'example.com/MyName')";
const VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
    must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for \
    validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. \
    'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";

/// What is wrong with a text: none if nothing is.
pub(crate) type Problems = Vec<String>;

fn too_long(max: usize) -> String {
    format!("must be no more than {max} characters")
}

fn is_lower(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

fn is_label(text: &str) -> bool {
    let b = text.as_bytes();
    !b.is_empty()
        && is_lower(b[0])
        && is_lower(b[b.len() - 1])
        && b.iter().all(|c| is_lower(*c) || *c == b'-')
}

fn is_word(text: &str) -> bool {
    let b = text.as_bytes();
    !b.is_empty()
        && b[0].is_ascii_alphanumeric()
        && b[b.len() - 1].is_ascii_alphanumeric()
        && b.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
}

/// One part of a DNS name that may have underscores.
fn is_underscored(part: &str) -> bool {
    let part = part.strip_prefix('_').unwrap_or(part);
    let b = part.as_bytes();
    !b.is_empty()
        && is_lower(b[0])
        && is_lower(b[b.len() - 1])
        && b.iter().all(|c| is_lower(*c) || matches!(c, b'-' | b'_'))
}

fn sized(text: &str, max: usize, fits: bool, rule: &str) -> Problems {
    let mut problems = Vec::new();
    if text.len() > max {
        problems.push(too_long(max));
    }
    if !fits {
        problems.push(rule.to_owned());
    }
    problems
}

/// A DNS label (RFC 1123).
pub(crate) fn label(text: &str) -> Problems {
    let subdomain = text.split('.').all(is_label);
    // A subdomain that is no label has dots.
    let rule = if subdomain { "must not contain dots" } else { LABEL };
    sized(text, LABEL_MAX, is_label(text), rule)
}

/// A DNS subdomain (RFC 1123).
pub(crate) fn subdomain(text: &str) -> Problems {
    sized(text, SUBDOMAIN_MAX, text.split('.').all(is_label), SUBDOMAIN)
}

/// A prefix of names as names that begin with it are checked: upstream puts a letter for its last dash and what is
/// before that.
pub(crate) fn without_end(prefix: &str) -> Cow<'_, str> {
    let mut rest = prefix.strip_suffix('-').unwrap_or_default().chars();
    match rest.next_back() {
        Some(_) => format!("{}a", rest.as_str()).into(),
        None => prefix.into(),
    }
}

/// A DNS subdomain whose parts may have underscores.
pub(crate) fn underscored_subdomain(text: &str) -> Problems {
    sized(text, SUBDOMAIN_MAX, text.split('.').all(is_underscored), UNDERSCORED)
}

/// A qualified name: `[prefix/]name`.
pub(crate) fn qualified(text: &str) -> Problems {
    let parts: Vec<&str> = text.split('/').collect();
    let mut problems = Vec::new();
    let name = match parts[..] {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                problems.push("prefix part must be non-empty".to_owned());
            } else {
                problems.extend(subdomain(prefix).into_iter().map(|p| format!("prefix part {p}")));
            }
            name
        }
        _ => return vec![KEY.to_owned()],
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        problems.push(format!("name part must be no more than {LABEL_MAX} bytes"));
    }
    if !is_word(name) {
        problems.push(QUALIFIED.to_owned());
    }
    problems
}

/// The value of a label.
pub(crate) fn label_value(text: &str) -> Problems {
    let mut problems = Vec::new();
    if text.len() > LABEL_MAX {
        problems.push(format!("must be no more than {LABEL_MAX} bytes"));
    }
    if !text.is_empty() && !is_word(text) {
        problems.push(VALUE.to_owned());
    }
    problems
}

/// A key of a ConfigMap or Secret.
pub(crate) fn config_key(text: &str) -> Problems {
    let mut problems = Vec::new();
    if text.len() > SUBDOMAIN_MAX {
        problems.push(too_long(SUBDOMAIN_MAX));
    }
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    {
        problems.push(CONFIG_KEY.to_owned());
    }
    match text {
        "." => problems.push("must not be '.'".to_owned()),
        ".." => problems.push("must not be '..'".to_owned()),
        _ if text.starts_with("..") => problems.push("must not start with '..'".to_owned()),
        _ => {}
    }
    problems
}

/// The name of an environment variable.
pub(crate) fn variable(text: &str) -> Problems {
    wherry_api::names::env_var_name(text).err().into_iter().collect()
}

impl Errors {
    /// A value that breaks these rules.
    pub(crate) fn problems(&mut self, path: &Path, value: &str, problems: Problems) {
        for problem in problems {
            self.invalid(path, value, &problem);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_broken_rule_is_told() {
        assert_eq!(qualified("").len(), 2);
        assert_eq!(qualified("a/b/c"), [KEY]);
        assert_eq!(qualified("/a"), ["prefix part must be non-empty"]);
        assert_eq!(label("a.b"), ["must not contain dots"]);
        assert_eq!(label(&"A".repeat(64)).len(), 2);
        assert_eq!(config_key(".."), ["must not be '..'"]);
        assert!(underscored_subdomain("_a.b_c").is_empty());
    }

    #[test]
    fn a_prefix_may_end_in_a_dash() {
        for (prefix, checked) in [("web-", "wea"), ("a_-", "aa"), ("-", "-"), ("web", "web"), ("é-", "a")] {
            assert_eq!(without_end(prefix), checked);
        }
    }

    proptest! {
        #[test]
        fn a_label_is_a_subdomain_and_a_value(text in "[-a-zA-Z0-9.]{0,70}") {
            if label(&text).is_empty() {
                prop_assert!(subdomain(&text).is_empty() && label_value(&text).is_empty());
            }
        }
    }
}
