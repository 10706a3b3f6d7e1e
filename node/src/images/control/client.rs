//! Asks the agent of a node.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::{MAX_LINE, Question, RemovedImage, Reply, SOCKET};

/// Why no image was removed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no agent that knows what is in use.
    #[error(
        "no agent of this node answers at {}: images are removed while `wherry up` or `wherry agent` runs, which knows \
             what is in use", path.display()
    )]
    NoAgent {
        /// The socket.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The agent went away.
    #[error("the agent of this node gave no answer")]
    NoAnswer(#[source] io::Error),
    /// The agent does not do it.
    #[error("{0}")]
    Refused(String),
}

/// Asks the agent of the node with this directory. Blocks.
pub(in crate::images) fn ask(
    node_dir: &Path,
    question: &Question,
) -> Result<Vec<RemovedImage>, ControlError> {
    let path = node_dir.join(SOCKET);
    let stream = UnixStream::connect(&path).map_err(|source| ControlError::NoAgent { path, source })?;
    match exchange(stream, question).map_err(ControlError::NoAnswer)? {
        Reply::Removed(images) => Ok(images),
        Reply::Refused(why) => Err(ControlError::Refused(why)),
    }
}

fn exchange(mut stream: UnixStream, question: &Question) -> io::Result<Reply> {
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    stream.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(stream).take(MAX_LINE).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}
