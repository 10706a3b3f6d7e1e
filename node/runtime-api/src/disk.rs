//! How much of a disk directories take.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The unit in which file systems count, whatever the size of their blocks.
const BLOCK: u64 = 512;

/// The bytes that a file or directory takes with all below it; what is mounted there is on another disk and not counted. What
/// goes away meanwhile takes nothing.
pub fn usage(path: &Path) -> io::Result<u64> {
    let top = fs::symlink_metadata(path)?;
    let mut sum = top.blocks() * BLOCK;
    let mut directories = if top.is_dir() { vec![path.to_owned()] } else { Vec::new() };
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            entries => entries.into_iter().flatten(),
        };
        for entry in entries.flatten() {
            let Ok(meta) = entry.metadata() else { continue };
            if meta.dev() == top.dev() {
                sum += meta.blocks() * BLOCK;
                directories.extend(meta.is_dir().then(|| entry.path()));
            }
        }
    }
    Ok(sum)
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
        let more = usage(&counted).unwrap() - empty;
        assert!((256 << 10..512 << 10).contains(&more), "{more}");
        assert!(usage(&dir.path().join("gone")).is_err());
    }
}
