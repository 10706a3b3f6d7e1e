//! Kinds without rules of their own: any well-formed object is accepted, a table shows its name and age.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::table::{self, Column};

/// The rules of kinds that need no others.
pub(crate) struct Plain;

static COLUMNS: &[Column] = &[table::NAME, table::AGE];

impl Rules for Plain {
    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        vec![table::name(object), table::age(object, now)]
    }
}
