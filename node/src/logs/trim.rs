//! Keeps logs from filling the disk.
//!
//! A runtime keeps its log open for appending for as long as its container runs, so a log is not rotated: what is
//! older than its newest 50 MiB is given back to the file system by punching a hole at its beginning. Nothing that
//! is being written can be lost, no reader is disturbed, and readers start behind the hole ([`super::tail`]).
//!
//! Only logs that were written to since the last look are looked at, every few seconds at most: a container that says nothing costs
//! nothing, and one that says much makes the kernel tell it once.

use std::collections::HashMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::FutureExt as _;
use rustix::fs::{FallocateFlags, fallocate};
use tokio::task::yield_now;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::dir::{LogDir, Prepared};
use crate::file_watch::{Changes, FileWatch};

/// How much of a log is kept.
const BOUNDS: Bounds = Bounds { kept: 50 << 20, step: 10 << 20 };
/// Holes are made of whole blocks.
const ALIGNMENT: u64 = 4096;
const PAUSE: Duration = Duration::from_secs(10);
/// Directories that are looked at before others get their turn.
const AT_ONCE: usize = 32;

#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Bytes of a log that are kept.
    kept: u64,
    /// A hole is punched when there is this much to give back.
    step: u64,
}

/// Trims the logs whenever they have grown, until `shutdown`.
pub(crate) async fn trim_logs(dir: LogDir, prepared: Prepared, shutdown: CancellationToken) {
    if let Err(error) = shutdown.run_until_cancelled(run(&dir, prepared)).await.unwrap_or(Ok(())) {
        warn!(error = %error, "logs are not trimmed any more");
    }
}

async fn run(dir: &LogDir, mut prepared: Prepared) -> io::Result<()> {
    fs::create_dir_all(dir.root())?;
    let mut trimmer = Trimmer::new(dir.root(), BOUNDS)?;
    trimmer.look(of_containers(dir.root())).await;
    loop {
        let mut fresh = Vec::new();
        tokio::select! {
            changed = trimmer.watch.something() => changed?,
            Some(dir) = prepared.recv() => fresh.push(dir),
        }
        tokio::time::sleep(PAUSE).await;
        fresh.extend(std::iter::from_fn(|| prepared.try_recv().ok()));
        trimmer.turn(fresh).await?;
    }
}

/// The directories of containers that have logs.
fn of_containers(root: &Path) -> Vec<PathBuf> {
    let entries = |dir: &Path| fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    entries(root).flat_map(|pod| entries(&pod).collect::<Vec<_>>()).collect()
}

/// Looks at the logs that grew.
struct Trimmer {
    root: PathBuf,
    bounds: Bounds,
    watch: FileWatch,
    /// The directories of containers, below the root, by their watches.
    watched: HashMap<i32, PathBuf>,
}

impl Trimmer {
    fn new(root: &Path, bounds: Bounds) -> io::Result<Self> {
        Ok(Self { root: root.to_owned(), bounds, watch: FileWatch::new()?, watched: HashMap::new() })
    }

    /// Looks at what changed since the last turn, and at what is `fresh`.
    async fn turn(&mut self, fresh: Vec<PathBuf>) -> io::Result<()> {
        let changes = self.watch.changes().now_or_never().transpose()?;
        let Changes { watches, lost } = changes.unwrap_or_default();
        let mut dirs = fresh;
        if lost {
            let all: Vec<_> = self.watched.drain().map(|(_, dir)| self.root.join(dir)).collect();
            dirs.extend(all);
        } else {
            let changed: Vec<_> = watches.iter().filter_map(|watch| self.watched.remove(watch)).collect();
            dirs.extend(changed.into_iter().map(|dir| self.root.join(dir)));
        }
        self.look(dirs).await;
        Ok(())
    }

    /// Trims the logs in these directories, and waits for them to grow.
    async fn look(&mut self, dirs: Vec<PathBuf>) {
        for (number, dir) in dirs.into_iter().enumerate() {
            if number % AT_ONCE == AT_ONCE - 1 {
                yield_now().await;
            }
            self.look_at(&dir);
        }
    }

