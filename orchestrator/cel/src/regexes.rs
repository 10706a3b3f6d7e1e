//! Patterns as RE2 reads them, on the `regex` crate: the classes `\d \w \s \b` know ASCII only, `\Q...\E` quotes, and
//! brackets nest nowhere.

use regex::{Regex, RegexBuilder};

use crate::error::Error;

/// How large a compiled pattern may become.
const MAX_SIZE: usize = 4 << 20;

/// Compiles a pattern.
pub(crate) fn compile(pattern: &str) -> Result<Regex, Error> {
    let wrong = || Error::other(format!("error parsing regexp: invalid pattern: `{pattern}`"));
    let translated = translate(pattern).ok_or_else(wrong)?;
    RegexBuilder::new(&translated).size_limit(MAX_SIZE).build().map_err(|_| wrong())
}

fn translate(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len() + 8);
    let mut chars = pattern.chars().peekable();
    let mut class = false;
    while let Some(char) = chars.next() {
        match char {
            '\\' => escape(&mut chars, class, &mut out)?,
            '[' if class => match chars.peek() {
                // A class by name: `[:alpha:]`.
                Some(':') => copy_named(&mut chars, &mut out),
                _ => out.push_str(r"\["),
            },
            '[' => {
                class = true;
                out.push('[');
                open_class(&mut chars, &mut out);
            }
            ']' if class => {
                class = false;
                out.push(']');
            }
            '&' | '~' if class => {
                out.push('\\');
                out.push(char);
            }
            '(' if !class && chars.peek() == Some(&'?') => {
                out.push('(');
                flags(&mut chars, &mut out)?;
            }
            other => out.push(other),
        }
    }
    Some(out)
}

type Chars<'p> = std::iter::Peekable<std::str::Chars<'p>>;

/// A bracket right behind `[` or `[^` is a character.
fn open_class(chars: &mut Chars<'_>, out: &mut String) {
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    if chars.next_if_eq(&']').is_some() {
        out.push_str(r"\]");
    }
}

fn copy_named(chars: &mut Chars<'_>, out: &mut String) {
    out.push('[');
    for char in chars.by_ref() {
        out.push(char);
        if char == ']' {
            return;
        }
    }
}

/// The flags of RE2 are fewer than those of the crate.
fn flags(chars: &mut Chars<'_>, out: &mut String) -> Option<()> {
    out.extend(chars.next());
    while let Some(char) = chars.next_if(char::is_ascii_alphabetic) {
        if char == 'P' {
            out.push(char);
            return Some(());
        }
        if !matches!(char, 'i' | 'm' | 's' | 'U') {
            return None;
        }
        out.push(char);
    }
    Some(())
}

fn escape(chars: &mut Chars<'_>, class: bool, out: &mut String) -> Option<()> {
    let char = chars.next()?;
    let ascii = match char {
        'd' => "[0-9]",
        'D' => "[^0-9]",
        'w' => "[0-9A-Za-z_]",
        'W' => "[^0-9A-Za-z_]",
        's' => r"[\t\n\f\r ]",
        'S' => r"[^\t\n\f\r ]",
        'b' if !class => r"(?-u:\b)",
        'B' if !class => r"\B",
        'Q' => {
            quoted(chars, out);
            return Some(());
        }
        'C' | '<' | '>' | 'u' | 'U' => return None,
        other => {
            out.push('\\');
            out.push(other);
            return Some(());
        }
    };
    out.push_str(ascii);
    Some(())
}

/// What stands between `\Q` and `\E`, or the end, means itself.
fn quoted(chars: &mut Chars<'_>, out: &mut String) {
    while let Some(char) = chars.next() {
        if char == '\\' && chars.next_if_eq(&'E').is_some() {
            return;
        }
        out.push_str(&regex::escape(char.encode_utf8(&mut [0; 4])));
    }
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn patterns_match_as_re2_reads_them() {
        for (pattern, text, matches) in [
            (r"^\d+$", "12", true),
            (r"^\d+$", "١٢", false),
            (r"^[\w-]+$", "a-b", true),
            ("^[[]$", "[", true),
            ("^[]a]+$", "]a", true),
            ("^[a&&b]+$", "&", true),
            (r"^\Qa.b\E.$", "a.bc", true),
            (r"^\Qa.b\E.$", "axbc", false),
            ("^[[:alpha:]]+$", "abc", true),
            ("(?i)^ABC$", "abc", true),
            (r"\bfoo\b", "a foo b", true),
            ("(?P<n>a)", "a", true),
        ] {
            assert_eq!(compile(pattern).expect(pattern).is_match(text), matches, "{pattern} {text}");
        }
        for wrong in ["[", "(", r"\1", "(?=a)", "a**{", "(?x)a", r"\"] {
            assert!(compile(wrong).is_err(), "{wrong}");
        }
    }
}
