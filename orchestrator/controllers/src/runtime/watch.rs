//! One kind, listed and then watched from the list's revision, kept up through errors.
//!
//! ```text
//! (begin) -> list, page by page -> watch ── ended, failed ──> watch from the last revision heard of
//!     ^                              |
//!     └──────── 410: too old ────────┘
//! ```

use std::fmt::Debug;
use std::time::Duration;

use futures::TryStreamExt as _;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Error, ResourceExt};
use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::backoff::{Backoff, Jitter};
use super::objects::revision;

const RETRY: Backoff = Backoff { first: Duration::from_millis(50), longest: Duration::from_secs(10) };
/// How many objects a page of a list has.
const PAGE: u32 = 500;
/// How long the server keeps a watch open, as upstream's clients ask for: less than five minutes.
const WATCH_SECONDS: u32 = 290;

/// What is heard of a kind.
#[derive(Clone, Debug)]
pub(crate) enum Event<K> {
    /// All there was at a revision. What was heard before counts no more.
    Listed(Vec<K>, u64),
    /// An object is new or changed.
    Apply(K),
    /// An object is gone.
    Delete(K),
}

/// Feeds `sink` with the objects that `fields` select, until shutdown.
pub(crate) async fn follow<K>(
    (kind, api, fields): (&str, &Api<K>, Option<&str>),
    mut sink: impl FnMut(Event<K>),
    jitter: &Jitter,
    shutdown: CancellationToken,
) where
    K: Clone + Debug + DeserializeOwned + ResourceExt,
{
    let mut follower = Follower { api, fields, revision: None };
    let mut failures = 0;
    let follow = async {
        loop {
            let mut heard = false;
            let mut hear = |event| {
                heard = true;
                sink(event);
            };
            let followed = follower.go_on(&mut hear).await;
            if heard {
                failures = 0;
            }
            match followed {
                // Watches end now and then. Each begins with a request: a server that ends them at once is not pressed.
                Ok(()) => failures = 0,
                Err(error) if is_expired(&error) => {
                    debug!(kind, "watch expired, listing again");
                    follower.revision = None;
                }
                Err(error) => warn!(kind, error = &error as &dyn std::error::Error, "watch failed"),
            }
            failures += 1;
            tokio::time::sleep(RETRY.delay(failures, jitter)).await;
        }
    };
    shutdown.run_until_cancelled(follow).await;
}

struct Follower<'a, K> {
    api: &'a Api<K>,
    fields: Option<&'a str>,
    /// Where to go on; nowhere before there is a list.
    revision: Option<u64>,
}

impl<K: Clone + Debug + DeserializeOwned + ResourceExt> Follower<'_, K> {
    /// Lists, if need be, and watches until the watch ends.
    async fn go_on(&mut self, sink: &mut impl FnMut(Event<K>)) -> Result<(), Error> {
        let from = match self.revision {
            Some(revision) => revision,
            None => self.list(sink).await?,
        };
        let params = WatchParams { field_selector: self.fields.map(str::to_owned), ..WatchParams::default() };
        let events = self.api.watch(&params.timeout(WATCH_SECONDS), &from.to_string()).await?;
        let mut events = std::pin::pin!(events);
        while let Some(event) = events.try_next().await? {
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) if self.is_news(&object) => {
                    sink(Event::Apply(object));
                }
                WatchEvent::Deleted(object) if self.is_news(&object) => sink(Event::Delete(object)),
                WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_) => {}
                WatchEvent::Bookmark(mark) => self.revision = mark.metadata.resource_version.parse().ok(),
                WatchEvent::Error(status) => return Err(Error::Api(status)),
            }
        }
        Ok(())
    }

    /// Whether an event is one that was not heard yet: they come in the order of their revisions, but maybe twice.
    fn is_news(&mut self, object: &K) -> bool {
        let revision = revision(object);
        let is_news = self.revision.is_none_or(|last| revision > last);
        if is_news {
            self.revision = Some(revision);
        }
        is_news
    }

    async fn list(&mut self, sink: &mut impl FnMut(Event<K>)) -> Result<u64, Error> {
        let mut params =
            ListParams { field_selector: self.fields.map(str::to_owned), ..ListParams::default() };
        params.limit = Some(PAGE);
        let mut objects = Vec::new();
        loop {
            let page = self.api.list(&params).await?;
            objects.extend(page.items);
            params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
            if params.continue_token.is_none() {
                let revision = page.metadata.resource_version.unwrap_or_default().parse().unwrap_or_default();
                sink(Event::Listed(objects, revision));
                self.revision = Some(revision);
                return Ok(revision);
            }
        }
    }
}

/// Whether the revision to resume from is no longer kept, so that only a new list helps.
fn is_expired(error: &Error) -> bool {
    matches!(error, Error::Api(status) if status.code == 410)
}
