//! Sockets that the node listens at for programs beside it.

use std::io;
use std::path::Path;

use tokio::net::UnixListener;

/// Listens at a new socket: whoever waits for one sees it appear, also if an earlier agent left one there.
pub(crate) fn listen(path: &Path) -> io::Result<UnixListener> {
    path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    UnixListener::bind(path)
}