    fn look_at(&mut self, dir: &Path) {
        // Watched before its logs are looked at, so that no write goes unnoticed.
        match self.watch.add_once(dir) {
            Ok(watch) => {
                let below = dir.strip_prefix(&self.root).unwrap_or(dir).to_owned();
                self.watched.insert(watch, below);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return,
            Err(error) => warn!(path = %dir.display(), error = %error, "logs are not trimmed as they grow"),
        }
        for log in fs::read_dir(dir).into_iter().flatten().flatten() {
            trim(&log.path(), self.bounds);
        }
    }
}

/// Gives back what is older than the newest bytes, if that is enough.
fn trim(path: &Path, bounds: Bounds) {
    if let Err(error) = punch(path, bounds)
        && error.kind() != io::ErrorKind::NotFound
    {
        warn!(path = %path.display(), error = %error, "cannot trim a log");
    }
}

fn punch(path: &Path, Bounds { kept, step }: Bounds) -> io::Result<()> {
    let meta = fs::symlink_metadata(path)?;
    let on_disk = meta.blocks() * 512;
    if on_disk < kept + step || !meta.is_file() {
        return Ok(());
    }
    let hole = meta.len().saturating_sub(kept) / ALIGNMENT * ALIGNMENT;
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    fallocate(OpenOptions::new().write(true).open(path)?, flags, 0, hole)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write;

    use super::*;
    use crate::logs::tail;

    const SMALL: Bounds = Bounds { kept: 100 << 10, step: 100 << 10 };

    fn grow(path: &Path) {
        let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        for number in 0..40_000 {
            writeln!(file, "line {number:020}").unwrap();
        }
        file.sync_all().unwrap();
    }

    fn on_disk(path: &Path) -> u64 {
        fs::metadata(path).unwrap().blocks() * 512
    }

    #[test]
    fn the_newest_bytes_stay_and_reading_begins_at_a_whole_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("0.log");
        grow(&path);
        trim(&path, SMALL);
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        writeln!(file, "written after").unwrap();

        let read = File::open(&path).unwrap();
        assert!(on_disk(&path) < 300 << 10, "{} bytes", on_disk(&path));
        let beginning = usize::try_from(tail::beginning(&read).unwrap()).unwrap();
        let whole = fs::read(&path).unwrap();
        assert!(beginning > 0 && whole.len() - beginning < 110 << 10);
        let text = String::from_utf8(whole[beginning..].to_vec()).unwrap();
        assert!(text.starts_with("line 000") && text.ends_with("\nwritten after\n"));
    }

    /// What was there before, what is new, and what grows again and again; a container that is silent is never looked at.
    #[tokio::test]
    async fn logs_are_trimmed_whenever_they_have_grown() {
        let root = tempfile::tempdir().unwrap();
        let [old, new, silent] = ["p_old_u1/main", "p_new_u2/main", "p_silent_u3/main"].map(|dir| {
            let dir = root.path().join(dir);
            fs::create_dir_all(&dir).unwrap();
            dir
        });
        grow(&old.join("0.log"));
        let mut trimmer = Trimmer::new(root.path(), SMALL).unwrap();
        trimmer.look(vec![old.clone()]).await;
        assert!(on_disk(&old.join("0.log")) < 300 << 10);
        trimmer.turn(vec![new.clone(), silent.clone()]).await.unwrap();
        assert_eq!(trimmer.watched.len(), 3);
        let watch = |trimmer: &Trimmer, name: &str| {
            let of = trimmer.watched.iter().find(|(_, dir)| dir.starts_with(name)).map(|(watch, _)| *watch);
            of.expect("it is watched")
        };
        let untouched = watch(&trimmer, "p_silent_u3");
        for attempt in ["0.log", "0.log", "1.log"] {
            let before = watch(&trimmer, "p_new_u2");
            grow(&new.join(attempt));
            assert!(on_disk(&new.join(attempt)) > 300 << 10);
            trimmer.watch.something().await.unwrap();
            trimmer.turn(Vec::new()).await.unwrap();
            assert!(on_disk(&new.join(attempt)) < 300 << 10, "{attempt} was not trimmed");
            assert_ne!(watch(&trimmer, "p_new_u2"), before);
        }
        assert_eq!(watch(&trimmer, "p_silent_u3"), untouched);

        fs::remove_dir_all(root.path().join("p_new_u2")).unwrap();
        trimmer.watch.something().await.unwrap();
        trimmer.turn(Vec::new()).await.unwrap();
        assert_eq!(trimmer.watched.len(), 2, "what is gone is forgotten");
    }

    #[test]
    fn containers_that_an_agent_finds_are_looked_at() {
        let root = tempfile::tempdir().unwrap();
        for dir in ["p_a_u1/main", "p_a_u1/side", "p_b_u2/main"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
        }
        let mut found = of_containers(root.path());
        found.sort();
        let expected = ["p_a_u1/main", "p_a_u1/side", "p_b_u2/main"].map(|dir| root.path().join(dir));
        assert_eq!(found, expected);
    }
}
