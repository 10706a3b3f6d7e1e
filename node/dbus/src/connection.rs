//! A connection to a bus: its beginning, and messages both ways.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tokio::io::Interest;
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::address::Address;
use crate::message::{Call, Kind, Message, PREFIX, Value};
use crate::wire::Malformed;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(25);
/// Files that may come at once.
const FILES: usize = 16;
/// Bytes that are read at once.
const CHUNK: usize = 4096;
/// The longest line before messages begin.
const LINE: usize = 1024;

/// The bus itself.
const BUS: &str = "org.freedesktop.DBus";
const BUS_PATH: &str = "/org/freedesktop/DBus";

/// Why something cannot be said, or is not answered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no bus, or it is gone.
    #[error("the connection to the bus failed")]
    Connection(#[from] io::Error),
    /// It does not want this process.
    #[error("the bus refuses this process: {0:?}")]
    Refused(String),
    /// What came is no message.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Who was called answers with an error.
    #[error("{name}: {message}")]
    Answer {
        /// Its name.
        name: String,
        /// What it says.
        message: String,
    },
    /// Nobody answered in time.
    #[error("there was no answer within {PATIENCE:?}")]
    Late,
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    /// The values.
    pub body: Vec<Value>,
    /// The files that came with them.
    pub files: Vec<OwnedFd>,
}

/// A connection to a bus.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    serial: u32,
    bytes: Vec<u8>,
    files: VecDeque<OwnedFd>,
    /// What came while an answer was waited for.
    waiting: VecDeque<(Message, Vec<OwnedFd>)>,
}

impl Connection {
    /// Connects as the user of this process.
    pub async fn open(address: &Address) -> Result<Self, Error> {
        let stream = UnixStream::connect(&address.0).await?;
        let mut connection =
            Self { stream, serial: 0, bytes: Vec::new(), files: VecDeque::new(), waiting: VecDeque::new() };
        timeout(PATIENCE, connection.begin()).await.map_err(|_| Error::Late)??;
        Ok(connection)
    }

    async fn begin(&mut self) -> Result<(), Error> {
        let user = hex::encode(rustix::process::geteuid().as_raw().to_string());
        self.converse(&format!("\0AUTH EXTERNAL {user}\r\n"), "OK ").await?;
        self.converse("NEGOTIATE_UNIX_FD\r\n", "AGREE_UNIX_FD").await?;
        self.write(b"BEGIN\r\n", &[]).await?;
        self.ask("Hello", Vec::new()).await.map(drop)
    }

    async fn converse(&mut self, said: &str, wanted: &str) -> Result<(), Error> {
        self.write(said.as_bytes(), &[]).await?;
        let end = loop {
            if let Some(end) = self.bytes.windows(2).position(|two| two == b"\r\n") {
                break end;
            }
            if self.bytes.len() > LINE {
                return Err(Error::Refused("a line without end".to_owned()));
            }
            self.fill().await?;
        };
        let line: Vec<u8> = self.bytes.drain(..end + 2).collect();
        let line = String::from_utf8_lossy(&line[..end]).into_owned();
        if line.starts_with(wanted) { Ok(()) } else { Err(Error::Refused(line)) }
    }

    /// Calls a method of the bus itself.
    pub async fn ask(&mut self, member: &str, body: Vec<Value>) -> Result<Answer, Error> {
        let call = Call { destination: BUS, path: BUS_PATH, interface: BUS, member };
        self.call(call, body).await
    }

    /// Calls somebody and waits for the answer; signals that come meanwhile are kept for [`Self::next_message`].
    pub async fn call(&mut self, call: Call<'_>, body: Vec<Value>) -> Result<Answer, Error> {
        let serial = self.send(Message::call(call, body), &[]).await?;
        let answer = async {
            loop {
                let (message, files) = self.receive().await?;
                if message.answers != Some(serial) {
                    self.waiting.push_back((message, files));
                    continue;
                }
                return match message.kind {
                    Kind::Error => Err(refusal(message)),
                    _ => Ok(Answer { body: message.body, files }),
                };
            }
        };
        timeout(PATIENCE, answer).await.map_err(|_| Error::Late)?
    }

    /// Sends a message with files; its number.
    pub async fn send(&mut self, mut message: Message, files: &[BorrowedFd<'_>]) -> Result<u32, Error> {
        // Zero is no number of a message.
        self.serial = self.serial.checked_add(1).unwrap_or(1);
        message.serial = self.serial;
        message.files = u32::try_from(files.len()).unwrap_or(u32::MAX);
        self.write(&message.to_bytes(), files).await?;
        Ok(self.serial)
    }

    /// The next message that answers nothing. It may be given up and asked again.
    pub async fn next_message(&mut self) -> Result<(Message, Vec<OwnedFd>), Error> {
        match self.waiting.pop_front() {
            Some(message) => Ok(message),
            None => self.receive().await,
        }
    }

    async fn receive(&mut self) -> Result<(Message, Vec<OwnedFd>), Error> {
        loop {
            if let Some(prefix) = self.bytes.first_chunk::<PREFIX>() {
                let length = Message::length(prefix)?;
                if self.bytes.len() >= length {
                    let message = Message::from_bytes(&self.bytes[..length])?;
                    self.bytes.drain(..length);
                    let count = (message.files as usize).min(self.files.len());
                    return Ok((message, self.files.drain(..count).collect()));
                }
            }
            self.fill().await?;
        }
    }

    /// Reads what there is, and waits for it.
    async fn fill(&mut self) -> io::Result<()> {
        let mut chunk = vec![0; CHUNK];
        let (bytes, files) = (&mut self.bytes, &mut self.files);
        let read = self.stream.async_io(Interest::READABLE, || {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let stream = self.stream.as_fd();
            let flags = RecvFlags::CMSG_CLOEXEC;
            let received = recvmsg(stream, &mut [IoSliceMut::new(&mut chunk)], &mut control, flags)?;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(rights) = message {
                    files.extend(rights);
                }
            }
            Ok(received.bytes)
        });
        match read.await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => {
                bytes.extend(&chunk[..count]);
                Ok(())
            }
        }
    }

    /// Files go with the first byte.
    async fn write(&mut self, mut bytes: &[u8], mut files: &[BorrowedFd<'_>]) -> io::Result<()> {
        while !bytes.is_empty() {
            let written = self.stream.async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(FILES))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !files.is_empty() && !control.push(SendAncillaryMessage::ScmRights(files)) {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, "these are too many files"));
                }
                Ok(sendmsg(self.stream.as_fd(), &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)?)
            });
            bytes = &bytes[written.await?..];
            files = &[];
        }
        Ok(())
    }
}

fn refusal(message: Message) -> Error {
    let said = message.body.into_iter().next();
    let said = if let Some(Value::Text(text)) = said { text } else { String::new() };
    Error::Answer { name: message.error.unwrap_or_default(), message: said }
}

#[cfg(test)]
mod tests;
