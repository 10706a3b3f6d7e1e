//! One watch of one kind, kept up through errors.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::runtime::watcher;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::backoff::{Backoff, Jitter};

const RETRY: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(10) };

type Events<T> = BoxStream<'static, watcher::Result<watcher::Event<T>>>;

/// Feeds `sink` with the events of the watch that `open` opens, until shutdown.
pub(crate) async fn follow<T>(
    kind: &str,
    open: impl Fn() -> Events<T>,
    mut sink: impl FnMut(watcher::Event<T>),
    jitter: &Jitter,
    shutdown: CancellationToken,
) {
    let mut events = open();
    let mut failures = 0;
    loop {
        let event = tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(event)) => {
                failures = 0;
                sink(event);
                continue;
            }
            Some(Err(error)) if is_expired(&error) => {
                debug!(kind, "watch expired, listing again");
                events = open();
            }
            Some(Err(error)) => warn!(kind, error = &error as &dyn std::error::Error, "watch failed"),
            None => events = open(),
        }
        failures += 1;
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(RETRY.delay(failures, jitter)) => {}
        }
    }
}

/// Whether the revision to resume from is no longer kept, so that only a new list helps.
fn is_expired(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 410,
        _ => false,
    }
}
