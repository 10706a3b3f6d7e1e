//! Copies a container's output to its log, until the container has ended.

use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::OwnedFd;

use jiff::Timestamp;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ioctl_fionbio};
use wherry_runtime_api::logs::{Encoder, Stream};

const CHUNK: usize = 16 * 1024;
/// How long output may stay silent after the program ended; a process outside the container may hold the pipe.
const DRAIN: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// Both output streams of a container and its log.
pub(super) struct Output {
    log: File,
    streams: Vec<(PipeReader, Encoder)>,
    buffer: Vec<u8>,
}

impl Output {
    pub(super) fn new(log: File, stdout: PipeReader, stderr: PipeReader) -> io::Result<Self> {
        ioctl_fionbio(&stdout, true)?;
        ioctl_fionbio(&stderr, true)?;
        let streams = vec![(stdout, Encoder::new(Stream::Stdout)), (stderr, Encoder::new(Stream::Stderr))];
        Ok(Self { log, streams, buffer: vec![0; CHUNK] })
    }

    /// Copies until `process` has ended and everything it wrote is in the log.
    pub(super) fn copy_until_exit(&mut self, process: &OwnedFd) -> io::Result<()> {
        while !self.wait(Some(process))? {
            self.copy();
        }
        while !self.streams.is_empty() && !self.wait(None)? {
            self.copy();
        }
        let left: Vec<_> = self.streams.drain(..).collect();
        for (_, encoder) in left {
            self.finish(encoder);
        }
        Ok(())
    }

    /// Waits for output. True once `process` has ended or, without one, once output is silent.
    fn wait(&self, process: Option<&OwnedFd>) -> io::Result<bool> {
        let mut fds: Vec<PollFd<'_>> =
            self.streams.iter().map(|(pipe, _)| PollFd::new(pipe, PollFlags::IN)).collect();
        fds.extend(process.map(|process| PollFd::new(process, PollFlags::IN)));
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
            let (pipe, encoder) = &mut self.streams[index];
            match pipe.read(&mut self.buffer) {
                Ok(0) => {
                    let (_, encoder) = self.streams.remove(index);
                    self.finish(encoder);
                    continue;
                }
                Ok(count) => {
                    let mut records = Vec::new();
                    let encoded = encoder.push(&self.buffer[..count], Timestamp::now(), &mut records);
                    // A full disk must not stop the program: its output is lost, as it would be with any log.
                    encoded.and_then(|()| self.log.write_all(&records)).ok();
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
