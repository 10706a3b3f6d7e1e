//! One watch of one kind, kept up through errors.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::runtime::watcher;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::random::Random;

const FIRST_RETRY: Duration = Duration::from_millis(50);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

type Events<T> = BoxStream<'static, watcher::Result<watcher::Event<T>>>;

/// Sends the events of the watch that `open` opens to `sink`, until shutdown or until nobody listens.
pub(crate) async fn follow<T, I>(
    open: impl Fn() -> Events<T>,
    wrap: fn(watcher::Event<T>) -> I,
    sink: mpsc::Sender<I>,
    mut random: Random,
    shutdown: CancellationToken,
) {
    let mut events = open();
    let mut failures = 0_u32;
    loop {
        let event = tokio::select! {
            () = shutdown.cancelled() => return,
            event = events.next() => event,
        };
        match event {
            Some(Ok(event)) => {
                failures = 0;
                if sink.send(wrap(event)).await.is_err() {
                    return;
                }
                continue;
            }
            Some(Err(watcher::Error::WatchStartFailed(kube::Error::Api(status)))) if status.code == 410 => {
                debug!("watch expired, listing again");
                events = open();
            }
            Some(Err(error)) => warn!(error = &error as &dyn std::error::Error, "watch failed"),
            None => events = open(),
        }
        let longest = FIRST_RETRY.saturating_mul(1 << failures.min(16)).min(LONGEST_RETRY);
        failures = failures.saturating_add(1);
        let spread = u32::try_from(random.below(500)).unwrap_or(0);
        let delay = longest * (750 + spread) / 1000;
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(delay) => {}
        }
    }
}
