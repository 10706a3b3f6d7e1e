//! IPAddress: an address that is taken, and by whom. The server makes one for each cluster IP of a Service.

use jiff::Timestamp;
use wherry_schema::Value;

use super::Rules;
use crate::object::{self, Fields};
use crate::table::{self, Column};
use crate::validation::internal;
use crate::validation::{Errors, Path, Shown, canonical};

/// The rules of IPAddresses.
pub(crate) struct IpAddress;

static COLUMNS: &[Column] =
    &[table::NAME, Column::of("ParentRef", "string", "networking.v1.IPAddressSpec.parentRef"), table::AGE];

impl Rules for IpAddress {
    fn check_name(&self, name: &str) -> Result<(), String> {
        canonical::ip(name)
    }

    fn validate(&self, object: &Value, errors: &mut Errors) {
        let path = Path::new("spec.parentRef");
        let Some(parent) = object.field("spec.parentRef") else {
            errors.required(&path, "");
            return;
        };
        if !parent.text("group").is_empty() {
            errors.subdomain(parent.text("group"), &path.child("group"));
        }
        errors.path_segment(parent.text("resource"), &path.child("resource"));
        errors.path_segment(parent.text("name"), &path.child("name"));
        if !parent.text("namespace").is_empty() {
            errors.path_segment(parent.text("namespace"), &path.child("namespace"));
        }
    }

    fn validate_update(&self, object: &Value, old: &Value, errors: &mut Errors) {
        if !object::same(object, old, "spec.parentRef") {
            let parent = object.field("spec.parentRef");
            let shown =
                parent.map_or(Shown::raw("null"), |parent| internal::show("ParentReference", Some(parent)));
            errors.invalid(&Path::new("spec.parentRef"), shown, "field is immutable");
        }
    }

    fn columns(&self) -> &'static [Column] {
        COLUMNS
    }

    fn cells(&self, object: &Value, now: Timestamp) -> Vec<Value> {
        let parent = object.field("spec.parentRef").map_or("<none>".to_owned(), |parent| {
            let parts = ["group", "resource", "namespace", "name"].map(|part| parent.text(part));
            let (group, rest) = (parts[0], &parts[1..]);
            let resource = if group.is_empty() { rest[0].to_owned() } else { format!("{}.{group}", rest[0]) };
            let parts = [resource.as_str(), rest[1], rest[2]];
            parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/")
        });
        vec![table::name(object), parent.into(), table::age(object, now)]
    }
}
