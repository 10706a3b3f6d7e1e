//! CertificateSigningRequest: the wish for a certificate, whether it is granted, and the certificate.
//!
//! Who asks is recorded by admission and never changes; the decision is made on `approval`, the certificate is handed
//! out on `status`.

use jiff::Timestamp;
use wherry_schema::Value;

use super::{Rules, Selectable};
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::Errors;
use crate::validation::certificates::{self, Change};

/// The rules of CertificateSigningRequests.
pub(crate) struct CertificateSigningRequest;

/// The conditions that say whether a request is granted.
const DECISIONS: [&str; 2] = ["Approved", "Denied"];

/// What upstream says of the field in an older version of the API.
const SIGNER_NAME: &str = "Requested signer for the request. It is a qualified name in the form: \
    `scope-hostname.io/name`. If empty, it will be defaulted:\n 1. If it's a kubelet client certificate, it is \
    assigned\n    \"kubernetes.io/kube-apiserver-client-kubelet\".\n 2. If it's a kubelet serving certificate, it is \
    assigned\n    \"kubernetes.io/kubelet-serving\".\n 3. Otherwise, it is assigned \
    \"kubernetes.io/legacy-unknown\".\nDistribution of trust for signers happens out of band. You can select on this \
    field using `spec.signerName`.";

static COLUMNS: &[Column] = &[
    table::NAME,
    table::AGE,
    Column::new("SignerName", "string", SIGNER_NAME),
    Column::new("Requestor", "string", "Base64-encoded PKCS#10 CSR data"),
    Column::of(
        "RequestedDuration",
        "string",
        "certificates.v1.CertificateSigningRequestSpec.expirationSeconds",
    ),
    Column::new("Condition", "string", "Conditions applied to the request, such as approval or denial."),
];

static FIELDS: &[Selectable] = &[Selectable { name: "spec.signerName", attribute: "=spec.signerName" }];

impl Rules for CertificateSigningRequest {
    fn fields(&self) -> &'static [Selectable] {
        FIELDS
    }

    fn check_name(&self, _name: &str) -> Result<(), String> {
        Ok(())
    }

    fn prepare_create(&self, object: &mut Value) {
        object.put("status", Value::object());
    }

    fn prepare_update(&self, object: &mut Value, old: &Value) {
        object.assign("spec", old.field("spec").cloned());
    }

    fn prepare_status(&self, object: &mut Value, old: &Value) {
        keep_decisions(object, old);
    }

    fn prepare_approval(&self, object: &mut Value, old: &Value) {
        let conditions = object.field("status.conditions").cloned();
        object.assign("status", old.field("status").cloned());
        object.assign("status.conditions", conditions);
    }

    fn stamp(&self, object: &mut Value, old: Option<&Value>, now: &str) {
        let before = old.map_or(&[][..], |old| old.items("status.conditions"));
        for condition in object.items_mut("status.conditions") {
            date(condition, before, now);
        }
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        certificates::check(object, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        certificates::check_update(object, old, Change::Whole, errors);
    }

    fn validate_status(&self, object: &Value, old: &Value, errors: &mut Errors) {
        certificates::check(object, errors);
        certificates::check_update(object, old, Change::Status, errors);
    }

    fn validate_approval(&self, object: &Value, old: &Value, errors: &mut Errors) {
        certificates::check(object, errors);
        certificates::check_update(object, old, Change::Approval, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let duration = object.int("spec.expirationSeconds").map_or("<none>".to_owned(), table::human);
        vec![
            table::name(object),
            table::age(object, now),
            table::text_or(object, "spec.signerName", "<none>"),
            object.text("spec.username").into(),
            duration.into(),
            condition(object).into(),
        ]
    }
}

/// A change of the status does not touch decisions. Where the new list leaves one out, it is a wish to remove it.
fn keep_decisions(object: &mut Value, old: &Value) {
    for kind in DECISIONS {
        let old = old.items("status.conditions").iter().find(|c| c.text("type") == kind).cloned();
        for condition in object.items_mut("status.conditions") {
            if condition.text("type") == kind
                && let Some(old) = &old
            {
                *condition = old.clone();
            }
        }
    }
}

/// Dates a condition that carries no date; one that says what it said before dates from then.
fn date(condition: &mut Value, before: &[Value], now: &str) {
    if !condition.has("lastUpdateTime") {
        condition.put("lastUpdateTime", now);
    }
    if condition.has("lastTransitionTime") {
        return;
    }
    let same = |c: &&Value| ["type", "status"].iter().all(|field| c.text(field) == condition.text(field));
    let since = before.iter().find(same).map_or(now, |c| c.text("lastTransitionTime")).to_owned();
    condition.put("lastTransitionTime", since);
}

/// What was decided, and whether the certificate is there.
fn condition(object: &Value) -> String {
    let has = |kind: &str| object.items("status.conditions").iter().any(|c| c.text("type") == kind);
    let decision = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    };
    let mut text = decision.to_owned();
    if has("Failed") {
        text.push_str(",Failed");
    }
    if !object.text("status.certificate").is_empty() {
        text.push_str(",Issued");
    }
    text
}
