//! The value a string or bytes token stands for: quotes off, escapes read.

/// The text of a string token.
pub(crate) fn string(token: &str) -> Result<String, &'static str> {
    let (body, raw) = body(token);
    if raw || !body.contains('\\') {
        return Ok(body.to_owned());
    }
    let mut text = String::with_capacity(body.len());
    unescape(body, |piece| match piece {
        Piece::Char(char) => {
            text.push(char);
            Ok(())
        }
        Piece::Byte(byte) => {
            text.push(char::from(byte));
            Ok(())
        }
    })?;
    Ok(text)
}

/// The bytes of a bytes token, without its leading `b`.
pub(crate) fn bytes(token: &str) -> Result<Vec<u8>, &'static str> {
    let (body, raw) = body(token);
    if raw {
        return Ok(body.as_bytes().to_vec());
    }
    let mut bytes = Vec::with_capacity(body.len());
    unescape(body, |piece| match piece {
        Piece::Char(char) => {
            bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            Ok(())
        }
        Piece::Byte(byte) => {
            bytes.push(byte);
            Ok(())
        }
    })?;
    Ok(bytes)
}

fn body(token: &str) -> (&str, bool) {
    let raw = token.starts_with(['r', 'R']);
    let quoted = if raw { &token[1..] } else { token };
    let triple = quoted.len() >= 6 && (quoted.starts_with("\"\"\"") || quoted.starts_with("'''"));
    let width = if triple { 3 } else { 1 };
    (&quoted[width..quoted.len() - width], raw)
}

/// What one escape stands for: a character, or a byte in bytes and the character of that number in strings.
enum Piece {
    Char(char),
    Byte(u8),
}

const WRONG: &str = "unable to unescape string";

fn unescape(body: &str, mut push: impl FnMut(Piece) -> Result<(), &'static str>) -> Result<(), &'static str> {
    let mut rest = body;
    while let Some(at) = rest.find('\\') {
        for char in rest[..at].chars() {
            push(Piece::Char(char))?;
        }
        let (piece, length) = escape(&rest[at + 1..])?;
        push(piece)?;
        rest = &rest[at + 1 + length..];
    }
    for char in rest.chars() {
        push(Piece::Char(char))?;
    }
    Ok(())
}

/// The escape behind a backslash and how long it is.
fn escape(rest: &str) -> Result<(Piece, usize), &'static str> {
    let first = rest.chars().next().ok_or(WRONG)?;
    let plain = match first {
        'a' => '\x07',
        'b' => '\x08',
        'f' => '\x0c',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\x0b',
        '\\' | '\'' | '"' | '`' | '?' => first,
        'x' | 'X' => return digits(rest, 1, 2, 16).map(|number| (byte(number), 3)),
        'u' => return digits(rest, 1, 4, 16).and_then(|number| Ok((character(number)?, 5))),
        'U' => return digits(rest, 1, 8, 16).and_then(|number| Ok((character(number)?, 9))),
        '0'..='3' => return digits(rest, 0, 3, 8).map(|number| (byte(number), 3)),
        _ => return Err(WRONG),
    };
    Ok((Piece::Char(plain), 1))
}

fn digits(rest: &str, skip: usize, count: usize, radix: u32) -> Result<u32, &'static str> {
    let digits = rest.get(skip..skip + count).ok_or(WRONG)?;
    if !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(WRONG);
    }
    u32::from_str_radix(digits, radix).map_err(|_| WRONG)
}

fn byte(number: u32) -> Piece {
    Piece::Byte(u8::try_from(number).unwrap_or(u8::MAX))
}

fn character(number: u32) -> Result<Piece, &'static str> {
    char::from_u32(number).map(Piece::Char).ok_or(WRONG)
}

#[cfg(test)]
mod tests {
    use super::{bytes, string};

    #[test]
    fn strings_are_unescaped() {
        assert_eq!(string(r#""a\n\"\x41\u00e9\101\U0001F600""#).as_deref(), Ok("a\n\"Aé\u{41}😀"));
        assert_eq!(string(r"r'a\n'").as_deref(), Ok(r"a\n"));
        assert_eq!(string("'''a'b'''").as_deref(), Ok("a'b"));
        assert!(string(r"'\q'").is_err() && string(r"'\ud800'").is_err() && string(r"'\xg0'").is_err());
    }

    #[test]
    fn escapes_of_bytes_are_bytes() {
        assert_eq!(bytes(r"'\xff\377é'").as_deref(), Ok(&[0xff, 0xff, 0xc3, 0xa9][..]));
    }
}
