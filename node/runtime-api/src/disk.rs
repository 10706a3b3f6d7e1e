//! How much of a disk directories take.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The unit in which file systems count, whatever the size of their blocks.
const BLOCK: u64 = 512;

/// How much of a disk something takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskUsage {
    /// Bytes.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}

impl std::ops::Add for DiskUsage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, inodes: self.inodes + other.inodes }
    }
}

impl std::iter::Sum for DiskUsage {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), |sum, next| sum + next)
    }
}

/// What a file or directory takes with all below it; what is mounted there is on another disk and not counted. What goes away
/// meanwhile takes nothing.
pub fn usage(path: &Path) -> io::Result<DiskUsage> {
    let top = fs::symlink_metadata(path)?;
    let mut sum = of(&top);
    let mut directories = if top.is_dir() { vec![path.to_owned()] } else { Vec::new() };
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            entries => entries.into_iter().flatten(),
        };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.dev() == top.dev() {
                sum = sum + of(&meta);
                directories.extend(meta.is_dir().then(|| entry.path()));
            }
        }
    }
    Ok(sum)
}

fn of(meta: &fs::Metadata) -> DiskUsage {
    DiskUsage { bytes: meta.blocks() * BLOCK, inodes: 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_files_below_count_and_what_links_lead_to_does_not() {
        let dir = tempfile::tempdir().unwrap();
        let (counted, other) = (dir.path().join("counted"), dir.path().join("other"));
        fs::create_dir_all(counted.join("a/b")).unwrap();
        fs::write(&other, vec![1; 1 << 20]).unwrap();
        let empty = usage(&counted).unwrap();
        std::os::unix::fs::symlink(&other, counted.join("link")).unwrap();
        fs::write(counted.join("a/b/file"), vec![1; 256 << 10]).unwrap();
        let full = usage(&counted).unwrap();
        let more = full.bytes - empty.bytes;
        assert!((256 << 10..512 << 10).contains(&more), "{more}");
        assert_eq!((empty.inodes, full.inodes), (3, 5));
        assert!(usage(&dir.path().join("gone")).is_err());
    }
}
