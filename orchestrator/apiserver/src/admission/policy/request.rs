//! A write as expressions are told of it: the request, and the objects in the version that the policy wants.

use std::borrow::Cow;

use wherry_api::kinds::Kind;
use wherry_schema::Value;

use super::input::Input;
use crate::admission::dynamic::Write;
use crate::admission::dynamic::attributes::{GroupKind, GroupResource};
use crate::auth::UserInfo;
use crate::object::Fields;

/// A write as one of a row of the kinds table.
pub(super) struct Seen<'w> {
    row: &'static Kind,
    request: Value,
    object: Option<Cow<'w, Value>>,
    old: Option<Cow<'w, Value>>,
}

impl<'w> Seen<'w> {
    pub(super) fn new(write: &'w Write<'_>, row: &'static Kind) -> Self {
        let convert = |object: &'w Value| write.convert(object, row);
        Self {
            row,
            request: request(write, row),
            object: write.object.as_deref().map(convert),
            old: write.old.as_deref().map(convert),
        }
    }

    /// Whether it is the write as one of this row.
    pub(super) fn is_as(&self, row: &'static Kind) -> bool {
        std::ptr::eq(self.row, row)
    }

    /// What expressions are told of it.
    pub(super) fn input<'a>(&'a self, write: &'a Write<'_>, params: Option<&'a Value>) -> Input<'a> {
        Input {
            authorizer: &write.state.authorizer,
            user: Some(write.user),
            object: self.object.as_deref(),
            old_object: self.old.as_deref(),
            request: &self.request,
            namespace: if write.is_namespace() { None } else { write.namespace_object() },
            params,
        }
    }
}

/// An `AdmissionRequest` without the objects.
fn request(write: &Write<'_>, row: &'static Kind) -> Value {
    let mut request = Value::object();
    request.put("kind", kind(GroupKind::of(row, write.part)));
    request.put("resource", resource(GroupResource::of(row)));
    request.put("requestKind", kind(write.kind()));
    request.put("requestResource", resource(write.resource()));
    for (field, text) in [
        ("subResource", write.part),
        ("requestSubResource", write.part),
        ("name", &*write.name),
        ("namespace", &*write.namespace),
    ] {
        if !text.is_empty() {
            request.put(field, text);
        }
    }
    request.put("operation", write.operation.name());
    request.put("userInfo", user(write.user));
    request.put("dryRun", write.dry_run);
    request.put("options", write.options.clone());
    request
}

fn kind(of: GroupKind<'_>) -> Value {
    let mut kind = Value::object();
    kind.put("group", of.group);
    kind.put("version", of.version);
    kind.put("kind", of.kind);
    kind
}

fn resource(of: GroupResource<'_>) -> Value {
    let mut resource = Value::object();
    resource.put("group", of.group);
    resource.put("version", of.version);
    resource.put("resource", of.resource);
    resource
}

fn user(user: &UserInfo) -> Value {
    let mut info = Value::object();
    for (field, text) in [("username", &user.name), ("uid", &user.uid)] {
        if !text.is_empty() {
            info.put(field, text.as_str());
        }
    }
    if !user.groups.is_empty() {
        info.put("groups", user.groups.clone());
    }
    for (key, values) in &user.extra {
        info.set(&["extra", key], values.clone());
    }
    info
}
