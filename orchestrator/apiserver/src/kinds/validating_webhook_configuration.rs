//! ValidatingWebhookConfiguration: programs that check objects on their way in.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::Fields;
use crate::table::{self, Column};
use crate::validation::Errors;
use crate::validation::admissionregistration::webhooks::{self, Webhooks};

/// The rules of ValidatingWebhookConfigurations.
pub(crate) struct ValidatingWebhookConfiguration;

static COLUMNS: &[Column] = &[
    table::NAME,
    Column::new(
        "Webhooks",
        "integer",
        "Webhooks indicates the number of webhooks registered in this configuration",
    ),
    table::AGE,
];

impl Rules for ValidatingWebhookConfiguration {
    fn generation(&self) -> &'static [&'static str] {
        &["webhooks"]
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        webhooks::check(object, Webhooks::Validating, errors);
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![table::name(object), table::count(object.items("webhooks").len()), table::age(object, now)]
    }
}
