//! Lets nodes have the client certificates they may ask for.
//!
//! Who asks for a node's client certificate gets it if a SubjectAccessReview says that they may create
//! `certificatesigningrequests/nodeclient`, or `selfnodeclient` where the node itself asks again. All other requests are
//! left to people.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use k8s_openapi::api::certificates::v1::CertificateSigningRequest;
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use wherry_api::clock::Clock;

use super::request::Request;
use super::{APPROVED, DENIED, add_condition, certificate, condition, rules};
use crate::context::{Caches, Context};
use crate::runtime::error::{ReconcileError, Step, is_not_found};
use crate::runtime::queue::Queue;
use crate::runtime::worker::{Controller, Next};

/// How soon a request that nobody may make yet is looked at again, at the earliest and at the latest.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(1000));

/// Keys are names of requests.
pub(crate) struct CertificateApprover {
    client: Client,
    caches: Arc<Caches>,
    clock: Arc<dyn Clock>,
}

/// A right that is enough to be given what a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Right {
    /// The subresource of requests that one must be allowed to create.
    pub(super) subresource: &'static str,
    message: &'static str,
}

const SELF: Right = Right {
    subresource: "selfnodeclient",
    message: "Auto approving self kubelet client certificate after SubjectAccessReview.",
};
const NODE: Right = Right {
    subresource: "nodeclient",
    message: "Auto approving kubelet client certificate after SubjectAccessReview.",
};

/// The rights each of which is enough; none if the request is decided, or not for us to decide.
pub(super) fn plan(request: &CertificateSigningRequest) -> &'static [Right] {
    let decided = certificate(request).is_some()
        || condition(request, APPROVED).is_some()
        || condition(request, DENIED).is_some();
    if decided || request.spec.signer_name != rules::KUBELET_CLIENT {
        return &[];
    }
    let Some(asked) = Request::parse(&request.spec.request.0) else { return &[] };
    if rules::check_kubelet_client(&asked, request.spec.usages.as_deref().unwrap_or_default()).is_err() {
        return &[];
    }
    let is_self = request.spec.username.as_deref() == Some(asked.common_name());
    if is_self { &[SELF, NODE] } else { &[NODE] }
}

impl Controller for CertificateApprover {
    const NAME: &'static str = "certificatesigningrequest-approving-controller";
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
        let Some(request) = self.caches.certificate_signing_requests.get_global(name) else {
            return Ok(Next::OnChange);
        };
        let enough = plan(&request);
        for right in enough {
            if self.is_allowed(&request, right).await? {
                self.approve((*request).clone(), right).await?;
                return Ok(Next::OnChange);
            }
        }
        if enough.is_empty() {
            return Ok(Next::OnChange);
        }
        // No event tells that somebody was given the right; the older the request, the less it is waited for.
        let made = request.metadata.creation_timestamp.as_ref().map(|time| time.0);
        let age = made.map(|made| self.clock.now().duration_since(made).unsigned_abs()).unwrap_or_default();
        Ok(Next::After(age.clamp(LOOK_AGAIN.0, LOOK_AGAIN.1)))
    }
}

impl CertificateApprover {
    async fn is_allowed(
        &self,
        request: &CertificateSigningRequest,
        right: &Right,
    ) -> Result<bool, ReconcileError> {
        let attributes = ResourceAttributes {
            group: Some("certificates.k8s.io".to_owned()),
            resource: Some("certificatesigningrequests".to_owned()),
            subresource: Some(right.subresource.to_owned()),
            verb: Some("create".to_owned()),
            ..ResourceAttributes::default()
        };
        let spec = SubjectAccessReviewSpec {
            user: request.spec.username.clone(),
            uid: request.spec.uid.clone(),
            groups: request.spec.groups.clone(),
            extra: request.spec.extra.clone(),
            resource_attributes: Some(attributes),
            ..SubjectAccessReviewSpec::default()
        };
        let review = SubjectAccessReview { spec, ..SubjectAccessReview::default() };
        let reviews = Api::<SubjectAccessReview>::all(self.client.clone());
        let answer = reviews.create(&PostParams::default(), &review).await;
        let answer = answer.step("asking whether a node may have a certificate")?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    async fn approve(
        &self,
        mut request: CertificateSigningRequest,
        right: &Right,
    ) -> Result<(), ReconcileError> {
        let message = right.message.to_owned();
        add_condition(&mut request, (APPROVED, "AutoApproved"), message, self.clock.now());
        let api = Api::<CertificateSigningRequest>::all(self.client.clone());
        let name = request.name_any();
        match api.replace_subresource("approval", &name, &PostParams::default(), &request).await {
            Ok(written) => self.caches.certificate_signing_requests.note(written),
            Err(error) if is_not_found(&error) => {}
            Err(error) => return Err(error).step("approving a request for a certificate"),
        }
        Ok(())
    }
}

/// Enqueues the name of every request that appears or changes.
pub(super) fn wake_on_requests(caches: &Caches, queue: &Arc<Queue<String>>) {
    let wake = queue.clone();
    caches.certificate_signing_requests.on_change(move |change| {
        if let Some(request) = change.new {
            wake.add(request.name_any());
        }
    });
}
