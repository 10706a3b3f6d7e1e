//! Answers at the socket, beside the agent.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::super::garbage::{self, RemoveError};
use super::{MAX_LINE, Question, Reply, SOCKET};
use crate::context::{Context, chain};

/// How long somebody may take to say what they want.
const PATIENCE: Duration = Duration::from_secs(10);

/// Answers at the socket of the node's directory, one question after the other, until `shutdown`.
pub(crate) async fn serve(ctx: Arc<Context>, node_dir: PathBuf, shutdown: CancellationToken) {
    let listener = match listen(&node_dir) {
        Ok(listener) => listener,
        Err(error) => {
            let directory = node_dir.display();
            return warn!(%directory, %error, "`wherry image rm` and `prune` cannot reach this node");
        }
    };
    let answering = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    if let Err(error) = answer(&ctx, stream).await {
                        warn!(%error, "who asked for images to be removed got no answer");
                    }
                }
                // Too many files are open: others close some.
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    };
    shutdown.run_until_cancelled(answering).await;
}

/// Listens where an agent before may have, for its own user alone.
fn listen(node_dir: &Path) -> io::Result<UnixListener> {
    let path = node_dir.join(SOCKET);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

async fn answer(ctx: &Context, stream: UnixStream) -> io::Result<()> {
    let (reading, mut writing) = stream.into_split();
    let mut line = String::new();
    let mut reader = BufReader::new(reading.take(MAX_LINE));
    tokio::time::timeout(PATIENCE, reader.read_line(&mut line)).await??;
    let reply = match serde_json::from_str(&line) {
        Ok(question) => reply(ctx, question).await,
        Err(error) => Reply::Refused(format!("the question cannot be read: {error}")),
    };
    let mut answer = serde_json::to_vec(&reply)?;
    answer.push(b'\n');
    tokio::time::timeout(PATIENCE, writing.write_all(&answer)).await?
}

async fn reply(ctx: &Context, question: Question) -> Reply {
    let removed = match question {
        Question::Remove { image, force } => {
            garbage::remove_named(ctx, &image, force).await.map(|removed| vec![removed])
        }
        Question::Prune => garbage::prune(ctx).await.map_err(RemoveError::from),
    };
    match removed {
        Ok(images) => Reply::Removed(images),
        Err(error) => Reply::Refused(chain(&error)),
    }
}
