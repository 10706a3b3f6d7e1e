//! Commands that run beside the program of a container, and the program itself for whoever attaches to it.
//!
//! ```text
//! Runtime::exec, attach -> Execution: input, output, errors, terminal -> exit code
//!                              \-- dropped before its end: a command is killed, a program goes on
//! ```

use std::fmt;
use std::io;
use std::pin::Pin;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::runtime::RuntimeError;

/// A command to run beside a container's program.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecSpec {
    /// The program and its arguments; no shell takes part.
    pub command: Vec<String>,
    /// Whether somebody will write to its standard input; else that is empty.
    pub stdin: bool,
    /// Whether it gets a terminal, which carries input, output and errors.
    pub terminal: bool,
}

/// Where a command's input goes.
pub type Input = Box<dyn AsyncWrite + Send + Unpin>;

/// Where what a command wrote comes from.
pub type Output = Box<dyn AsyncRead + Send + Unpin>;

/// How a command ended: its exit code, 128 + the signal if a signal ended it.
pub type Ended = Pin<Box<dyn Future<Output = Result<i32, RuntimeError>> + Send>>;

/// A command that runs, or a program attached to. Whoever drops [`Execution::ended`] before it is done kills the command, or
/// leaves the program.
pub struct Execution {
    /// Its standard input, if asked for; dropping it is the end of the input (not for a terminal).
    pub stdin: Option<Input>,
    /// Its standard output, or all that its terminal shows.
    pub stdout: Output,
    /// Its standard error; a terminal has none.
    pub stderr: Option<Output>,
    /// Its terminal, if asked for.
    pub terminal: Option<Box<dyn Terminal>>,
    /// Its end, 0 for a program attached to. Output may still be read afterwards.
    pub ended: Ended,
}

impl fmt::Debug for Execution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Execution")
            .field("stdin", &self.stdin.is_some())
            .field("stderr", &self.stderr.is_some())
            .field("terminal", &self.terminal.is_some())
            .finish_non_exhaustive()
    }
}

/// The terminal of a command.
pub trait Terminal: Send + Sync {
    /// Tells the command how large its window is now.
    fn resize(&self, columns: u16, rows: u16) -> io::Result<()>;
}
