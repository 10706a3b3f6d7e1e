//! The mounts that this thread sees, as the kernel lists them.

use std::ffi::OsString;
use std::io;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

const LIST: &str = "/proc/thread-self/mountinfo";

/// Something mounted somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountPoint {
    /// Where.
    pub path: PathBuf,
    /// Whether mounts below it are made for its peers, too.
    pub is_shared: bool,
}

/// All mounts, in the order they were made.
pub fn list() -> io::Result<Vec<MountPoint>> {
    Ok(parse(&std::fs::read(LIST)?))
}

/// The mount that a path without links is on.
pub fn of<'m>(mounts: &'m [MountPoint], path: &Path) -> Option<&'m MountPoint> {
    let above = mounts.iter().filter(|mount| path.starts_with(&mount.path));
    // Of several in one place the last covers the others.
    above.max_by_key(|mount| mount.path.components().count())
}

/// Reads the kernel's list: `ID PARENT DEVICE ROOT PATH OPTIONS TAG.. - ..`.
fn parse(text: &[u8]) -> Vec<MountPoint> {
    let line = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b' ').skip(4);
        let path = PathBuf::from(OsString::from_vec(plain(fields.next()?)));
        let mut tags = fields.skip(1).take_while(|field| *field != b"-");
        Some(MountPoint { path, is_shared: tags.any(|tag| tag.starts_with(b"shared:")) })
    };
    text.split(|byte| *byte == b'\n').filter_map(line).collect()
}

/// The kernel writes spaces and the like as `\040`.
fn plain(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, more)) = rest.split_first() {
        let digits = more.get(..3).filter(|_| *first == b'\\');
        let byte = digits.and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        plain.push(byte.unwrap_or(*first));
        rest = if byte.is_some() { &more[3..] } else { more };
    }
    plain
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SOME: &[u8] = b"22 27 0:21 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        30 22 0:40 / /a\\040b rw master:7 - tmpfs none rw\n\
        31 30 0:41 /x /a\\040b rw master:7 shared:9 propagate_from:2 - tmpfs none rw\n";

    #[test]
    fn mounts_are_read_with_their_names_and_tags() {
        let mounts = parse(SOME);
        let point = |path: &str, is_shared| MountPoint { path: path.into(), is_shared };
        assert_eq!(mounts, [point("/", true), point("/a b", false), point("/a b", true)]);
        assert_eq!(of(&mounts, Path::new("/a b/c")), Some(&mounts[2]));
        assert_eq!(of(&mounts, Path::new("/a bc")), Some(&mounts[0]));
        assert!(
            of(&list().unwrap(), Path::new("/proc/self"))
                .is_some_and(|mount| mount.path == Path::new("/proc"))
        );
    }

    proptest! {
        #[test]
        fn any_name_is_read_as_it_was_written(name in "[ a-z\\\\\t/]{0,12}") {
            let written: String = name
                .bytes()
                .map(|byte| if byte.is_ascii_lowercase() || byte == b'/' { char::from(byte).to_string() } else { format!("\\{byte:03o}") })
                .collect();
            prop_assert_eq!(plain(written.as_bytes()), name.as_bytes());
        }

        #[test]
        fn whatever_is_listed_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let lines = bytes.split(|byte| *byte == b'\n').count();
            prop_assert!(parse(&bytes).len() <= lines && plain(&bytes).len() <= bytes.len());
        }
    }
}
