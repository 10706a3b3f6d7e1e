//! Reads the AuthorizationConfiguration again when its file changes.
//!
//! The directory is watched, because files are replaced by renaming others, and mounted ones by changing a link beside
//! them. What cannot be used changes nothing and is told in the log.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
use tokio::net::unix::pipe::Receiver;

use super::AuthorizationConfiguration;
use crate::state::State;

/// Follows the file until the server stops; does nothing where there is none.
pub(crate) async fn run(state: Arc<State>) {
    let Some(first) = &state.authorizer.source else { return };
    let Some(path) = &first.file else { return };
    let changes = match Changes::of(path.parent().unwrap_or(Path::new("."))) {
        Ok(changes) => changes,
        Err(error) => {
            tracing::error!(%error, path = %path.display(), "the authorization configuration cannot be followed");
            return;
        }
    };
    let mut current = first.clone();
    loop {
        follow(&state, path, first, &mut current);
        tokio::select! {
            () = state.stopping.cancelled() => return,
            changed = changes.next() => if let Err(error) = changed {
                tracing::error!(%error, "the authorization configuration is not followed any more");
                return;
            }
        }
    }
}

/// Takes the file as it is now.
fn follow(
    state: &State,
    path: &Path,
    first: &AuthorizationConfiguration,
    current: &mut AuthorizationConfiguration,
) {
    let authorizer = &state.authorizer;
    let now = state.clock.now();
    let next = match AuthorizationConfiguration::load(path) {
        Ok(next) if next.said == current.said => return,
        Ok(next) => next,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::error!(error, "the authorization configuration cannot be used; the one before stays");
            return authorizer.reloads.count(false, now);
        }
    };
    if let Err(why) = first.check_successor(&next) {
        tracing::error!(why, "the authorization configuration cannot be used; the one before stays");
        return authorizer.reloads.count(false, now);
    }
    authorizer.replace(&next);
    tracing::info!("the authorization configuration was read again");
    authorizer.reloads.count(true, now);
    *current = next;
}

/// Tells of changes in a directory.
struct Changes(Receiver);

impl Changes {
    fn of(directory: &Path) -> io::Result<Self> {
        let directory = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
        let fd = init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
        let changes =
            WatchFlags::CLOSE_WRITE | WatchFlags::CREATE | WatchFlags::MOVED_TO | WatchFlags::DELETE;
        add_watch(&fd, directory, changes)?;
        // It is read as a pipe is, which is what the unchecked constructor is for.
        Ok(Self(Receiver::from_owned_fd_unchecked(fd)?))
    }

    /// Waits for the next change. What changed in particular does not matter.
    async fn next(&self) -> io::Result<()> {
        let mut events = [0; 4096];
        loop {
            self.0.readable().await?;
            match self.0.try_read(&mut events) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return read.map(drop),
            }
        }
    }
}
