//! What containers and objects are called, as names of files: any name is one, and none leads anywhere else.

use std::fmt::Write as _;

/// The longest name of a file.
const LONGEST: usize = 255;

/// The file of this name. Letters, digits, `-`, `_` and `.` stay as they are, all else becomes `%` and two digits; so does a dot at the beginning, which
/// neither `..` nor what is not an object could be written without.
pub(super) fn file_name(name: &str) -> Result<String, String> {
    let mut file = String::with_capacity(name.len());
    for (place, byte) in name.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => file.push(char::from(byte)),
            b'.' if place > 0 => file.push('.'),
            _ => write!(file, "%{byte:02X}").map_err(|error| error.to_string())?,
        }
    }
    match file.len() {
        0 => Err("a name is empty".to_owned()),
        1..=LONGEST => Ok(file),
        long => {
            Err(format!("a name is too long: its file would have one of {long} bytes, of {LONGEST} at most"))
        }
    }
}

/// The name that this file has. Files of others have none.
pub(super) fn name_of(file: &[u8]) -> Option<String> {
    let mut name = Vec::with_capacity(file.len());
    let mut rest = file;
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            name.push(*first);
            continue;
        }
        let (digits, after) = rest.split_at_checked(2)?;
        name.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
        rest = after;
    }
    let name = String::from_utf8(name).ok()?;
    file_name(&name).is_ok_and(|again| again.as_bytes() == file).then_some(name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_names_stay_and_others_lead_nowhere() {
        assert_eq!(file_name("photo-1_a.jpeg").unwrap(), "photo-1_a.jpeg");
        assert_eq!(file_name("..").unwrap(), "%2E.");
        assert_eq!(file_name("a/../b").unwrap(), "a%2F..%2Fb");
        assert_eq!(file_name(".wherry-blobs").unwrap(), "%2Ewherry-blobs");
        assert!(
            file_name("").is_err()
                && file_name(&"x".repeat(256)).is_err()
                && file_name(&"/".repeat(86)).is_err()
        );
        for stranger in ["a b", "%", "%4", "%41", "%2f", ".x", "%FF", ""] {
            assert_eq!(name_of(stranger.as_bytes()), None, "{stranger}");
        }
    }

    proptest! {
        #[test]
        fn a_name_is_a_file_of_its_own_in_its_directory(name in ".{0,300}") {
            if let Ok(file) = file_name(&name) {
                prop_assert!(!file.contains('/') && !file.contains('\0') && !file.starts_with('.') && file.len() <= LONGEST);
                prop_assert_eq!(name_of(file.as_bytes()), Some(name));
            }
        }

        #[test]
        fn any_file_has_one_name_or_none(file in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Some(name) = name_of(&file) {
                prop_assert_eq!(file_name(&name).unwrap().into_bytes(), file);
            }
        }
    }
}
