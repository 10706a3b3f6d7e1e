//! CertificateSigningRequests: those of nodes are approved, what is approved is signed, what is done with is deleted.
//!
//! Flow: [`approver`] lets a node have the client certificate it may ask for; people approve the rest. [`signer`] has
//! the approved requests of Kubernetes' own signers signed, or says what keeps them from it. [`cleaner`] deletes
//! requests that nobody waits for, and [`pod_cleaner`] those for certificates of Pods, which others sign. [`trust_bundles`]
//! says where it can be read whom to believe. [`request`] reads what a request asks for and [`rules`] says what each signer grants.
//!
//! Guarantees: what is signed is what was checked, for both are made of one parsed [`request::Request`].
//!
//! Assumptions: the key stays with whoever starts the controllers and is reached by [`Authority`] alone.

pub(crate) mod approver;
mod authority;
pub(crate) mod cleaner;
pub(crate) mod pod_cleaner;
mod request;
mod rules;
pub(crate) mod signer;
#[cfg(test)]
mod tests;
pub(crate) mod trust_bundles;

use jiff::Timestamp;
use k8s_openapi::api::certificates::v1::{CertificateSigningRequest, CertificateSigningRequestCondition};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

pub use authority::{Authority, Leaf, SignError};
pub use request::AlternativeName;

const APPROVED: &str = "Approved";
const DENIED: &str = "Denied";
const FAILED: &str = "Failed";

/// The condition of this type, if the request has it.
fn condition<'a>(
    request: &'a CertificateSigningRequest,
    type_: &str,
) -> Option<&'a CertificateSigningRequestCondition> {
    let conditions = request.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().find(|condition| condition.type_ == type_)
}

/// The PEM text of the certificate, if there is one.
fn certificate(request: &CertificateSigningRequest) -> Option<&[u8]> {
    let certificate = request.status.as_ref().and_then(|status| status.certificate.as_ref());
    certificate.map(|bytes| bytes.0.as_slice()).filter(|bytes| !bytes.is_empty())
}

/// Adds a condition that holds from now on.
fn add_condition(
    request: &mut CertificateSigningRequest,
    (type_, reason): (&str, &str),
    message: String,
    now: Timestamp,
) {
    let condition = CertificateSigningRequestCondition {
        type_: type_.to_owned(),
        status: "True".to_owned(),
        reason: Some(reason.to_owned()),
        message: Some(message),
        last_update_time: Some(Time(now)),
        ..CertificateSigningRequestCondition::default()
    };
    request.status.get_or_insert_default().conditions.get_or_insert_default().push(condition);
}
