//! ServiceAccount: a name Pods run as. Tokens are a later story; nothing is mounted yet.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::table::{self, Column};

/// The rules of ServiceAccounts.
pub(crate) struct ServiceAccount;

static COLUMNS: &[Column] = &[table::NAME, table::AGE];

impl Rules for ServiceAccount {
    fn returns_deleted(&self) -> bool {
        true
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![table::name(object), table::age(object, now)]
    }
}
