//! Has approved requests of Kubernetes' own signers signed.
//!
//! Without an [`Authority`] nothing is signed: requests wait for a signer outside.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::ByteString;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use wherry_api::clock::Clock;

use super::approver::wake_on_requests;
use super::authority::{Authority, Leaf};
use super::request::Request;
use super::{APPROVED, FAILED, add_condition, certificate, condition, rules};
use crate::context::{Caches, Context};
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

/// How long a certificate lasts whose request does not say, and the longest that one may ask for.
const LONGEST: Duration = Duration::from_hours(365 * 24);
const SHORTEST: Duration = Duration::from_mins(10);
/// Certificates are valid from a little before they were signed, for clocks that run behind.
const BACKDATE: Duration = Duration::from_mins(5);
/// Certificates that last less than this end as asked; others end earlier by what they begin earlier.
const SHORT: Duration = Duration::from_hours(8);

/// Keys are names of requests.
pub(crate) struct CertificateSigner {
    client: Client,
    caches: Arc<Caches>,
    clock: Arc<dyn Clock>,
    authority: Option<Arc<dyn Authority>>,
}

/// What has to be done about a request.
#[derive(Debug, PartialEq)]
pub(super) enum Action {
    /// It is signed.
    Sign(Leaf),
    /// It never will be, for this reason.
    Fail(String),
}

/// What has to be done about a request by an authority that ends at `ends`.
pub(super) fn plan(request: &CertificateSigningRequest, ends: Timestamp, now: Timestamp) -> Option<Action> {
    let waits = condition(request, APPROVED).is_some()
        && condition(request, FAILED).is_none()
        && certificate(request).is_none();
    if !waits {
        return None;
    }
    let asked = Request::parse(&request.spec.request.0)?;
    let usages = request.spec.usages.clone().unwrap_or_default();
    if let Err(why) = rules::check(&request.spec.signer_name, &asked, &usages)? {
        return Some(Action::Fail(why));
    }
    let (not_before, not_after) = lifetime(request.spec.expiration_seconds, ends, now);
    let Request { subject, public_key, names } = asked;
    Some(Action::Sign(Leaf { subject, public_key, names, usages, not_before, not_after }))
}

/// From when to when a certificate signed now is valid.
pub(super) fn lifetime(seconds: Option<i32>, ends: Timestamp, now: Timestamp) -> (Timestamp, Timestamp) {
    let asked = seconds.map(|seconds| Duration::from_secs(u64::try_from(seconds).unwrap_or_default()));
    let lasts = asked.unwrap_or(LONGEST).clamp(SHORTEST, LONGEST);
    let after = if lasts < SHORT { lasts } else { lasts.saturating_sub(BACKDATE) };
    (now - BACKDATE, (now + after).min(ends))
}

impl Controller for CertificateSigner {
    const NAME: &'static str = "certificatesigningrequest-signing-controller";
    type Key = String;

    fn new(context: &Context, queue: &Arc<Queue<String>>) -> Self {
        wake_on_requests(&context.caches, queue);
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            clock: context.config.clock.clone(),
            authority: context.config.authority.clone(),
        }
    }

    async fn reconcile(&self, name: &String) -> Result<Next, ReconcileError> {
        let found = self.caches.certificate_signing_requests.get_global(name);
        let (Some(authority), Some(found)) = (&self.authority, found) else { return Ok(Next::OnChange) };
        let now = self.clock.now();
        let Some(action) = plan(&found, authority.not_after(), now) else { return Ok(Next::OnChange) };
        let mut request = (*found).clone();
        match action {
            Action::Sign(leaf) => {
                let certificate = authority.sign(&leaf)?;
                request.status.get_or_insert_default().certificate =
                    Some(ByteString(certificate.into_bytes()));
            }
            Action::Fail(why) => {
                add_condition(&mut request, (FAILED, "SignerValidationFailure"), why, now);
            }
        }
        let api = Api::<CertificateSigningRequest>::all(self.client.clone());
        match api.replace_status(&request.name_any(), &PostParams::default(), &request).await {
            Ok(written) => self.caches.certificate_signing_requests.note(written),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error).step("handing a certificate out"),
        }
        Ok(Next::OnChange)
    }
}
