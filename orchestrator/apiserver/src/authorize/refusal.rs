//! How a no is told.

use super::{Attributes, Object, Resource};
use crate::error::Failure;

/// That something may not be done, for a reason if there is one.
pub(crate) fn refusal(attributes: &Attributes<'_>, reason: &str) -> Failure {
    let Attributes { user, verb, object } = attributes;
    let user = &user.name;
    let reason = if reason.is_empty() { String::new() } else { format!(": {reason}") };
    let (subject, wish, of) = match object {
        Object::Path(path) => ("forbidden".to_owned(), format!("path {path:?}"), Resource::default()),
        Object::Resource(of) => (subject(of), wish(of), *of),
    };
    Failure::Forbidden {
        message: format!("{subject}: User {user:?} cannot {verb} {wish}{reason}"),
        group: of.group.to_owned(),
        resource: of.plural.to_owned(),
        name: of.name.to_owned(),
        causes: Vec::new(),
    }
}

/// What the wish is about: `pods.example.com "a" is forbidden`.
fn subject(of: &Resource<'_>) -> String {
    let resource =
        if of.group.is_empty() { of.plural.to_owned() } else { format!("{}.{}", of.plural, of.group) };
    match (resource.is_empty(), of.name.is_empty()) {
        (true, _) => "forbidden".to_owned(),
        (false, true) => format!("{resource} is forbidden"),
        (false, false) => format!("{resource} {:?} is forbidden", of.name),
    }
}

/// What is wished for: `resource "pods/log" in API group "" in the namespace "a"`.
fn wish(of: &Resource<'_>) -> String {
    let resource =
        if of.part.is_empty() { of.plural.to_owned() } else { format!("{}/{}", of.plural, of.part) };
    let scope = match of.namespace {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace {namespace:?}"),
    };
    format!("resource {resource:?} in API group {:?} {scope}", of.group)
}
