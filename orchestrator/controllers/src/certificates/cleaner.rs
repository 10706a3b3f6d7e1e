//! Deletes requests that nobody waits for.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::DeleteParams;
use kube::{Api, Client};
use wherry_api::clock::Clock;
use x509_parser::pem::Pem;

use super::approver::wake_on_requests;
use super::{APPROVED, DENIED, FAILED, certificate, condition};
use crate::context::{Caches, Context};
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

/// How long a request stays after its certificate was handed out, or after it was refused.
const DECIDED: Duration = Duration::from_hours(1);
/// How long a request waits for a decision.
const PENDING: Duration = Duration::from_hours(24);

/// Keys are names of requests.
pub(crate) struct CertificateCleaner {
    client: Client,
    caches: Arc<Caches>,
    clock: Arc<dyn Clock>,
}

/// When a request is to be deleted, if nothing happens to it before.
pub(super) fn plan(request: &CertificateSigningRequest) -> Option<Timestamp> {
    let conditions = request.status.as_ref().and_then(|status| status.conditions.as_ref());
    if conditions.is_none_or(Vec::is_empty) {
        return request.metadata.creation_timestamp.as_ref().map(|made| made.0 + PENDING);
    }
    let after = |type_| {
        let changed = condition(request, type_)?.last_update_time.as_ref()?;
        Some(changed.0 + DECIDED)
    };
    let issued = certificate(request).filter(|_| condition(request, APPROVED).is_some());
    let approved = issued.and_then(|_| after(APPROVED));
    [approved, issued.and_then(not_after), after(DENIED), after(FAILED)].into_iter().flatten().min()
}

/// When the first certificate of a PEM text ends.
fn not_after(pem: &[u8]) -> Option<Timestamp> {
    let block = Pem::iter_from_buffer(pem).next()?.ok()?;
    let certificate = block.parse_x509().ok()?;
    Timestamp::from_second(certificate.validity().not_after.timestamp()).ok()
}

impl Controller for CertificateCleaner {
    const NAME: &'static str = "certificatesigningrequest-cleaner-controller";
    type Key = String;

    fn new(context: &Context, queue: &Arc<Queue<String>>) -> Self {
        wake_on_requests(&context.caches, queue);
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            clock: context.config.clock.clone(),
        }
    }

    async fn reconcile(&self, name: &String) -> Result<Next, ReconcileError> {
        let found = self.caches.certificate_signing_requests.get_global(name);
        let Some((request, due)) = found.and_then(|found| plan(&found).map(|due| (found, due))) else {
            return Ok(Next::OnChange);
        };
        let left = due.duration_since(self.clock.now());
        if left.is_positive() {
            return Ok(Next::After(left.unsigned_abs()));
        }
        let api = Api::<CertificateSigningRequest>::all(self.client.clone());
        let deleted = delete(&api, &request.metadata, Only::Unchanged, DeleteParams::default()).await;
        deleted.step("deleting a request for a certificate").map(|_| Next::OnChange)
    }
}
