//! Where a bus is.

use std::path::PathBuf;
use std::str::FromStr;

/// The system's bus, where no variable says otherwise.
const SYSTEM: &str = "/run/dbus/system_bus_socket";
/// What says otherwise.
const VARIABLE: &str = "DBUS_SYSTEM_BUS_ADDRESS";

/// The socket of a bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address(pub PathBuf);

/// A text that names no socket of a bus that can be reached.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address of a bus at a path, as unix:path={SYSTEM}")]
pub struct AddressError(String);

impl Address {
    /// Where the system's bus is.
    pub fn of_system() -> Result<Self, AddressError> {
        match std::env::var(VARIABLE) {
            Ok(text) => text.parse(),
            Err(_) => Ok(Self(SYSTEM.into())),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    /// Of several addresses, with semicolons between them, the first that is a path counts.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let path = text.split(';').find_map(|one| {
            let mut values = one.strip_prefix("unix:")?.split(',');
            unescaped(values.find_map(|value| value.strip_prefix("path="))?)
        });
        path.map(|path| Self(path.into())).ok_or_else(|| AddressError(text.to_owned()))
    }
}

/// `%41` is an A.
fn unescaped(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, others @ ..] = rest {
        rest = others;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let (digits, others) = others.split_at_checked(2)?;
        bytes.extend(hex::decode(digits).ok()?);
        rest = others;
    }
    String::from_utf8(bytes).ok().filter(|path| path.starts_with('/') && !path.contains('\0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("unix:path=/run/bus", Some("/run/bus"))]
    #[case("unix:guid=1f,path=/a%20b", Some("/a b"))]
    #[case("tcp:host=localhost;unix:path=/x", Some("/x"))]
    #[case("unix:abstract=/run/bus", None)]
    #[case("unix:path=relative", None)]
    #[case("unix:path=/a%2", None)]
    #[case("", None)]
    fn paths_are_found(#[case] text: &str, #[case] path: Option<&str>) {
        assert_eq!(text.parse().ok(), path.map(|path| Address(path.into())));
    }

    proptest! {
        #[test]
        fn any_text_is_a_path_or_refused(text in "(unix:)?(path=)?.*") {
            if let Ok(Address(path)) = text.parse() {
                prop_assert!(path.is_absolute());
            }
        }
    }
}
