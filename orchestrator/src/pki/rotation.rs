//! Keeps the certificates of a running cluster fresh.
//!
//! # Flow
//! Once a minute the task compares the time with the earliest renewal, and the directory with what it was. If one of
//! them calls for it, `Pki::reopen` makes what is due, and whoever uses certificates is told.
//!
//! # Guarantees
//! A clock that is wrong for a while does no lasting harm: what was made in the future is not valid yet when the clock
//! is right again, and is made anew as what has ended is.
//!
//! # Caveats
//! Nothing tells that a clock was set, so that it takes up to a minute until it is noticed.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio_util::sync::CancellationToken;
use wherry_api::clock::Clock;

use crate::certificates::Certificates;

/// How often the clock and the directory are looked at.
const LOOK: Duration = Duration::from_mins(1);

/// Renews the certificates of a cluster until `stop`.
pub(crate) async fn run(certificates: Arc<Certificates>, clock: Arc<dyn Clock>, stop: CancellationToken) {
    let current = certificates.current();
    let dir = current.borrow().dir.clone();
    let mut seen = changed(&dir);
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
        let (now, found) = (clock.now(), changed(&dir));
        if found == seen && !current.borrow().is_due(now) {
            continue;
        }
        let before = current.borrow().clone();
        let reopened = tokio::task::spawn_blocking(move || before.reopen(now)).await;
        match reopened {
            Ok(Ok(renewed)) => {
                // What was changed by the renewal itself is looked at once more, lest anything in between is missed.
                seen = found;
                if !renewed.is_same(&current.borrow()) {
                    tracing::info!(until = %renewed.renewal, "certificates are renewed");
                    certificates.replace(renewed);
                }
            }
            Ok(Err(error)) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "cannot renew the certificates yet");
            }
            Err(error) => {
                tracing::error!(error = &error as &dyn std::error::Error, "renewal ended abnormally");
            }
        }
    }
}

/// When something was put into a directory or taken out of it.
fn changed(dir: &Path) -> Option<SystemTime> {
    std::fs::metadata(dir).and_then(|found| found.modified()).ok()
}
