//! Copies a container's output to its log and to those who are attached, until the container has ended.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use wherry_runtime_api::logs::{Encoder, Stream};

use crate::attached::Attached;

const CHUNK: usize = 16 * 1024;
/// How long output may stay silent after the program ended; a process outside the container may hold the pipe.
const DRAIN: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// The output of a container, its log, and those who are attached.
pub(super) struct Output {
    log: File,
    streams: Vec<Source>,
    attached: Attached,
    buffer: Vec<u8>,
}

/// Where one stream comes from.
struct Source {
    from: File,
    stream: Stream,
    encoder: Encoder,
}

impl Output {
    pub(super) fn new(
        log: File,
        streams: impl IntoIterator<Item = (OwnedFd, Stream)>,
        attached: Attached,
    ) -> io::Result<Self> {
        let source = |(from, stream): (OwnedFd, Stream)| {
            ioctl_fionbio(&from, true)?;
            Ok(Source { from: from.into(), stream, encoder: Encoder::new(stream) })
        };
        let streams = streams.into_iter().map(source).collect::<io::Result<_>>()?;
        Ok(Self { log, streams, attached, buffer: vec![0; CHUNK] })
    }

    /// Copies until `process` has ended and everything it wrote is in the log.
    pub(super) fn copy_until_exit(&mut self, process: &OwnedFd) -> io::Result<()> {
        while !self.wait(Some(process))? {
            self.copy();
            self.attached.serve();
        }
        while !self.streams.is_empty() && !self.wait(None)? {
            self.copy();
        }
        let left: Vec<_> = self.streams.drain(..).collect();
        for source in left {
            self.finish(source.encoder);
        }
        Ok(())
    }

    /// Waits for output. True once `process` has ended or, without one, once output is silent.
    fn wait(&self, process: Option<&OwnedFd>) -> io::Result<bool> {
        let mut fds: Vec<PollFd<'_>> =
            self.streams.iter().map(|source| PollFd::new(&source.from, PollFlags::IN)).collect();
        if let Some(process) = process {
            fds.extend(self.attached.sources().map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
            fds.push(PollFd::new(process, PollFlags::IN));
        }
        let ready = match poll(&mut fds, process.is_none().then_some(&DRAIN)) {
            Err(Errno::INTR) => return Ok(false),
            ready => ready?,
        };
        let ended = process.is_some() && fds.last().is_some_and(|fd| !fd.revents().is_empty());
        Ok(ended || ready == 0)
    }

    /// Copies what is there; a stream at its end is finished and dropped.
    fn copy(&mut self) {
        let mut index = 0;
        while index < self.streams.len() {
            let source = &mut self.streams[index];
            match read(&mut source.from, &mut self.buffer) {
                Ok(0) => {
                    let source = self.streams.remove(index);
                    self.finish(source.encoder);
                    continue;
                }
                Ok(count) => {
                    let (bytes, mut records) = (&self.buffer[..count], Vec::new());
                    let encoded = source.encoder.push(bytes, Timestamp::now(), &mut records);
                    // A full disk must not stop the program: its output is lost, as it would be with any log.
                    encoded.and_then(|()| self.log.write_all(&records)).ok();
                    self.attached.pass_on(source.stream, bytes);
                }
                // Nothing there, or interrupted: the next wait tells.
                Err(_) => {}
            }
            index += 1;
        }
    }

    fn finish(&mut self, mut encoder: Encoder) {
        let mut records = Vec::new();
        let encoded = encoder.finish(Timestamp::now(), &mut records);
        encoded.and_then(|()| self.log.write_all(&records)).ok();
    }
}

/// Reads; a terminal that nobody has open any more is at its end.
fn read(from: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    match from.read(buffer) {
        Err(error) if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Ok(0),
        read => read,
    }
}
