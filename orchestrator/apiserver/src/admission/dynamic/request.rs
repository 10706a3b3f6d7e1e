//! A change as those who look at it are told of it: the `request` of an AdmissionReview, without the objects.

use wherry_api::kinds::Kind;
use wherry_schema::Value;

use super::attributes::{GroupKind, GroupResource, Write};
use crate::auth::UserInfo;
use crate::object::Fields;

fn kind(of: GroupKind<'_>) -> Value {
    let mut value = Value::object();
    value.put("group", of.group);
    value.put("version", of.version);
    value.put("kind", of.kind);
    value
}

fn resource(of: GroupResource<'_>) -> Value {
    let mut value = Value::object();
    value.put("group", of.group);
    value.put("version", of.version);
    value.put("resource", of.resource);
    value
}

fn user(info: &UserInfo) -> Value {
    let mut value = Value::object();
    value.put("username", info.name.as_str());
    if !info.uid.is_empty() {
        value.put("uid", info.uid.as_str());
    }
    if !info.groups.is_empty() {
        value.put("groups", info.groups.clone());
    }
    for (key, values) in &info.extra {
        value.set(&["extra", key], values.clone());
    }
    value
}

/// The request, as one for the resource of `row`.
pub(crate) fn request(write: &Write<'_>, row: &'static Kind) -> Value {
    let mut request = Value::object();
    request.put("kind", kind(GroupKind::of(row, write.part)));
    request.put("resource", resource(GroupResource::of(row)));
    request.put("requestKind", kind(write.kind()));
    request.put("requestResource", resource(write.resource()));
    let texts = [
        ("subResource", write.part),
        ("requestSubResource", write.part),
        ("name", &write.name),
        ("namespace", &write.namespace),
    ];
    for (field, text) in texts {
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
