//! ClusterTrustBundle: whom to believe, as certificates of authorities, by themselves or for what a signer signs.
//!
//! Who may write the bundles of a signer, admission decides.

use jiff::Timestamp;
use wherry_schema::Value;

use super::{Rules, Selectable};
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::{Errors, trust_bundles};

/// The rules of ClusterTrustBundles.
pub(crate) struct ClusterTrustBundle;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::of("SignerName", "string", "certificates.v1beta1.ClusterTrustBundleSpec.signerName"),
];

static FIELDS: &[Selectable] = &[Selectable { name: "spec.signerName", attribute: "=spec.signerName" }];

impl Rules for ClusterTrustBundle {
    fn fields(&self) -> &'static [Selectable] {
        FIELDS
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    /// What a name begins with depends on the signer.
    fn check_name(&self, _name: &str) -> Result<(), String> {
        Ok(())
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        trust_bundles::check(object, errors);
    }

    fn validate_create(&self, object: &Value, errors: &mut Errors) {
        trust_bundles::check_bundle(object, errors);
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        trust_bundles::check_update(object, old, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        let signer = object.text("spec.signerName");
        let signer = if signer.is_empty() { "<none>" } else { signer };
        vec![table::name(object), signer.into()]
    }
}
