//! Turns the records of a log file into the bytes a reader asked for.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use wherry_runtime_api::logs;

use super::options::LogOptions;
use super::tail;

const BLOCK: usize = 64 * 1024;

/// The end of a log: at most so many lines, and of these at most so many bytes.
pub(crate) fn last_lines(path: &Path, lines: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let options = LogOptions { tail_lines: Some(lines), ..LogOptions::default() };
    let mut reader = LogReader::new(File::open(path)?, options)?;
    let mut kept = Vec::new();
    while let Some(more) = reader.next()? {
        kept.extend(more);
        kept.drain(..kept.len().saturating_sub(bytes));
    }
    Ok(kept)
}

/// Reads one log file from where the options say.
pub(super) struct LogReader {
    file: File,
    position: u64,
    /// The record whose end has not been written or read yet.
    partial: Vec<u8>,
    options: LogOptions,
    /// Whether what is sent next begins a line.
    line_begins: bool,
    sent: u64,
}

impl LogReader {
    /// Begins at the options' tail, or at the beginning.
    pub(super) fn new(file: File, options: LogOptions) -> io::Result<Self> {
        let length = file.metadata()?.len();
        let position = match options.tail_lines {
            Some(lines) => tail::tail_start(&file, length, lines)?,
            None => tail::beginning(&file)?,
        };
        Ok(Self { file, position, partial: Vec::new(), options, line_begins: true, sent: 0 })
    }

    /// Whether the limit has been reached.
    pub(super) fn is_exhausted(&self) -> bool {
        self.options.limit_bytes.is_some_and(|limit| self.sent >= limit)
    }

    /// The next bytes to send; `None` at the end of what has been written so far.
    pub(super) fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut block = vec![0; BLOCK];
        loop {
            if self.is_exhausted() {
                return Ok(None);
            }
            let read = self.file.read_at(&mut block, self.position)?;
            if read == 0 {
                return Ok(None);
            }
            self.position += read as u64;
            let out = self.convert(&block[..read]);
            if !out.is_empty() {
                return Ok(Some(out));
            }
        }
    }

    fn convert(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len());
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if self.partial.last() == Some(&b'\n') {
                let record = std::mem::take(&mut self.partial);
                self.add(&record[..record.len() - 1], &mut out);
            }
        }
        let left =
            self.options.limit_bytes.map(|limit| usize::try_from(limit - self.sent).unwrap_or(usize::MAX));
        out.truncate(left.unwrap_or(usize::MAX));
        self.sent += out.len() as u64;
        out
    }

    /// Adds one record; what is not a record was not written by a runtime and is left out.
    fn add(&mut self, record: &[u8], out: &mut Vec<u8>) {
        let Some(record) = logs::parse(record) else { return };
        if self.options.stream.is_some_and(|stream| record.stream != stream) {
            return;
        }
        if self.options.since.is_some_and(|since| record.time < since) {
            return;
        }
        if self.options.timestamps && self.line_begins {
            out.extend_from_slice(record.time_text.as_bytes());
            out.push(b' ');
        }
        out.extend_from_slice(record.message);
        self.line_begins = !record.partial;
        if self.line_begins {
            out.push(b'\n');
        }
    }
}
