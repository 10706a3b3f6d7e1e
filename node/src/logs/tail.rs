//! Finds where the last lines of a log begin, reading from its end.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{SeekFrom, seek};

const BLOCK: u64 = 64 * 1024;

/// Where the log's content begins: behind what was trimmed away, at the beginning of a line.
pub(super) fn beginning(file: &File) -> io::Result<u64> {
    let data = match seek(file, SeekFrom::Data(0)) {
        Ok(offset) => offset,
        // Nothing but a hole, or a file system that knows none.
        Err(rustix::io::Errno::NXIO) => return Ok(file.metadata()?.len()),
        Err(_) => 0,
    };
    if data == 0 {
        return Ok(0);
    }
    // The first line behind the hole has lost its beginning; a hole's end is aligned and may be mid-line.
    let length = file.metadata()?.len();
    let mut position = data;
    let mut block = vec![0; usize::try_from(BLOCK).unwrap_or(4096)];
    while position < length {
        let read = file.read_at(&mut block, position)?;
        if read == 0 {
            break;
        }
        if let Some(newline) = block[..read].iter().position(|byte| *byte == b'\n') {
            return Ok(position + newline as u64 + 1);
        }
        position += read as u64;
    }
    Ok(length)
}

/// Where the last `lines` lines of the first `length` bytes begin. A record that is continued by the next one is
/// not a line of its own; one that nothing has continued yet is.
pub(super) fn tail_start(file: &File, length: u64, lines: u64) -> io::Result<u64> {
    let beginning = beginning(file)?.min(length);
    if lines == 0 {
        return Ok(length);
    }
    let mut scanner = Scanner { wanted: lines, found: 0, is_last: true };
    let mut end = length;
    // The part of a record whose beginning is in a block before.
    let mut rest: Vec<u8> = Vec::new();
    while end > beginning {
        let start = end.saturating_sub(BLOCK).max(beginning);
        let mut block = vec![0; usize::try_from(end - start).unwrap_or_default()];
        file.read_exact_at(&mut block, start)?;
        block.append(&mut rest);
        let first = match block.iter().position(|byte| *byte == b'\n') {
            _ if start == beginning => 0,
            Some(newline) => newline + 1,
            None => block.len(),
        };
        if let Some(offset) = scanner.scan(&block[first..]) {
            return Ok(start + (first + offset) as u64);
        }
        rest = block[..first].to_vec();
        end = start;
        // What is kept in `rest` is read again together with the block before it.
    }
    Ok(beginning)
}

/// Counts lines from the end.
struct Scanner {
    wanted: u64,
    found: u64,
    /// Whether the next record looked at is the last of the log.
    is_last: bool,
}

impl Scanner {
    /// Looks through whole records, last to first; where the wanted line begins, if it is here.
    fn scan(&mut self, records: &[u8]) -> Option<usize> {
        let mut end = records.len();
        while end > 0 {
            let body_end = if records[end - 1] == b'\n' { end - 1 } else { end };
            let start = records[..body_end].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            if std::mem::take(&mut self.is_last) || ends_line(&records[start..body_end]) {
                if self.found == self.wanted {
                    return Some(end);
                }
                self.found += 1;
            }
            end = start;
        }
        None
    }
}

/// Whether the record ends a line: every record but one tagged `P`.
fn ends_line(record: &[u8]) -> bool {
    record.splitn(4, |byte| *byte == b' ').nth(2) != Some(b"P")
}
