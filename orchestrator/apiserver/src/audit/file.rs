//! A log file that is set aside when it is full: `audit.log` becomes `audit-2026-01-02T03-04-05.678.log`.
//!
//! Files set aside are removed when they are too many or too old. Only the user who runs the server reads any of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use wherry_api::clock::Clock;

/// The time in a file's name.
const STAMP: &str = "%Y-%m-%dT%H-%M-%S%.3f";
/// How long that is.
const STAMP_LENGTH: usize = 23;

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Bytes in a file.
    pub(super) bytes: u64,
    /// Files set aside; zero is all.
    pub(super) backups: usize,
    /// Days they are kept; zero is for ever.
    pub(super) days: u32,
}

/// A log file.
pub(super) struct Rotating {
    path: PathBuf,
    limits: Limits,
    clock: Arc<dyn Clock>,
    /// The file and its size, once it is open.
    open: Option<(File, u64)>,
}

impl Rotating {
    /// The file of this path, which is opened when something is written.
    pub(super) fn new(path: PathBuf, limits: Limits, clock: Arc<dyn Clock>) -> Self {
        Self { path, limits, clock, open: None }
    }

    /// Appends lines. None of them is split between files.
    pub(super) fn write(&mut self, lines: &[Vec<u8>]) -> io::Result<()> {
        let mut pending = Vec::new();
        for line in lines {
            let size = self.size()? + pending.len() as u64;
            if size > 0 && size + line.len() as u64 > self.limits.bytes {
                self.append(&pending)?;
                pending.clear();
                self.rotate()?;
            }
            pending.extend_from_slice(line);
        }
        self.append(&pending)
    }

    /// The size of the file, which is opened if it is not yet.
    fn size(&mut self) -> io::Result<u64> {
        if let Some((_, size)) = &self.open {
            return Ok(*size);
        }
        let file = open(&self.path)?;
        let size = file.metadata()?.len();
        self.open = Some((file, size));
        self.prune()?;
        Ok(size)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.size()?;
        let Some((file, size)) = &mut self.open else { return Ok(()) };
        if let Err(error) = file.write_all(bytes) {
            // The file may have been taken away; the next line opens it again.
            self.open = None;
            return Err(error);
        }
        *size += bytes.len() as u64;
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.open = None;
        let mut time = self.clock.now();
        while self.aside(time).exists() {
            time = time.saturating_add(SignedDuration::from_millis(1)).map_err(io::Error::other)?;
        }
        fs::rename(&self.path, self.aside(time))?;
        self.size().map(drop)
    }

    /// The beginning and the end of names of files set aside.
    fn affixes(&self) -> (String, String) {
        let text = |part: Option<&std::ffi::OsStr>| part.unwrap_or_default().to_string_lossy().into_owned();
        let end = self.path.extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
        (format!("{}-", text(self.path.file_stem())), end)
    }

    fn aside(&self, time: Timestamp) -> PathBuf {
        let (start, end) = self.affixes();
        self.path.with_file_name(format!("{start}{}{end}", stamp(time)))
    }

    /// Removes files that are too many or too old.
    fn prune(&self) -> io::Result<()> {
        let (start, end) = self.affixes();
        let mut stamps = Vec::new();
        for entry in fs::read_dir(directory(&self.path))? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            let stamp = name.strip_prefix(&start).and_then(|name| name.strip_suffix(&end));
            stamps.extend(stamp.filter(|stamp| is_stamp(stamp)).map(str::to_owned));
        }
        stamps.sort_unstable_by(|a, b| b.cmp(a));
        let age = SignedDuration::from_hours(24 * i64::from(self.limits.days));
        let oldest = (self.limits.days > 0).then(|| self.clock.now().saturating_sub(age).map(stamp));
        let oldest = oldest.and_then(Result::ok).unwrap_or_default();
        let most = if self.limits.backups == 0 { usize::MAX } else { self.limits.backups };
        for (at, stamp) in stamps.iter().enumerate() {
            if at >= most || *stamp < oldest {
                fs::remove_file(self.path.with_file_name(format!("{start}{stamp}{end}")))?;
            }
        }
        Ok(())
    }
}

/// Opens a log file to append to, in a directory that is made if it is missing.
pub(super) fn open(path: &Path) -> io::Result<File> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(directory(path))?;
    OpenOptions::new().create(true).append(true).mode(0o600).open(path)
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn stamp(time: Timestamp) -> String {
    time.strftime(STAMP).to_string()
}

fn is_stamp(text: &str) -> bool {
    let digits = text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'-' | b'T' | b'.'));
    text.len() == STAMP_LENGTH && digits
}

#[cfg(test)]
mod tests {
    use parking_lot::Mutex;

    use super::*;

    struct Hand(Mutex<Timestamp>);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            *self.0.lock()
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    fn log(directory: &Path, limits: Limits) -> (Rotating, Arc<Hand>) {
        let clock = Arc::new(Hand(Mutex::new("2026-01-02T03:04:05.678Z".parse().unwrap())));
        let shared = Arc::clone(&clock) as Arc<dyn Clock>;
        (Rotating::new(directory.join("deep/audit.log"), limits, shared), clock)
    }

    #[test]
    fn a_full_file_is_set_aside_and_no_line_is_split() {
        let directory = tempfile::tempdir().unwrap();
        let (mut log, _) = log(directory.path(), Limits { bytes: 10, backups: 0, days: 0 });
        log.write(&[b"1234\n".to_vec(), b"5678\n".to_vec(), b"9\n".to_vec(), b"abcdefghij\n".to_vec()])
            .unwrap();
        let deep = directory.path().join("deep");
        let aside = ["audit-2026-01-02T03-04-05.678.log", "audit-2026-01-02T03-04-05.679.log", "audit.log"];
        assert_eq!(names(&deep), aside);
        let texts = aside.map(|name| fs::read_to_string(deep.join(name)).unwrap());
        assert_eq!(texts, ["1234\n5678\n", "9\n", "abcdefghij\n"]);
    }

    #[test]
    fn files_that_are_too_many_or_too_old_go_and_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("deep");
        fs::create_dir(&deep).unwrap();
        for name in ["audit-notes.log", "audit-2020-01-01T00-00-00.000.log", "other.log"] {
            fs::write(deep.join(name), "x").unwrap();
        }
        let (mut log, clock) = log(directory.path(), Limits { bytes: 2, backups: 2, days: 7 });
        log.write(&[b"a\n".to_vec()]).unwrap();
        assert_eq!(names(&deep), ["audit-notes.log", "audit.log", "other.log"]);
        for second in 0..4 {
            *clock.0.lock() += SignedDuration::from_secs(second);
            log.write(&[b"b\n".to_vec()]).unwrap();
        }
        let kept = names(&deep);
        assert_eq!(kept.len(), 5, "{kept:?}");
        assert_eq!(kept[1], "audit-2026-01-02T03-04-11.678.log");
    }

    #[test]
    fn a_file_goes_on_where_it_ended() {
        let directory = tempfile::tempdir().unwrap();
        let limits = Limits { bytes: 6, backups: 0, days: 0 };
        log(directory.path(), limits).0.write(&[b"abc\n".to_vec()]).unwrap();
        log(directory.path(), limits).0.write(&[b"def\n".to_vec()]).unwrap();
        assert_eq!(names(&directory.path().join("deep")).len(), 2);
    }
}
