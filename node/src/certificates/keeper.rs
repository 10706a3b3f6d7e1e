//! Keeps one certificate: on disk, fresh, and known to whom it concerns.
//!
//! ```text
//!        it serves: a minute
//!       +------------------+
//!       v                  |      due or missing             signed: saved, told
//!   (looking) -------------+ ---------------------> (asking) -------------------> (looking)
//!       ^                                               | failed
//!       +------------------- later and later -----------+
//! ```
//!
//! The clock is looked at every minute, because nothing tells that it was set.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kube::Client;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use wherry_api::clock::Clock;

use super::identity::Identity;
use super::request::Wanted;
use crate::context::chain;

const LOOK: Duration = Duration::from_mins(1);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(5);

/// See the module's documentation.
pub(super) struct Keeper {
    path: PathBuf,
    wanted: Wanted,
    clock: Arc<dyn Clock>,
    current: watch::Sender<Option<Identity>>,
}

impl Keeper {
    /// Begins with what is in the file, if it is any good.
    pub(super) fn open(path: PathBuf, wanted: Wanted, clock: Arc<dyn Clock>) -> Self {
        let found = Identity::load(&path).filter(|found| found.holds(clock.now()));
        Self { path, wanted, clock, current: watch::Sender::new(found) }
    }

    /// The certificate as it is now, and word of new ones.
    pub(super) fn watch(&self) -> watch::Receiver<Option<Identity>> {
        self.current.subscribe()
    }

    /// Keeps the certificate until `stop`: asked for by `own`, or by `fallback` while there is none that is good.
    pub(super) async fn run(self, own: Client, fallback: Option<Client>, stop: CancellationToken) {
        let mut retry = FIRST_RETRY;
        loop {
            let mut pause = LOOK;
            if self.is_due() {
                let client = if self.has_one() { &own } else { fallback.as_ref().unwrap_or(&own) };
                let asked = stop.run_until_cancelled(self.wanted.obtain(client)).await;
                match asked {
                    None => return,
                    Some(Ok(identity)) => {
                        self.take(identity);
                        retry = FIRST_RETRY;
                    }
                    Some(Err(error)) => {
                        let signer = self.wanted.signer;
                        warn!(signer, error = %chain(&error), "the node has no new certificate yet");
                        pause = retry;
                        retry = (retry * 2).min(LONGEST_RETRY);
                    }
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn is_due(&self) -> bool {
        let now = self.clock.now();
        self.current.borrow().as_ref().is_none_or(|current| !current.serves(&self.wanted, now))
    }

    fn has_one(&self) -> bool {
        let now = self.clock.now();
        self.current.borrow().as_ref().is_some_and(|current| current.holds(now))
    }

    fn take(&self, identity: Identity) {
        // Without the file the certificate is good until the agent ends.
        if let Err(error) = identity.save(&self.path) {
            warn!(path = %self.path.display(), error = %error, "cannot keep the node's certificate");
        }
        info!(signer = self.wanted.signer, "the node has a new certificate");
        self.current.send_replace(Some(identity));
    }
}
