//! `$(NAME)` in values, commands and arguments.

use std::convert::Infallible;

/// Replaces `$(NAME)` by what `lookup` answers; what it does not know stays as it is, and `$$` is a plain `$`.
pub(crate) fn expand<'a>(input: &str, lookup: impl Fn(&str) -> Option<&'a str>) -> String {
    let replace =
        |name: &str| Ok::<_, Infallible>(lookup(name).map_or_else(|| format!("$({name})"), str::to_owned));
    let Ok(expanded) = expand_with(input, replace);
    expanded
}

/// Like [`expand`], but what `lookup` does not know is an error: its name.
pub(crate) fn expand_known<'a>(
    input: &str,
    lookup: impl Fn(&str) -> Option<&'a str>,
) -> Result<String, String> {
    expand_with(input, |name| lookup(name).map(str::to_owned).ok_or_else(|| name.to_owned()))
}

fn expand_with<E>(input: &str, replace: impl Fn(&str) -> Result<String, E>) -> Result<String, E> {
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
        out.push_str(&replace(name)?);
        rest = tail;
    }
    out.push_str(rest);
    Ok(out)
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

    #[test]
    fn what_must_be_known_is_named_when_it_is_not() {
        assert_eq!(expand_known("$(A)/$(EMPTY)$$(B)", known), Ok("1/$(B)".to_owned()));
        assert_eq!(expand_known("$(A)/$(UNKNOWN)", known), Err("UNKNOWN".to_owned()));
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
