//! How much may be unpacked: a small blob may decompress to any size.

use std::cell::Cell;
use std::io::{self, Read};

/// What may still be unpacked, of one stream or of several.
#[derive(Debug)]
pub struct Allowance {
    limit: u64,
    left: Cell<u64>,
}

impl Allowance {
    /// So many bytes.
    pub fn new(limit: u64) -> Self {
        Self { limit, left: Cell::new(limit) }
    }
}

/// Fails, rather than ends, when more than the allowance is read.
#[derive(Debug)]
pub struct Bounded<'a, R> {
    inner: R,
    allowance: &'a Allowance,
}

impl<'a, R> Bounded<'a, R> {
    /// What is read of `inner` counts.
    pub fn new(inner: R, allowance: &'a Allowance) -> Self {
        Self { inner, allowance }
    }
}

impl<R: Read> Read for Bounded<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        let Allowance { limit, left } = self.allowance;
        let rest = left.get().checked_sub(count as u64).ok_or_else(|| {
            let text = format!("the layer unpacks to more than {limit} bytes");
            io::Error::new(io::ErrorKind::InvalidData, text)
        })?;
        left.set(rest);
        Ok(count)
    }
}
