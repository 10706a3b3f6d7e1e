//! Words as JSON. There is no more to it: the shim writes few things, and reads none.

/// A text in quotes.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for char in text.chars() {
        match char {
            '"' | '\\' => out.extend(['\\', char]),
            char if char < ' ' => out.extend(format!("\\u{:04x}", u32::from(char)).chars()),
            char => out.push(char),
        }
    }
    out.push('"');
    out
}
