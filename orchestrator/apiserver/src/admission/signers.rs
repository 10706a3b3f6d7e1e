//! Who may decide on requests for certificates, and which may be made at all.
//!
//! To write a decision or a certificate is not enough: one must also be allowed to `approve` or `sign` for the signer
//! that the request names, or for all signers of its domain. Nobody asks for a client certificate of `system:masters`.

use wherry_schema::Value;

use crate::auth::MASTERS;
use crate::authorize::{Attributes, Object, Resource};
use crate::error::Failure;
use crate::object::{self, Fields};
use crate::validation::certificates::organizations;
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
    let domain = signer.split_once('/').map_or(String::new(), |(domain, _)| format!("{domain}/*"));
    if may(cx, verb, signer) || may(cx, verb, &domain) {
        return Ok(());
    }
    let why = format!("user not permitted to {verb} requests with signerName {signer:?}");
    Err(Failure::forbidden(cx.kind, object::called(old), &why))
}

fn may(cx: &Cx<'_>, verb: &str, signer: &str) -> bool {
    let resource =
        Resource { group: "certificates.k8s.io", plural: "signers", name: signer, ..Resource::default() };
    cx.user.is_none_or(|user| {
        cx.state.authorizer.decide_now(&Attributes { user, verb, object: Object::Resource(resource) }).allowed
    })
}
