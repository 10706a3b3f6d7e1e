//! `$(NAME)` in values, commands and arguments.

/// Replaces `$(NAME)` by what `lookup` answers; what it does not know stays as it is, and `$$` is a plain `$`.
pub(crate) fn expand<'a>(input: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let mut out = String::with_capacity(input.len());
    let mut rest = input;
    while let Some(position) = rest.find('$') {
        out.push_str(&rest[..position]);
        let after = &rest[position + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        }
        let Some((name, tail)) = after.strip_prefix('(').and_then(|inner| inner.split_once(')')) else {
            out.push('$');
            rest = after;
            continue;
        };
        if let Some(value) = lookup(name) {
            out.push_str(value);
        } else {
            out.push_str("$(");
            out.push_str(name);
            out.push(')');
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn known(name: &str) -> Option<&'static str> {
        match name {
            "A" => Some("1"),
            "EMPTY" => Some(""),
            "NESTED" => Some("$(A)"),
            _ => None,
        }
    }

    #[rstest]
    #[case("plain", "plain")]
    #[case("$(A)", "1")]
    #[case("x$(A)y$(EMPTY)z", "x1yz")]
    #[case("$(UNKNOWN)", "$(UNKNOWN)")]
    #[case("$$(A)", "$(A)")]
    #[case("$$$(A)", "$1")]
    #[case("$A", "$A")]
    #[case("$(A", "$(A")]
    #[case("$", "$")]
    #[case("$(NESTED)", "$(A)")]
    #[case("$()", "$()")]
    fn as_upstream(#[case] input: &str, #[case] expected: &str) {
        assert_eq!(expand(input, known), expected);
    }

    proptest! {
        #[test]
        fn any_text_is_taken(input in ".*") {
            expand(&input, known);
        }

        #[test]
        fn without_dollars_nothing_changes(input in "[^$]*") {
            prop_assert_eq!(expand(&input, known), input);
        }
    }
}
