//! PodCertificateRequest: the wish of a node for a certificate for one of its Pods, and what a signer made of it.
//!
//! ```text
//! (pending) --status--> (issued) or (denied) or (failed): nothing changes any more
//! ```

use jiff::Timestamp;
use wherry_schema::Value;

use super::{Rules, Selectable};
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::pod_certificates::{self, OUTCOMES};
use crate::validation::{Errors, Path};

/// The rules of PodCertificateRequests.
pub(crate) struct PodCertificateRequest;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("PodName", "string", "certificates.v1beta1.PodCertificateRequestSpec.podName"),
    Column::of(
        "ServiceAccountName",
        "string",
        "certificates.v1beta1.PodCertificateRequestSpec.serviceAccountName",
    ),
    Column::of("NodeName", "string", "certificates.v1beta1.PodCertificateRequestSpec.nodeName"),
    Column::of("SignerName", "string", "certificates.v1beta1.PodCertificateRequestSpec.signerName"),
    Column::new("State", "string", "Is the PodCertificateRequest Issued, Denied, Failed or Pending?"),
];

static FIELDS: &[Selectable] = &[
    Selectable { name: "spec.signerName", attribute: "=spec.signerName" },
    Selectable { name: "spec.podName", attribute: "=spec.podName" },
    Selectable { name: "spec.nodeName", attribute: "=spec.nodeName" },
];

impl Rules for PodCertificateRequest {
    fn fields(&self) -> &'static [Selectable] {
        FIELDS
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn prepare_create(&self, object: &mut Value) {
        object.put("status", Value::object());
    }

    fn prepare_status(&self, object: &mut Value, old: &Value) {
        object::keep_metadata(object, old);
    }

    /// A condition that carries no date dates from now.
    fn stamp(&self, object: &mut Value, _old: Option<&Value>, now: &str) {
        for condition in object.items_mut("status.conditions") {
            if !condition.has("lastTransitionTime") {
                condition.put("lastTransitionTime", now);
            }
        }
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        pod_certificates::check(object, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        if !object::same(object, old, "spec") {
            errors.invalid_without_value(&Path::new("spec"), "field is immutable");
        }
    }

    fn validate_status(&self, object: &Value, old: &Value, errors: &mut Errors) {
        pod_certificates::check_status(object, old, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        let mut conditions = object.items("status.conditions").iter().map(|condition| condition.text("type"));
        let state = conditions.find(|kind| OUTCOMES.contains(kind)).unwrap_or("Pending");
        vec![
            table::name(object),
            object.text("spec.podName").into(),
            object.text("spec.serviceAccountName").into(),
            object.text("spec.nodeName").into(),
            object.text("spec.signerName").into(),
            state.into(),
        ]
    }
}
