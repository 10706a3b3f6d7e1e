//! Those who are attached to a container's program, and its input.
//!
//! Each has a connection, on which it sent where to write to. Input is handed over, not copied: a copy of the descriptor or,
//! where the container wants its input to end with the first one, the only one there is.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionbio;
use wherry_runtime_api::logs::Stream;
use wherry_shim::reports::{ATTACH, Attach, Report, take};

/// How long one who connects may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long output waits for one who does not read; then that one is left behind, so that the program goes on.
const SLOWEST: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// What one who attaches can write to.
pub(super) enum Input {
    /// Nothing: the program's input is empty, or was handed over for good.
    None,
    /// The program's input, kept open for the next one.
    Pipe(OwnedFd),
    /// The program's input, for the first one alone.
    Once(OwnedFd),
    /// The program's terminal. It is handed over for the size of its window in any case.
    Terminal(OwnedFd),
}

/// All who are attached.
pub(super) struct Attached {
    listener: UnixListener,
    input: Input,
    clients: Vec<Client>,
}

struct Client {
    connection: UnixStream,
    stdout: File,
    stderr: Option<File>,
}

impl Attached {
    /// Listens in the container's directory, which is the working directory meanwhile.
    pub(super) fn open(dir: &Path, input: Input) -> io::Result<Self> {
        rustix::process::chdir(dir)?;
        // Left by a shim that was killed; without it there is nothing to remove.
        fs::remove_file(ATTACH).ok();
        let listener = UnixListener::bind(ATTACH);
        rustix::process::chdir("/")?;
        let listener = listener?;
        listener.set_nonblocking(true)?;
        Ok(Self { listener, input, clients: Vec::new() })
    }

    /// What to wait for beside output.
    pub(super) fn sources(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        std::iter::once(self.listener.as_fd())
            .chain(self.clients.iter().map(|client| client.connection.as_fd()))
    }

    /// Takes those who come and forgets those who have gone.
    pub(super) fn serve(&mut self) {
        self.clients.retain_mut(|client| !client.is_gone());
        while let Ok((connection, _)) = self.listener.accept() {
            // One who does not say what it wants, or is gone again, is not attached.
            if let Ok(client) = self.welcome(connection) {
                self.clients.push(client);
            }
        }
    }

    fn welcome(&mut self, connection: UnixStream) -> io::Result<Client> {
        connection.set_nonblocking(false)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        let (bytes, outputs) = take(connection.as_fd())?;
        let wanted = Attach::read(&bytes).ok_or(io::ErrorKind::InvalidData)?;
        let mut outputs = outputs.into_iter().map(File::from);
        let stdout = outputs.next().ok_or(io::ErrorKind::InvalidInput)?;
        let client = Client { connection, stdout, stderr: outputs.next() };
        for output in std::iter::once(&client.stdout).chain(&client.stderr) {
            ioctl_fionbio(output, true)?;
        }
        let input = match &self.input {
            Input::Terminal(input) => Some(input.as_fd()),
            Input::Pipe(input) | Input::Once(input) => wanted.stdin.then(|| input.as_fd()),
            Input::None => None,
        };
        Report::Started.send(client.connection.as_fd(), input.as_slice())?;
        if wanted.stdin && matches!(self.input, Input::Once(_)) {
            self.input = Input::None;
        }
        client.connection.set_nonblocking(true)?;
        Ok(client)
    }

    /// Passes on what the program wrote.
    pub(super) fn pass_on(&mut self, stream: Stream, bytes: &[u8]) {
        self.clients.retain_mut(|client| client.write(stream, bytes).is_ok());
    }
}

impl Client {
    /// Whether it has hung up; it says nothing else.
    fn is_gone(&mut self) -> bool {
        !matches!(self.connection.read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    fn write(&mut self, stream: Stream, mut bytes: &[u8]) -> io::Result<()> {
        let output = match (stream, &mut self.stderr) {
            (Stream::Stderr, Some(stderr)) => stderr,
            (Stream::Stdout, _) | (Stream::Stderr, None) => &mut self.stdout,
        };
        while !bytes.is_empty() {
            match output.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => wait(output)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// Waits until there is room.
fn wait(output: &File) -> io::Result<()> {
    match poll(&mut [PollFd::new(output, PollFlags::OUT)], Some(&SLOWEST))? {
        0 => Err(io::ErrorKind::TimedOut.into()),
        _ => Ok(()),
    }
}
