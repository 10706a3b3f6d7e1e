//! Keeps the certificate of one source of a volume: found, asked for, renewed, and told to who shows it.
//!
//! The clock is looked at every minute, because nothing tells that it was set.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Pod, PodCertificateProjection};
use tokio::sync::watch;
use tracing::{info, warn};

use super::kept::Kept;
use super::request::{AskError, Asked};
use super::{Known, Place, PodCertificateError, Shared};
use crate::context::chain;
use crate::events::{Happening, Severity};

const LOOK: Duration = Duration::from_mins(1);
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_mins(1);
/// How long after a renewal was due a pod is told that it is overdue.
const OVERDUE: Duration = Duration::from_mins(10);

/// See the module's documentation.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    pod: Pod,
    uid: String,
    wanted: PodCertificateProjection,
    file: PathBuf,
    known: watch::Sender<Known>,
    current: Option<Kept>,
    /// What the pod was told of the current certificate.
    told: Told,
}

#[derive(Default)]
struct Told {
    overdue: bool,
    expired: bool,
}

impl Keeper {
    /// Begins with what an agent before this one left, if it is any good.
    pub(super) fn new(
        shared: Arc<Shared>,
        pod: Pod,
        place: &Place,
        wanted: PodCertificateProjection,
        known: watch::Sender<Known>,
    ) -> Self {
        let Place { uid, volume, source } = place;
        let file = shared.pods.join(uid).join("certificates").join(format!("{volume}-{source}.json"));
        let current = Kept::load(&file).filter(|found| !found.is_over(shared.clock.now()));
        if let Some(found) = &current {
            known.send_replace(Known::Serving(found.credentials()));
        }
        Self { shared, pod, uid: uid.clone(), wanted, file, known, current, told: Told::default() }
    }

    /// Keeps it until the pod lets go, or the signer refuses.
    pub(super) async fn run(mut self) {
        let mut retry = FIRST_RETRY;
        loop {
            let mut pause = LOOK;
            if self.is_due() {
                match self.ask().await {
                    Ok(issued) => {
                        retry = FIRST_RETRY;
                        self.take(issued);
                    }
                    Err(AskError::Refused(refusal)) => {
                        self.refused(&refusal);
                        return self.remind().await;
                    }
                    Err(error) => {
                        let error = chain(&error);
                        warn!(pod = %self.uid, %error, "a pod has no new certificate yet");
                        self.fail(PodCertificateError::Ask(error));
                        pause = retry;
                        retry = (retry * 2).min(LONGEST_RETRY);
                    }
                }
            }
            self.tell();
            tokio::time::sleep(pause).await;
        }
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    fn is_due(&self) -> bool {
        self.current.as_ref().is_none_or(|current| current.refresh_at <= self.now())
    }

    async fn ask(&self) -> Result<Kept, AskError> {
        let (client, node) = (&self.shared.client, self.shared.node_name.as_str());
        let asked = Asked { client, node, pod: &self.pod, wanted: &self.wanted };
        asked
            .ask(|| {
                if self.current.is_none() {
                    self.known.send_replace(Known::NotYet);
                }
            })
            .await
    }

    fn take(&mut self, issued: Kept) {
        // Without the file the next agent asks again.
        if let Err(error) = issued.save(&self.file) {
            warn!(path = %self.file.display(), %error, "cannot keep the certificate of a pod");
        }
        info!(pod = %self.uid, signer = %self.wanted.signer_name, "a pod has a new certificate");
        self.known.send_replace(Known::Serving(issued.credentials()));
        self.shared.wakers.wake_for_reference(&self.uid);
        self.current = Some(issued);
        self.told = Told::default();
    }

    /// Says why there is nothing to show; what is shown already stays.
    fn fail(&self, error: PodCertificateError) {
        if self.current.is_none() {
            self.known.send_replace(Known::Failed(error));
        }
    }

    fn refused(&self, refusal: &PodCertificateError) {
        warn!(pod = %self.uid, error = %refusal, "a signer gives a pod no certificate");
        self.fail(refusal.clone());
        let PodCertificateError::Refused { outcome, .. } = refusal else { return };
        self.warn(if *outcome == "denied" { "Denied" } else { "Failed" }, refusal.to_string());
        // Whoever waits longer than a set-up does learns of it, too.
        self.shared.wakers.wake_for_reference(&self.uid);
    }

    /// Goes on telling of a certificate that is not renewed any more.
    async fn remind(mut self) {
        while self.current.is_some() && !self.told.expired {
            self.tell();
            tokio::time::sleep(LOOK).await;
        }
        // What is known stays known for as long as somebody asks.
        self.known.closed().await;
    }

    /// Tells the pod what has become of its certificate, once.
    fn tell(&mut self) {
        let now = self.now();
        let Some(current) = &self.current else { return };
        let overdue = current.refresh_at.saturating_add(OVERDUE).unwrap_or(Timestamp::MAX);
        if now > overdue && !std::mem::replace(&mut self.told.overdue, true) {
            self.warn("CertificateOverdueForRefresh", "PodCertificate refresh overdue".to_owned());
        }
        if current.is_over(now) && !std::mem::replace(&mut self.told.expired, true) {
            self.warn("CertificateExpired", "PodCertificate expired".to_owned());
        }
    }

    fn warn(&self, reason: &'static str, message: String) {
        self.shared.events.pod(&self.pod, Happening::of_pod(Severity::Warning, reason, message));
    }
}
