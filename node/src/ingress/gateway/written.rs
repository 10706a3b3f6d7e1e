//! Routes as they are written.

use serde::Deserialize;
use serde_json::Value;

use super::objects::Reference;

/// A route, by what its matches are like.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound = "M: Deserialize<'de>")]
pub(super) struct Route<M> {
    #[serde(default)]
    pub(super) parent_refs: Vec<Value>,
    #[serde(default)]
    pub(super) hostnames: Vec<String>,
    #[serde(default)]
    pub(super) rules: Vec<Rule<M>>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound = "M: Deserialize<'de>")]
pub(super) struct Rule<M> {
    #[serde(default)]
    pub(super) matches: Vec<M>,
    #[serde(default)]
    pub(super) filters: Vec<Filter>,
    #[serde(default)]
    pub(super) backend_refs: Vec<BackendRef>,
    pub(super) timeouts: Option<Timeouts>,
    pub(super) retry: Option<Value>,
    pub(super) session_persistence: Option<Value>,
}

/// Where requests of a rule go, and what is changed of those that go there.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct BackendRef {
    #[serde(flatten)]
    pub(super) to: Reference,
    #[serde(default)]
    pub(super) filters: Vec<Filter>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Timeouts {
    pub(super) request: Option<String>,
    pub(super) backend_request: Option<String>,
}

/// What a rule of an HTTPRoute is about.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct HttpMatch {
    pub(super) path: Option<Text>,
    #[serde(default)]
    pub(super) headers: Vec<Text>,
    #[serde(default)]
    pub(super) query_params: Vec<Text>,
    pub(super) method: Option<String>,
}

/// What a rule of a GRPCRoute is about.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct GrpcMatch {
    pub(super) method: Option<GrpcMethod>,
    #[serde(default)]
    pub(super) headers: Vec<Text>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct GrpcMethod {
    #[serde(rename = "type")]
    pub(super) how: Option<String>,
    pub(super) service: Option<String>,
    pub(super) method: Option<String>,
}

/// What a path, a header or a parameter is to be.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Text {
    #[serde(rename = "type")]
    pub(super) how: Option<String>,
    #[serde(default)]
    pub(super) name: String,
    pub(super) value: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Filter {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) request_header_modifier: Option<Headers>,
    pub(super) response_header_modifier: Option<Headers>,
    pub(super) request_redirect: Option<Redirect>,
    #[serde(rename = "urlRewrite")]
    pub(super) rewrite: Option<Rewrite>,
    pub(super) request_mirror: Option<Mirror>,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct Headers {
    #[serde(default)]
    pub(super) set: Vec<Text>,
    #[serde(default)]
    pub(super) add: Vec<Text>,
    #[serde(default)]
    pub(super) remove: Vec<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Redirect {
    pub(super) scheme: Option<String>,
    pub(super) hostname: Option<String>,
    pub(super) path: Option<Path>,
    pub(super) port: Option<u16>,
    pub(super) status_code: Option<u16>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Rewrite {
    pub(super) hostname: Option<String>,
    pub(super) path: Option<Path>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Path {
    pub(super) replace_full_path: Option<String>,
    pub(super) replace_prefix_match: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Mirror {
    pub(super) backend_ref: Reference,
    pub(super) percent: Option<u32>,
    pub(super) fraction: Option<Part>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct Part {
    pub(super) numerator: u32,
    pub(super) denominator: Option<u32>,
}
