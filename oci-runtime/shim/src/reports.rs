//! What shims and the agent tell each other: one packet each, with the descriptors that belong to it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};

use crate::json::quoted;

/// More than the longest report takes.
const PACKET: usize = 16 * 1024;
/// The most descriptors a packet brings: input, output, errors.
const DESCRIPTORS: usize = 3;

/// The name of the socket on which a container's shim takes those who attach, in the container's directory.
pub const ATTACH: &str = "attach";

/// What happened to a command, or to the wish to attach.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub enum Report {
    /// It runs; the packet brings its terminal, or its output, its errors and, if wanted, its input. For one who attaches only
    /// its terminal or, if wanted and to be had, its input.
    Started,
    /// It could not be started, or its end is not known.
    Failed {
        /// Why.
        reason: String,
    },
    /// It ended.
    Exited {
        /// The exit code, 128 + signal for a signal.
        code: i32,
    },
}

impl Report {
    /// Sends it.
    pub fn send(&self, socket: BorrowedFd<'_>, descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
        send(socket, self.json().as_bytes(), descriptors)
    }

    fn json(&self) -> String {
        match self {
            Self::Started => "\"Started\"".to_owned(),
            Self::Failed { reason } => format!(r#"{{"Failed":{{"reason":{}}}}}"#, quoted(reason)),
            Self::Exited { code } => format!(r#"{{"Exited":{{"code":{code}}}}}"#),
        }
    }
}

/// What an agent asks of the shim of a container; the packet brings where output and, without a terminal, errors go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attach {
    /// Whether it wants to write to the program.
    pub stdin: bool,
}

impl Attach {
    /// Either of the two packets there are, to be sent with [`send`].
    pub fn packet(self) -> &'static [u8] {
        if self.stdin { br#"{"stdin":true}"# } else { br#"{"stdin":false}"# }
    }

    /// What a packet asks for.
    pub fn read(packet: &[u8]) -> Option<Self> {
        [true, false].map(|stdin| Self { stdin }).into_iter().find(|wanted| wanted.packet() == packet)
    }
}

/// Sends a packet.
pub fn send(socket: BorrowedFd<'_>, packet: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors"));
    }
    sendmsg(socket, &[IoSlice::new(packet)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Takes a packet that has come, with its descriptors; empty at the end.
pub fn take(socket: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; PACKET];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let got = recvmsg(socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    bytes.truncate(got.bytes);
    let mut descriptors = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = message {
            descriptors.extend(rights);
        }
    }
    Ok((bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_to_attach_is_one_of_two_packets() {
        for wanted in [Attach { stdin: true }, Attach { stdin: false }] {
            assert_eq!(Attach::read(wanted.packet()), Some(wanted));
        }
        assert_eq!(Attach::read(b"{\"stdin\":1}"), None);
        assert_eq!(Attach::read(b""), None);
    }
}
