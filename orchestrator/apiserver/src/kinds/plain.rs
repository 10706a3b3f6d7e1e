//! Kinds without rules of their own: any well-formed object is accepted, a table shows its name and when it was made.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::table::{self, Column};

/// The rules of kinds that need no others.
pub(crate) struct Plain;

impl Rules for Plain {
    fn columns(&self) -> &'static [Column] {
        table::NAME_AND_DATE
    }

    fn cells(&self, object: &Value, _now: Timestamp) -> Vec<Value> {
        table::name_and_date(object)
    }
}
