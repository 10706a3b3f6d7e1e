//! What shims and the agent tell each other: one packet each, with the descriptors that belong to it.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// More than the longest report takes.
const PACKET: usize = 16 * 1024;
/// The most descriptors a packet brings: input, output, errors.
const DESCRIPTORS: usize = 3;

/// What happened to a command, or to the wish to attach.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Report {
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

/// What an agent asks of the shim of a container; the packet brings where output and, without a terminal, errors go.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attach {
    /// Whether it wants to write to the program.
    pub(crate) stdin: bool,
}

/// Sends a message.
pub(crate) fn send(
    socket: BorrowedFd<'_>,
    message: &impl Serialize,
    descriptors: &[BorrowedFd<'_>],
) -> io::Result<()> {
    let bytes = serde_json::to_vec(message)?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
        return Err(io::Error::other("too many descriptors"));
    }
    sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives the next report; an error if the shim is gone.
pub(crate) async fn receive(socket: &AsyncFd<OwnedFd>) -> io::Result<(Report, Vec<OwnedFd>)> {
    let (bytes, descriptors) = socket.async_io(Interest::READABLE, |fd| take(fd.as_fd())).await?;
    if bytes.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((serde_json::from_slice(&bytes)?, descriptors))
}

/// Takes a packet that has come, with its descriptors; empty at the end.
pub(crate) fn take(socket: BorrowedFd<'_>) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
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
    use std::io::{Read as _, Write as _};

    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    use super::*;

    #[tokio::test]
    async fn reports_arrive_one_by_one_with_their_descriptors_and_then_end() {
        let kind = SocketType::SEQPACKET;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, SocketFlags::NONBLOCK, None).unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        send(theirs.as_fd(), &Report::Started, &[writer.as_fd()]).unwrap();
        send(theirs.as_fd(), &Report::Exited { code: 3 }, &[]).unwrap();
        drop((theirs, writer));
        let ours = wherry_runtime_api::terminal::watched(ours).unwrap();
        let (report, mut descriptors) = receive(&ours).await.unwrap();
        assert_eq!((report, descriptors.len()), (Report::Started, 1));
        std::fs::File::from(descriptors.remove(0)).write_all(b"it").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "it");
        assert_eq!(receive(&ours).await.unwrap().0, Report::Exited { code: 3 });
        assert_eq!(receive(&ours).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
