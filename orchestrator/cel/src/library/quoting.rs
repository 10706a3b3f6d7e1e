//! Texts in quotes, as `strings.quote` and Go write them.

/// With every character escaped that a literal of the language escapes.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match short(char) {
            Some(letter) => out.extend(['\\', letter]),
            None => out.push(char),
        }
    }
    out.push('"');
    out
}

/// As Go's `%q`: also what does not print is escaped.
pub(super) fn go_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match short(char) {
            Some(letter) => out.extend(['\\', letter]),
            None if char.is_ascii_control() => hexadecimal(&mut out, 'x', char, 2),
            None if char.is_control() => hexadecimal(&mut out, 'u', char, 4),
            None => out.push(char),
        }
    }
    out.push('"');
    out
}

fn hexadecimal(out: &mut String, letter: char, char: char, digits: u32) {
    out.extend(['\\', letter]);
    let digit = |at: u32| char::from_digit((u32::from(char) >> (4 * at)) & 15, 16).unwrap_or('0');
    out.extend((0..digits).rev().map(digit));
}

fn short(char: char) -> Option<char> {
    Some(match char {
        '\x07' => 'a',
        '\x08' => 'b',
        '\x0c' => 'f',
        '\n' => 'n',
        '\r' => 'r',
        '\t' => 't',
        '\x0b' => 'v',
        '\\' => '\\',
        '"' => '"',
        _ => return None,
    })
}
