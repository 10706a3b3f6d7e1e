//! Who may decide on requests for certificates, and which may be made at all.
//!
//! To write a decision or a certificate is not enough: one must also be allowed to `approve` or `sign` for the signer
//! that the request names, or for all signers of its domain; whoever says whom to believe, to `attest`. Nobody asks for a
//! client certificate of `system:masters`.

use wherry_schema::Value;

use crate::auth::MASTERS;
use crate::authorize::{Attributes, Object, Resource};
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::validation::certificates::organizations;
use crate::validation::{Errors, Path, pod_certificates};
use crate::verbs::Cx;
use crate::verbs::update::Part;

const CLIENT_SIGNER: &str = "kubernetes.io/kube-apiserver-client";

/// Refuses a new request for a certificate that would let its holder do everything.
pub(super) fn check_subject(cx: &Cx<'_>, request: &Value) -> Result<(), Failure> {
    let signer = request.text("spec.signerName");
    if signer != CLIENT_SIGNER || !organizations(request).iter().any(|group| group == MASTERS) {
        return Ok(());
    }
    let why = format!("use of {signer} signer with {MASTERS} group is not allowed");
    Err(Failure::forbidden(cx.kind, object::called(request), &why))
}

/// Refuses a decision, or a certificate or another condition, of whom the signer's name does not allow it.
pub(crate) fn check_decision(cx: &Cx<'_>, part: Part, request: &Value, old: &Value) -> Result<(), Failure> {
    let parts = ["status.certificate", "status.conditions"];
    let signed = parts.iter().any(|part| !object::same(request, old, part));
    let verb = match part {
        Part::Approval => "approve",
        Part::Status if signed => "sign",
        _ => return Ok(()),
    };
    let signer = old.text("spec.signerName");
    if speaks_for(cx, verb, signer) {
        return Ok(());
    }
    let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
    Err(Failure::forbidden(cx.kind, object::called(old), &why))
}

/// Refuses a certificate for a Pod of whom the signer's name does not allow it, and one that does not begin now.
pub(crate) fn check_issue(cx: &Cx<'_>, part: Part, request: &Value, old: &Value) -> Result<(), Failure> {
    if part != Part::Status || object::same(request, old, "status.certificateChain") {
        return Ok(());
    }
    let errors = pod_certificates::check_begin(request, old, cx.state.clock.now());
    if !errors.is_empty() {
        return Err(Failure::invalid(cx.kind, object::name(old), errors));
    }
    let signer = old.text("spec.signerName");
    if speaks_for(cx, "sign", signer) {
        return Ok(());
    }
    let user = cx.user.map_or("", |user| &user.name);
    let mut errors = Errors::default();
    let detail = format!("User {user:?} is not permitted to \"sign\" for signer {signer:?}");
    errors.forbidden(&Path::new("spec.signerName"), &detail);
    Err(Failure::invalid(cx.kind, object::name(old), errors))
}

/// Refuses a bundle of a signer to whom the signer's name does not allow it: the ClusterTrustBundleAttest plugin. Who
/// changes nothing but what garbage collection looks at needs no permission.
pub(super) fn check_attest(cx: &Cx<'_>, bundle: &Value, old: Option<&Value>) -> Result<(), Failure> {
    let signer = bundle.text("spec.signerName");
    if signer.is_empty()
        || old.is_some_and(|old| says_the_same(bundle, old))
        || speaks_for(cx, "attest", signer)
    {
        return Ok(());
    }
    let why = format!("user not permitted to attest for signerName {signer:?}");
    Err(Failure::forbidden(cx.kind, object::called(bundle), &why))
}

fn says_the_same(bundle: &Value, old: &Value) -> bool {
    let rest = |bundle: &Value| {
        let mut rest = bundle.clone();
        for field in ["ownerReferences", "finalizers", "managedFields", "resourceVersion"] {
            rest.take(&format!("metadata.{field}"));
        }
        rest
    };
    rest(bundle) == rest(old)
}

/// Whether the user may do this for the signer, or for all of its domain.
fn speaks_for(cx: &Cx<'_>, verb: &str, signer: &str) -> bool {
    let domain = signer.split_once('/').map_or(String::new(), |(domain, _)| format!("{domain}/*"));
    may(cx, verb, signer) || may(cx, verb, &domain)
}

fn may(cx: &Cx<'_>, verb: &str, signer: &str) -> bool {
    let resource =
        Resource { group: "certificates.k8s.io", plural: "signers", name: signer, ..Resource::default() };
    cx.user.is_none_or(|user| {
        cx.state.authorizer.decide_now(&Attributes { user, verb, object: Object::Resource(resource) }).allowed
    })
}
