//! The CRI log format: one record per line, `TIMESTAMP STREAM TAG MESSAGE`.
//!
//! `TIMESTAMP` is RFC 3339 with nanoseconds, `STREAM` is `stdout` or `stderr`, `TAG` is `F` for a full line and
//! `P` for a part of a longer one. Source: Kubernetes CRI, `design-proposals/node/kubelet-cri-logging.md`.

use std::io::{self, Write};

use jiff::Timestamp;

/// Longest message of one record; a longer line is written as parts, as containerd does.
pub const MAX_RECORD: usize = 16 * 1024;

/// Which of a container's output streams a record came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// The word in the record.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Cuts one stream of bytes into records.
///
/// One encoder serves one stream; encoders of both streams may share a writer. A record is written with one
/// `write_all`, so records of two streams never mix within a line when the file is opened for append.
#[derive(Debug)]
pub struct Encoder {
    stream: Stream,
    pending: Vec<u8>,
}

impl Encoder {
    /// An encoder for one stream.
    pub fn new(stream: Stream) -> Self {
        Self { stream, pending: Vec::new() }
    }

    /// Takes bytes as they come; complete lines are written to `out` with the time `now`.
    pub fn push(&mut self, mut bytes: &[u8], now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.buffer(&bytes[..end], now, out)?;
            self.record(now, 'F', out)?;
            bytes = &bytes[end + 1..];
        }
        self.buffer(bytes, now, out)
    }

    /// Writes what is left of an unfinished line, as a part: it has no newline that readers could show.
    pub fn finish(&mut self, now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        self.record(now, 'P', out)
    }

    fn buffer(&mut self, mut bytes: &[u8], now: Timestamp, out: &mut dyn Write) -> io::Result<()> {
        while self.pending.len() + bytes.len() > MAX_RECORD {
            let (head, tail) = bytes.split_at(MAX_RECORD - self.pending.len());
            self.pending.extend_from_slice(head);
            self.record(now, 'P', out)?;
            bytes = tail;
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    fn record(&mut self, now: Timestamp, tag: char, out: &mut dyn Write) -> io::Result<()> {
        let mut line = format!("{now:.9} {} {tag} ", self.stream.as_str()).into_bytes();
        line.append(&mut self.pending);
        line.push(b'\n');
        out.write_all(&line)
    }
}

/// One record, borrowed from its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// When the line was written.
    pub time: Timestamp,
    /// The timestamp as it stands in the file.
    pub time_text: &'a str,
    /// Where it was written to.
    pub stream: Stream,
    /// Whether the line goes on in the next record of the same stream.
    pub partial: bool,
    /// The bytes of the line, without its newline.
    pub message: &'a [u8],
}

/// Reads one line of a log file (without its newline); `None` if it is not a record.
pub fn parse(line: &[u8]) -> Option<Record<'_>> {
    let mut fields = line.splitn(4, |b| *b == b' ');
    let time_text = std::str::from_utf8(fields.next()?).ok()?;
    let time = time_text.parse().ok()?;
    let stream = match fields.next()? {
        b"stdout" => Stream::Stdout,
        b"stderr" => Stream::Stderr,
        _ => return None,
    };
    let partial = match fields.next()? {
        b"F" => false,
        b"P" => true,
        _ => return None,
    };
    Some(Record { time, time_text, stream, partial, message: fields.next().unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(chunks: &[&[u8]]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut encoder = Encoder::new(Stream::Stdout);
        for chunk in chunks {
            encoder.push(chunk, Timestamp::UNIX_EPOCH, &mut out).unwrap();
        }
        encoder.finish(Timestamp::UNIX_EPOCH, &mut out).unwrap();
        out
    }

    #[test]
    fn lines_become_full_records_however_they_are_chunked() {
        let expected =
            b"1970-01-01T00:00:00.000000000Z stdout F one\n1970-01-01T00:00:00.000000000Z stdout F two\n";
        assert_eq!(encode(&[b"one\ntwo\n"]), expected);
        assert_eq!(encode(&[b"o", b"ne\nt", b"wo\n"]), expected);
    }

    #[test]
    fn a_line_without_an_end_is_a_part() {
        let out = encode(&[b"one\ntw", b"o"]);
        let records: Vec<_> = out.split(|b| *b == b'\n').filter_map(parse).collect();
        let shown: Vec<_> = records.iter().map(|r| (r.partial, r.message)).collect();
        assert_eq!(shown, [(false, &b"one"[..]), (true, b"two")]);
    }

    #[test]
    fn a_long_line_is_split_into_parts_and_read_back_whole() {
        let line = vec![b'x'; MAX_RECORD * 2 + 5];
        let out = encode(&[&line, b"\n"]);
        let records: Vec<_> = out.split(|b| *b == b'\n').filter_map(parse).collect();
        assert_eq!(records.iter().map(|r| r.partial).collect::<Vec<_>>(), [true, true, false]);
        assert_eq!(records.iter().map(|r| r.message.len()).sum::<usize>(), line.len());
    }

    #[test]
    fn what_is_not_a_record_is_refused() {
        for line in
            [&b""[..], b"hello", b"2026-01-01T00:00:00Z stdin F x", b"2026-01-01T00:00:00Z stdout Q x"]
        {
            assert_eq!(parse(line), None);
        }
    }
}
