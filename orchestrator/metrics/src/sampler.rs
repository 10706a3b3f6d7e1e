//! The last two scrapes, taken when somebody asks.
//!
//! ```text
//! nothing known, or too old --two scrapes, a second apart--> fresh
//! fresh for 15 s --a question--> the same answer      older --a question, one scrape--> fresh
//! ```

use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kube::Client;
use tokio::sync::Mutex;
use wherry_api::clock::Clock;

use crate::scrape::{self, Scrape};
use crate::usage::Scrapes;

/// For how long a scrape is the newest: metrics-server's `--metric-resolution`.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(15);
/// After how long a scrape is no beginning of a window any more.
const STALE: SignedDuration = SignedDuration::from_secs(60);
/// How far apart the scrapes are of which nobody asked for the first.
const WINDOW: Duration = Duration::from_secs(1);

/// See the module's documentation.
pub(crate) struct Sampler {
    client: Client,
    clock: Arc<dyn Clock>,
    known: Mutex<Option<Known>>,
}

struct Known {
    /// When the last scrape began.
    at: Timestamp,
    scrapes: Arc<Scrapes>,
}

impl Sampler {
    pub(crate) fn new(client: Client, clock: Arc<dyn Clock>) -> Self {
        Self { client, clock, known: Mutex::new(None) }
    }

    /// What is known now. Questions that come together share one answer.
    pub(crate) async fn current(&self) -> Result<Arc<Scrapes>, kube::Error> {
        let mut known = self.known.lock().await;
        // A clock that was set back makes what is known worthless.
        let age = |known: &Known| self.clock.now().duration_since(known.at);
        if known.as_ref().is_some_and(|known| !(SignedDuration::ZERO..STALE).contains(&age(known))) {
            *known = None;
        }
        if let Some(known) = known.as_ref().filter(|known| age(known) < RESOLUTION) {
            return Ok(Arc::clone(&known.scrapes));
        }
        let before = if let Some(known) = &*known {
            Arc::clone(&known.scrapes.last)
        } else {
            let first = self.scrape().await?;
            tokio::time::sleep(WINDOW).await;
            first
        };
        let at = self.clock.now();
        let scrapes = Arc::new(Scrapes { before, last: self.scrape().await? });
        *known = Some(Known { at, scrapes: Arc::clone(&scrapes) });
        Ok(scrapes)
    }

    async fn scrape(&self) -> Result<Arc<Scrape>, kube::Error> {
        scrape::take(&self.client, self.clock.now()).await.map(Arc::new)
    }
}
