//! What shims report, as the agent receives it.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wherry_shim::reports::{Report, take};

/// Receives the next report; an error if the shim is gone.
pub(crate) async fn receive(socket: &AsyncFd<OwnedFd>) -> io::Result<(Report, Vec<OwnedFd>)> {
    let (bytes, descriptors) = socket.async_io(Interest::READABLE, |fd| take(fd.as_fd())).await?;
    if bytes.is_empty() {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok((serde_json::from_slice(&bytes)?, descriptors))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use proptest::prelude::*;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use wherry_runtime_api::ExitReason;
    use wherry_shim::records::{Exit, Running};

    use super::*;

    #[tokio::test]
    async fn reports_arrive_one_by_one_with_their_descriptors_and_then_end() {
        let kind = SocketType::SEQPACKET;
        let (ours, theirs) = socketpair(AddressFamily::UNIX, kind, SocketFlags::NONBLOCK, None).unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let failed = Report::Failed { reason: "no \"such\"\n\\ thing".to_owned() };
        Report::Started.send(theirs.as_fd(), &[writer.as_fd()]).unwrap();
        failed.send(theirs.as_fd(), &[]).unwrap();
        Report::Exited { code: 3 }.send(theirs.as_fd(), &[]).unwrap();
        drop((theirs, writer));
        let ours = wherry_runtime_api::terminal::watched(ours).unwrap();
        let (report, mut descriptors) = receive(&ours).await.unwrap();
        assert_eq!((report, descriptors.len()), (Report::Started, 1));
        std::fs::File::from(descriptors.remove(0)).write_all(b"it").unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert_eq!(text, "it");
        assert_eq!(receive(&ours).await.unwrap().0, failed);
        assert_eq!(receive(&ours).await.unwrap().0, Report::Exited { code: 3 });
        assert_eq!(receive(&ours).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    proptest! {
        #[test]
        fn what_a_shim_records_is_read_as_it_was_written(
            (pid, code) in any::<(i32, i32)>(),
            times in proptest::array::uniform2(0..4_000_000_000_000_000_000_i128),
            reason in prop_oneof![Just(ExitReason::Completed), Just(ExitReason::OOMKilled), Just(ExitReason::StartError)],
            (was_started, message) in (any::<bool>(), any::<String>()),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let [started_at, finished_at] = times.map(|nanos| jiff::Timestamp::from_nanosecond(nanos).unwrap());
            let running = Running { pid, started_at };
            running.write(dir.path()).unwrap();
            prop_assert_eq!(crate::files::read_json(&Running::file(dir.path())).unwrap(), Some(running));
            let exit = Exit { started_at: was_started.then_some(started_at), finished_at, code, reason, message };
            exit.write(dir.path()).unwrap();
            prop_assert_eq!(crate::files::read_json(&Exit::file(dir.path())).unwrap(), Some(exit));
        }
    }
}
