//! Keeps logs from filling the disk.
//!
//! A runtime keeps its log open for appending for as long as its container runs, so a log is not rotated: what is
//! older than its newest 50 MiB is given back to the file system by punching a hole at its beginning. Nothing that
//! is being written can be lost, no reader is disturbed, and readers start behind the hole ([`super::tail`]).
//! The check runs only after logs have grown, and at most every few seconds.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FallocateFlags, fallocate};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::dir::LogDir;
use crate::file_watch::FileWatch;

/// Bytes of a log that are kept.
const KEPT: u64 = 50 << 20;
/// A hole is punched when there is this much to give back.
const STEP: u64 = 10 << 20;
/// Holes are made of whole blocks.
const ALIGNMENT: u64 = 4096;
const PAUSE: Duration = Duration::from_secs(10);

/// Trims the logs whenever they have grown, until `shutdown`.
pub(crate) async fn trim_logs(dir: LogDir, shutdown: CancellationToken) {
    if let Err(error) = shutdown.run_until_cancelled(run(&dir)).await.unwrap_or(Ok(())) {
        warn!(error = %error, "logs are not trimmed any more");
    }
}

async fn run(dir: &LogDir) -> io::Result<()> {
    fs::create_dir_all(dir.root())?;
    let watch = FileWatch::new()?;
    loop {
        // Watching again what is watched already changes nothing.
        watch.add(dir.root())?;
        for log in add_watches(&watch, dir.root(), 0) {
            trim(&log, KEPT, STEP);
        }
        watch.changed().await?;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Watches all directories (pod, container) and logs below; answers with the logs.
fn add_watches(watch: &FileWatch, dir: &Path, depth: u32) -> Vec<PathBuf> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        // What went away meanwhile needs no watching.
        if watch.add(&path).is_err() {
            continue;
        }
        if depth < 2 && path.is_dir() {
            logs.extend(add_watches(watch, &path, depth + 1));
        } else if depth == 2 {
            logs.push(path);
        }
    }
    logs
}

/// Gives back what is older than the newest `kept` bytes, if that is at least `step`.
fn trim(path: &Path, kept: u64, step: u64) {
    let trimmed = OpenOptions::new().write(true).open(path).and_then(|file| punch(&file, kept, step));
    if let Err(error) = trimmed {
        warn!(path = %path.display(), error = %error, "cannot trim a log");
    }
}

fn punch(file: &File, kept: u64, step: u64) -> io::Result<()> {
    use std::os::unix::fs::MetadataExt;
    let meta = file.metadata()?;
    let on_disk = meta.blocks() * 512;
    if on_disk < kept + step {
        return Ok(());
    }
    let hole = meta.len().saturating_sub(kept) / ALIGNMENT * ALIGNMENT;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(file, flags, 0, hole)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;

    use super::*;
    use crate::logs::tail;

    #[test]
    fn the_newest_bytes_stay_and_reading_begins_at_a_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        let mut file = OpenOptions::new().create(true).append(true).open(&path).unwrap();
        for number in 0..40_000 {
            writeln!(file, "line {number:020}").unwrap();
        }
        file.sync_all().unwrap();
        trim(&path, 100 << 10, 100 << 10);
        writeln!(file, "written after").unwrap();

        let read = File::open(&path).unwrap();
        let meta = read.metadata().unwrap();
        assert!(meta.blocks() * 512 < 300 << 10, "{} blocks", meta.blocks());
        let beginning = usize::try_from(tail::beginning(&read).unwrap()).unwrap();
        let whole = fs::read(&path).unwrap();
        assert!(beginning > 0 && whole.len() - beginning < 110 << 10);
        let text = String::from_utf8(whole[beginning..].to_vec()).unwrap();
        assert!(text.starts_with("line 000") && text.ends_with("\nwritten after\n"));
    }
}
