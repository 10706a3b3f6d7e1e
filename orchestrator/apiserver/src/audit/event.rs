//! An event as it is written: `audit.k8s.io/v1`, in the order of fields that upstream has.
//!
//! What is rendered lacks `kind` and `apiVersion`: a line of a log begins with [`LINE`] instead of the first brace,
//! an item of a list has none.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use wherry_schema::Value;

use super::policy::{Level, Stage};
use crate::auth::UserInfo;
use crate::object::Fields;

/// What a line of a log begins with.
pub(super) const LINE: &[u8] = br#"{"kind":"Event","apiVersion":"audit.k8s.io/v1","#;

/// What stays the same from the first event of a request to its last.
#[derive(Debug, Clone)]
pub(super) struct Facts {
    pub(super) id: String,
    pub(super) level: Level,
    pub(super) uri: String,
    pub(super) verb: String,
    pub(super) user: UserInfo,
    pub(super) sources: Vec<String>,
    pub(super) agent: String,
    pub(super) received: Timestamp,
}

/// What becomes known while a request is answered.
#[derive(Debug, Clone, Default)]
pub(super) struct Report {
    pub(super) impersonated: Option<UserInfo>,
    pub(super) object: Option<ObjectRef>,
    pub(super) outcome: Option<Outcome>,
    pub(super) sent: Option<Value>,
    pub(super) answered: Option<Value>,
    pub(super) annotations: Vec<(String, String)>,
}

/// The object that a request is about.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ObjectRef {
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) resource: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) namespace: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) name: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) uid: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) api_group: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) api_version: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) resource_version: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) subresource: String,
}

impl ObjectRef {
    /// Fills in what the object that was sent says of itself.
    pub(super) fn complete(&mut self, sent: &Value) {
        let fields = [
            (&mut self.namespace, "metadata.namespace"),
            (&mut self.name, "metadata.name"),
            (&mut self.uid, "metadata.uid"),
            (&mut self.resource_version, "metadata.resourceVersion"),
        ];
        for (field, path) in fields {
            if field.is_empty() {
                sent.text(path).clone_into(field);
            }
        }
    }
}

/// How a request was answered: a `Status`, of which only the code is known where the answer is another object.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct Outcome {
    metadata: Nothing,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) status: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) message: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<Value>,
    code: u16,
}

/// An object without fields.
#[derive(Debug, Clone, Default, Serialize)]
struct Nothing {}

impl Outcome {
    /// An answer with this code.
    pub(super) fn of(code: StatusCode, answer: Option<&Value>) -> Self {
        let code = code.as_u16();
        let Some(status) = answer.filter(|answer| answer.text("kind") == "Status") else {
            return Self { code, ..Self::default() };
        };
        let text = |path| status.text(path).to_owned();
        Self {
            metadata: Nothing {},
            status: text("status"),
            message: text("message"),
            reason: text("reason"),
            details: status.field("details").cloned(),
            code,
        }
    }
}

#[derive(Serialize)]
struct User<'a> {
    #[serde(skip_serializing_if = "str::is_empty")]
    username: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    uid: &'a str,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    groups: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    extra: &'a BTreeMap<String, Vec<String>>,
}

impl<'a> User<'a> {
    fn of(user: &'a UserInfo) -> Self {
        Self { username: &user.name, uid: &user.uid, groups: &user.groups, extra: &user.extra }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Event<'a> {
    level: &'static str,
    #[serde(rename = "auditID")]
    audit_id: &'a str,
    stage: &'static str,
    #[serde(rename = "requestURI")]
    request_uri: &'a str,
    verb: &'a str,
    user: User<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    impersonated_user: Option<User<'a>>,
    #[serde(rename = "sourceIPs", skip_serializing_if = "<[_]>::is_empty")]
    source_ips: &'a [String],
    #[serde(skip_serializing_if = "str::is_empty")]
    user_agent: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    object_ref: Option<&'a ObjectRef>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_status: Option<&'a Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_object: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    response_object: Option<&'a Value>,
    request_received_timestamp: String,
    stage_timestamp: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<&'a str, &'a str>,
}

/// A time as events carry it, to the microsecond.
fn micro(time: Timestamp) -> String {
    format!("{time:.6}")
}

/// An event as JSON, without `kind` and `apiVersion`.
pub(super) fn render(facts: &Facts, stage: Stage, report: &Report, now: Timestamp) -> Bytes {
    let event = Event {
        level: facts.level.name(),
        audit_id: &facts.id,
        stage: stage.name(),
        request_uri: &facts.uri,
        verb: &facts.verb,
        user: User::of(&facts.user),
        impersonated_user: report.impersonated.as_ref().map(User::of),
        source_ips: &facts.sources,
        user_agent: &facts.agent,
        object_ref: report.object.as_ref(),
        response_status: report.outcome.as_ref(),
        request_object: report.sent.as_ref(),
        response_object: report.answered.as_ref(),
        request_received_timestamp: micro(facts.received),
        stage_timestamp: micro(now),
        annotations: report.annotations.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect(),
    };
    serde_json::to_vec(&event).expect("an event has texts for keys").into()
}
