//! How a text can be written, and the ways of writing it.

use std::fmt::Write;

/// A way of writing a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    Plain,
    Single,
    Double,
    Literal,
}

/// Which ways of writing a text leave it as it is.
#[derive(Debug)]
pub(super) struct Analysis {
    plain: bool,
    single: bool,
    literal: bool,
}

impl Analysis {
    pub(super) fn of(text: &str) -> Self {
        let breaks = has_breaks(text);
        let special = text.chars().any(|letter| !is_printable(letter));
        let pairs = || text.chars().zip(text.chars().skip(1));
        let space_break = pairs().any(|(one, next)| one == ' ' && is_break(next));
        let break_space = pairs().any(|(one, next)| is_break(one) && next == ' ');
        let at_edge = text.starts_with(is_blank) || text.ends_with(is_blank);
        let unclear = space_break || special;
        Self {
            plain: !(breaks || unclear || break_space || at_edge || has_indicators(text)),
            single: !(unclear || break_space),
            literal: !(unclear || text.is_empty() || text.ends_with(' ')),
        }
    }

    /// The way to write it if it cannot be the wanted one.
    pub(super) fn style(&self, wanted: Style, is_key: bool) -> Style {
        match wanted {
            Style::Plain if self.plain => Style::Plain,
            Style::Plain | Style::Single if self.single => Style::Single,
            Style::Literal if self.literal && !is_key => Style::Literal,
            Style::Plain | Style::Single | Style::Double | Style::Literal => Style::Double,
        }
    }
}

fn is_blank(letter: char) -> bool {
    letter == ' ' || is_break(letter)
}

/// Whether a line ends with it.
pub(super) fn is_break(letter: char) -> bool {
    matches!(letter, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Whether there is more than one line.
pub(super) fn has_breaks(text: &str) -> bool {
    text.contains(is_break)
}

/// Whether it can stand in YAML as it is.
fn is_printable(letter: char) -> bool {
    matches!(letter, '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}')
        && letter != '\u{feff}'
}

/// Whether something in it would be taken for the beginning of something else.
fn has_indicators(text: &str) -> bool {
    if text.starts_with("---") || text.starts_with("...") {
        return true;
    }
    let mut letters = text.chars();
    let first = letters.next();
    let second_ends = letters.next().is_none_or(|next| is_blank(next) || next == '\t');
    let begins = match first {
        Some(
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@' | '`',
        ) => true,
        Some('?' | ':' | '-') => second_ends,
        _ => false,
    };
    let blank = |letter: char| is_blank(letter) || letter == '\t';
    let mut pairs = text.chars().zip(text.chars().skip(1).map(Some).chain([None]));
    let mut before = None;
    begins
        || pairs.any(|(letter, next)| {
            let is_first = before.is_none();
            let found = !is_first
                && match letter {
                    ':' => next.is_none_or(blank),
                    '#' => before.is_some_and(blank),
                    _ => false,
                };
            before = Some(letter);
            found
        })
}

/// A text as it is written between double quotes.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        match letter {
            '"' | '\\' => out.extend(['\\', letter]),
            _ if is_printable(letter) && !is_break(letter) => out.push(letter),
            _ => escape(letter, &mut out),
        }
    }
    out
}

fn escape(letter: char, out: &mut String) {
    let short = match letter {
        '\0' => '0',
        '\u{7}' => 'a',
        '\u{8}' => 'b',
        '\t' => 't',
        '\n' => 'n',
        '\u{b}' => 'v',
        '\u{c}' => 'f',
        '\r' => 'r',
        '\u{1b}' => 'e',
        '\u{85}' => 'N',
        '\u{a0}' => '_',
        '\u{2028}' => 'L',
        '\u{2029}' => 'P',
        _ => {
            let code = u32::from(letter);
            let written = match code {
                0..=0xff => write!(out, "\\x{code:02X}"),
                0x100..=0xffff => write!(out, "\\u{code:04X}"),
                _ => write!(out, "\\U{code:08X}"),
            };
            return written.expect("a String takes everything");
        }
    };
    out.extend(['\\', short]);
}

/// What is said of the lines of a text before they come: how deep they are, and what becomes of breaks at the end.
pub(super) fn block_hints(text: &str) -> String {
    let mut hints = String::new();
    if text.starts_with(is_blank) {
        hints.push('2');
    }
    let mut ends = text.chars().rev();
    match (ends.next().map(is_break), ends.next().map(is_break)) {
        (Some(true), None | Some(true)) => hints.push('+'),
        (Some(true), Some(false)) => {}
        (Some(false) | None, _) => hints.push('-'),
    }
    hints
}

/// A number as Go writes it with `g`.
pub(super) fn float(number: f64) -> String {
    if number == 0.0 {
        return if number.is_sign_negative() { "-0".to_owned() } else { "0".to_owned() };
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..6).contains(&exponent) {
        return format!("{number}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}
