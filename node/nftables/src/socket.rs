//! The conversation with the kernel. It is over when the messages are handed over: the kernel works on them at once, and answers
//! before the call that sends them returns.

use std::io;
use std::mem::MaybeUninit;

use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::netlink::{NETFILTER, SocketAddrNetlink};
use rustix::net::sockopt::set_socket_send_buffer_size_force;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, recv, sendto, socket_with,
};

use crate::Error;
use crate::message::{Answer, Batch, answers};

/// What the kernel notes for itself with what is sent.
const OVERHEAD: usize = 4096;
/// Batches up to this fit into what every socket may send.
const SMALL: usize = 100_000;
/// No datagram of answers is longer.
const LONGEST: usize = 1 << 16;

/// What the kernel did not take.
pub(crate) struct Refused {
    pub(crate) line: usize,
    pub(crate) error: io::Error,
}

/// A socket of the network namespace that it was opened in.
///
/// It is kept for the next transaction: when the kernel closes one it first waits until nobody reads what transactions removed,
/// for milliseconds in which no rules can be changed.
pub(crate) struct Socket(OwnedFd);

impl Socket {
    /// In the network namespace of the calling thread.
    pub(crate) fn open() -> Result<Self, Error> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(NETFILTER))
            .map_err(failed("open a netlink socket"))?;
        bind(&socket, &SocketAddrNetlink::new(0, 0)).map_err(failed("bind a netlink socket"))?;
        Ok(Self(socket))
    }

    /// Brings a transaction into force, or answers what was refused of it.
    pub(crate) fn transact(&self, batch: &Batch) -> Result<Option<Refused>, Error> {
        if batch.lines.is_empty() {
            return Ok(None);
        }
        if batch.bytes.len() > SMALL {
            let size = batch.bytes.len() + OVERHEAD;
            set_socket_send_buffer_size_force(&self.0, size)
                .map_err(failed("let a netlink socket send that much"))?;
        }
        let sent = sendto(&self.0, &batch.bytes, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))
            .map_err(failed("send rules to the kernel"))?;
        if sent < batch.bytes.len() {
            let source = io::Error::from(io::ErrorKind::WriteZero);
            return Err(Error::Socket { step: "send all rules to the kernel", source });
        }
        judge(batch, &received(&self.0).map_err(failed("read the kernel's answer"))?)
    }
}

fn failed(step: &'static str) -> impl Fn(Errno) -> Error {
    move |error| Error::Socket { step, source: error.into() }
}

/// All answers that are there.
fn received(socket: &OwnedFd) -> Result<Vec<Answer>, Errno> {
    let mut buffer = vec![MaybeUninit::uninit(); LONGEST];
    let mut all = Vec::new();
    loop {
        match recv(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok(((datagram, _), _)) => all.extend(answers(datagram)),
            Err(Errno::AGAIN) => return Ok(all),
            // More was refused than there is room to say so.
            Err(Errno::INTR | Errno::NOBUFS) => {}
            Err(error) => return Err(error),
        }
    }
}

/// It is in force if the kernel says so of the last change, and nothing else of any.
fn judge(batch: &Batch, answers: &[Answer]) -> Result<Option<Refused>, Error> {
    if let Some(refused) = answers.iter().find(|answer| answer.error != 0) {
        let change = refused.number.checked_sub(1).and_then(|number| batch.lines.get(number));
        let line = change.copied().unwrap_or_default();
        return Ok(Some(Refused { line, error: io::Error::from_raw_os_error(refused.error) }));
    }
    if answers.iter().any(|answer| answer.number == batch.lines.len()) {
        return Ok(None);
    }
    let source = io::Error::from(io::ErrorKind::UnexpectedEof);
    Err(Error::Socket { step: "learn whether the kernel took the rules", source })
}
