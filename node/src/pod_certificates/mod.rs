//! Certificates of pods: a key made here, a certificate for it asked of a signer, both shown in a volume and renewed.
//!
//! ```text
//!                    asked                issued
//! (none or adopted) ------> (waiting) ----------------> (serving) --refresh due--> (serving, waiting) --issued--> (serving)
//!                               |                                                        |
//!                               +--denied, failed--> (refused for good)                  +--denied, failed--> (serving to the end)
//! ```
//!
//! Reading order: [`keys`] (what a key is), [`request`] (what is asked, and what comes of it), [`kept`] (what outlives the
//! agent), [`keeper`] (one task for each source of a volume, which owns all of that).
//!
//! # Guarantees
//! - A key is in the memory of the agent, in the directory of its pod and in the pod's volume, and nowhere else.
//! - An agent that starts again goes on with what it finds and asks for nothing while that serves.
//! - What is refused once is not asked again for the pod.
//!
//! # Caveats
//! A request that waits while the agent ends is made again by the next one; the API deletes the first after a while.

mod keeper;
mod kept;
mod keys;
mod p521;
mod request;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodCertificateProjection};
use kube::Client;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use wherry_api::clock::Clock;

use crate::events::Events;
use crate::wakers::Wakers;
use keeper::Keeper;

/// How long a volume waits for its first certificate before its pod is told that there is none yet.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PodCertificateError {
    /// The signer has not answered.
    #[error("credential bundle is not issued yet: signer {0:?} has not answered")]
    NotYet(String),
    /// It answered that there will be none.
    #[error("PodCertificateRequest was permanently {outcome}: reason={reason:?} message={message:?}")]
    Refused {
        /// `denied` or `failed`.
        outcome: &'static str,
        /// In a word.
        reason: String,
        /// In a sentence.
        message: String,
    },
    /// It could not be asked.
    #[error("cannot ask for a certificate: {0}")]
    Ask(String),
}

/// A key and the certificates for it, both PEM. Its text is never told to anybody, so it has no `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Credentials {
    /// The key, in PKCS#8.
    pub(crate) key: String,
    /// The certificate, and those between it and the authority.
    pub(crate) chain: String,
}

/// What is known of the certificate of one source.
#[derive(Clone, PartialEq, Eq)]
enum Known {
    NotYet,
    Serving(Credentials),
    Failed(PodCertificateError),
}

/// Which source of which volume of which pod a certificate is for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    uid: String,
    volume: String,
    source: usize,
}

/// What all keepers share.
struct Shared {
    client: Client,
    clock: Arc<dyn Clock>,
    node_name: String,
    /// The directories of pods.
    pods: PathBuf,
    events: Events,
    wakers: Wakers,
}

struct Entry {
    known: watch::Receiver<Known>,
    /// Ends the keeper when the pod lets go.
    _keeper: DropGuard,
}

/// The certificates of all pods.
pub(crate) struct PodCertificates {
    shared: Arc<Shared>,
    tasks: TaskTracker,
    entries: Mutex<HashMap<Place, Entry>>,
}

/// Where certificates are asked for and kept.
pub(crate) struct Parts<'a> {
    /// The API server.
    pub(crate) client: &'a Client,
    /// The time.
    pub(crate) clock: &'a Arc<dyn Clock>,
    /// This node's name.
    pub(crate) node_name: &'a str,
    /// The directories of pods.
    pub(crate) pods: PathBuf,
    /// Where events are told.
    pub(crate) events: &'a Events,
    /// How workers are woken.
    pub(crate) wakers: &'a Wakers,
}

impl PodCertificates {
    /// Keeps none yet; keepers run on `tasks`.
    pub(crate) fn new(parts: Parts<'_>, tasks: &TaskTracker) -> Self {
        let shared = Shared {
            client: parts.client.clone(),
            clock: parts.clock.clone(),
            node_name: parts.node_name.to_owned(),
            pods: parts.pods,
            events: parts.events.clone(),
            wakers: parts.wakers.clone(),
        };
        Self { shared: Arc::new(shared), tasks: tasks.clone(), entries: Mutex::default() }
    }

    /// What a source of a volume of the pod shows, kept fresh from now on. The first one is waited for a while.
    pub(crate) async fn get(
        &self,
        pod: &Pod,
        (volume, source): (&str, usize),
        wanted: &PodCertificateProjection,
    ) -> Result<Credentials, PodCertificateError> {
        let uid = pod.metadata.uid.clone().unwrap_or_default();
        let place = Place { uid, volume: volume.to_owned(), source };
        let mut known = self.subscribe(pod, place, wanted);
        let not_yet = || PodCertificateError::NotYet(wanted.signer_name.clone());
        let settled = known.wait_for(|known| !matches!(known, Known::NotYet));
        match tokio::time::timeout(PATIENCE, settled).await {
            Ok(Ok(known)) => match &*known {
                Known::Serving(credentials) => Ok(credentials.clone()),
                Known::Failed(error) => Err(error.clone()),
                Known::NotYet => Err(not_yet()),
            },
            Ok(Err(_)) | Err(_) => Err(not_yet()),
        }
    }

    /// Forgets the certificates of the pod.
    pub(crate) fn release(&self, uid: &str) {
        self.entries.lock().retain(|place, _| place.uid != uid);
    }

    fn subscribe(
        &self,
        pod: &Pod,
        place: Place,
        wanted: &PodCertificateProjection,
    ) -> watch::Receiver<Known> {
        let mut entries = self.entries.lock();
        let entry = entries.entry(place).or_insert_with_key(|place| {
            let (sender, known) = watch::channel(Known::NotYet);
            let stop = CancellationToken::new();
            let keeper = Keeper::new(self.shared.clone(), pod.clone(), place, wanted.clone(), sender);
            let stopped = stop.clone();
            let kept = Box::pin(keeper.run());
            self.tasks.spawn(async move { stopped.run_until_cancelled(kept).await });
            Entry { known, _keeper: stop.drop_guard() }
        });
        entry.known.clone()
    }
}
