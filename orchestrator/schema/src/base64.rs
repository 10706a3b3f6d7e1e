//! Standard base64: checked with the offsets that Go's decoder names, and written.

/// The text without line breaks, or the offset of what is wrong.
pub(crate) fn check(text: &str) -> Result<String, usize> {
    let mut clean = String::with_capacity(text.len());
    let mut padding = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'\r' | b'\n' => continue,
            b'=' if padding > 0 || clean.len() % 4 >= 2 => padding += 1,
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' if padding == 0 => {}
            _ => return Err(at),
        }
        if padding > 0 && (clean.len() + 1 - padding) % 4 + padding > 4 {
            return Err(at);
        }
        clean.push(char::from(byte));
    }
    if clean.len().is_multiple_of(4) { Ok(clean) } else { Err(text.len()) }
}

/// The bytes in base64.
pub(crate) fn encode(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or_default());
        let group = byte(0) << 16 | byte(1) << 8 | byte(2);
        for position in 0..4 {
            let sextet = group >> (18 - 6 * position) & 63;
            let digit = if position <= chunk.len() { ALPHABET[sextet as usize] } else { b'=' };
            out.push(char::from(digit));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{check, encode};

    #[test]
    fn short_groups_are_padded() {
        let encoded = ["", "f", "fo", "foo", "foob"].map(|text| encode(text.as_bytes()));
        assert_eq!(encoded, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }

    #[test]
    fn whole_groups_pass_and_line_breaks_go() {
        assert_eq!(check("").as_deref(), Ok(""));
        assert_eq!(check("AAEC").as_deref(), Ok("AAEC"));
        assert_eq!(check("AA==").as_deref(), Ok("AA=="));
        assert_eq!(check("AAE=\n").as_deref(), Ok("AAE="));
        assert_eq!(check("AA\r\nEC").as_deref(), Ok("AAEC"));
    }

    #[test]
    fn errors_name_the_offset() {
        assert_eq!(check("%%"), Err(0));
        assert_eq!(check("AA%="), Err(2));
        assert_eq!(check("A==="), Err(1));
        assert_eq!(check("AA=A"), Err(3));
        assert_eq!(check("AA==="), Err(4));
        assert_eq!(check("AAE=="), Err(4));
        assert_eq!(check("AAECA"), Err(5));
        assert_eq!(check("AA"), Err(2));
    }
}
