//! Deletes requests for certificates of Pods a while after they were made: whoever asked knows the answer by then, or asks
//! again.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1beta1::PodCertificateRequest;
use kube::api::DeleteParams;
use kube::{Api, Client, ResourceExt};
use wherry_api::clock::Clock;

use crate::context::{Caches, Context};
use crate::objects::meta::Key;
use crate::runtime::delete::{Only, delete};
use crate::runtime::error::{ReconcileError, Step};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

/// How long a request stays, whatever became of it.
const LIFE: Duration = Duration::from_mins(15);

/// Keys are namespaces and names of requests.
pub(crate) struct PodCertificateCleaner {
    client: Client,
    caches: Arc<Caches>,
    clock: Arc<dyn Clock>,
}

/// When a request is to be deleted.
fn due(request: &PodCertificateRequest) -> Option<Timestamp> {
    request.metadata.creation_timestamp.as_ref().map(|made| made.0 + LIFE)
}

impl Controller for PodCertificateCleaner {
    const NAME: &'static str = "podcertificaterequest-cleaner-controller";
    type Key = Key;

    fn new(context: &Context, queue: &Arc<Queue<Key>>) -> Self {
        let wake = queue.clone();
        context.caches.pod_certificate_requests.on_change(move |change| {
            if let Some(request) = change.new {
                wake.add(Key::of(request.as_ref()));
            }
        });
        Self {
            client: context.client.clone(),
            caches: context.caches.clone(),
            clock: context.config.clock.clone(),
        }
    }

    async fn reconcile(&self, key: &Key) -> Result<Next, ReconcileError> {
        let found = self.caches.pod_certificate_requests.get(key);
        let Some((request, due)) = found.and_then(|found| due(&found).map(|due| (found, due))) else {
            return Ok(Next::OnChange);
        };
        let left = due.duration_since(self.clock.now());
        if left.is_positive() {
            return Ok(Next::After(left.unsigned_abs()));
        }
        let namespace = request.namespace().unwrap_or_default();
        let api = Api::<PodCertificateRequest>::namespaced(self.client.clone(), &namespace);
        let deleted = delete(&api, &request.metadata, Only::This, DeleteParams::default()).await;
        deleted.step("deleting a request for a certificate of a Pod").map(|_| Next::OnChange)
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};

    use super::*;

    #[test]
    fn a_request_stays_for_a_quarter_of_an_hour() {
        let made = Timestamp::from_second(1000).unwrap();
        let metadata = ObjectMeta { creation_timestamp: Some(Time(made)), ..ObjectMeta::default() };
        let request = PodCertificateRequest { metadata, ..PodCertificateRequest::default() };
        assert_eq!(due(&request), Timestamp::from_second(1900).ok());
        assert_eq!(due(&PodCertificateRequest::default()), None);
    }
}
