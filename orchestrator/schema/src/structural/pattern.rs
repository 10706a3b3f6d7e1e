//! Regular expressions of schemas. What is wrong with one is said in the words of Go's `regexp`.

use regex::Regex;

/// A regular expression.
#[derive(Debug, Clone)]
pub struct Pattern(Regex);

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text() == other.text()
    }
}

impl Pattern {
    /// Reads a pattern; the text of the error is what Go says, where that is known.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(problem) = broken(text) {
            return Err(format!("error parsing regexp: {problem}"));
        }
        // What Go does not say in this place is told by its kind alone.
        Regex::new(text).map(Self).map_err(|_| format!("error parsing regexp: invalid syntax: `{text}`"))
    }

    /// Whether the pattern matches anywhere in a text.
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// The pattern as it was written.
    pub fn text(&self) -> &str {
        self.0.as_str()
    }
}

/// What is wrong with a regular expression, as far as brackets and repetitions go.
fn broken(pattern: &str) -> Option<String> {
    let (mut open, mut class, mut escaped) = (0_usize, None, false);
    let mut repeatable = false;
    for (at, c) in pattern.char_indices() {
        let begins = !repeatable;
        repeatable = true;
        match (escaped, class, c) {
            (true, ..) => escaped = false,
            (false, _, '\\') => escaped = true,
            (false, None, '[') => class = Some(at),
            (false, Some(start), ']') if at > start + 1 && pattern[start..at] != *"[^" => class = None,
            (false, None, '(') => {
                open += 1;
                repeatable = false;
            }
            (false, None, '|') => repeatable = false,
            (false, None, ')') if open == 0 => return Some(format!("unexpected ): `{pattern}`")),
            (false, None, ')') => open -= 1,
            (false, None, '?') if begins && pattern[..at].ends_with('(') => {}
            (false, None, '*' | '+' | '?') if begins => {
                return Some(format!("missing argument to repetition operator: `{c}`"));
            }
            _ => {}
        }
    }
    match (class, open, escaped) {
        (Some(start), ..) => Some(format!("missing closing ]: `{}`", &pattern[start..])),
        (None, _, true) => Some("trailing backslash at end of expression: ``".to_owned()),
        (None, 0, false) => None,
        (None, _, false) => Some(format!("missing closing ): `{pattern}`")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_wrong_is_told_in_gos_words() {
        for (pattern, problem) in [
            ("[", "missing closing ]: `[`"),
            ("a(b", "missing closing ): `a(b`"),
            ("a)", "unexpected ): `a)`"),
            ("*a", "missing argument to repetition operator: `*`"),
            ("(+)", "missing argument to repetition operator: `+`"),
            ("a|?", "missing argument to repetition operator: `?`"),
            ("a\\", "trailing backslash at end of expression: ``"),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap_err(), format!("error parsing regexp: {problem}"));
        }
        for pattern in ["", "^[a-z]+$", "(a|b)*", "[]a]", "[^]a]", "\\[", "[(]", "(?:a)?", "(?i)a", "a+?"] {
            assert!(Pattern::parse(pattern).is_ok(), "{pattern}");
        }
    }

    proptest! {
        #[test]
        fn no_pattern_makes_it_fail(pattern in "\\PC{0,20}") {
            let _ = Pattern::parse(&pattern).is_ok();
        }
    }
}
