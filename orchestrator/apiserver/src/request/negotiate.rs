//! Content negotiation: which representation an answer takes and how a body is read.
//!
//! Clients of Go send `application/vnd.kubernetes.protobuf` first; it is skipped and the next clause wins.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_TYPE, USER_AGENT};
use wherry_schema::Format;

use crate::error::Failure;
use crate::request::protobuf;
use crate::request::query::Query;

/// How much of each object a table row carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Include {
    /// Nothing.
    None,
    /// Its metadata.
    Metadata,
    /// All of it.
    Object,
}

impl Include {
    /// What the query asks for.
    pub(crate) fn parse(asked: &str) -> Option<Self> {
        match asked {
            "" | "Metadata" => Some(Self::Metadata),
            "Object" => Some(Self::Object),
            "None" => Some(Self::None),
            _ => None,
        }
    }
}

/// What an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The objects themselves.
    Object,
    /// The objects without their managed fields, as `application/json;managedFields=omit` asks for.
    Lean,
    /// Rows of printable cells, in this version of `meta.k8s.io`.
    Table(&'static str, Include),
    /// Only metadata, in this version of `meta.k8s.io`.
    Partial(&'static str),
    /// Discovery of everything in one document.
    Discovery,
}

/// The representation a client accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Accept {
    /// What is sent.
    pub(crate) shape: Shape,
    /// Whether it is sent as YAML.
    pub(crate) yaml: bool,
    /// Whether large answers may be compressed.
    pub(crate) gzip: bool,
}

impl Default for Accept {
    fn default() -> Self {
        Self { shape: Shape::Object, yaml: false, gzip: false }
    }
}

/// What routes say they produce; a request that accepts none of it never reaches the resource.
const PRODUCED: [&str; 4] =
    ["*/*", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const AVAILABLE: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
const AVAILABLE_LIST: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf, \
     application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

impl Accept {
    /// Picks the first clause, by weight, that can be served. `collection` only chooses the words of the error.
    pub(crate) fn parse(headers: &HeaderMap, include: Include, collection: bool) -> Result<Self, Failure> {
        let gzip = accepts_gzip(headers);
        let clauses = clauses(headers);
        if clauses.is_empty() {
            return Ok(Self { gzip, ..Self::default() });
        }
        if !clauses.iter().any(|c| PRODUCED.contains(&c.media)) {
            return Err(Failure::NotAcceptable(if collection { AVAILABLE_LIST } else { AVAILABLE }));
        }
        let accept = clauses.iter().find_map(|c| c.accept(include));
        accept.map(|accept| Self { gzip, ..accept }).ok_or(Failure::NoSuchRepresentation)
    }
}

/// The clauses of the Accept header, the best first.
fn clauses(headers: &HeaderMap) -> Vec<Clause<'_>> {
    let header = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if header.trim().is_empty() {
        return Vec::new();
    }
    let mut clauses: Vec<Clause<'_>> = header.split(',').map(Clause::parse).collect();
    clauses.sort_by(|a, b| b.weight.total_cmp(&a.weight).then(a.wildcards().cmp(&b.wildcards())));
    clauses
}

/// The media types that the client takes, the best first; `*/*` if it does not say.
pub(crate) fn media_types(headers: &HeaderMap) -> Vec<&str> {
    let clauses = clauses(headers);
    if clauses.is_empty() { vec!["*/*"] } else { clauses.into_iter().map(|clause| clause.media).collect() }
}

/// Whether the client reads gzip. Weights are not looked at, as upstream.
pub(crate) fn accepts_gzip(headers: &HeaderMap) -> bool {
    let encodings = headers.get(ACCEPT_ENCODING).and_then(|v| v.to_str().ok()).unwrap_or_default();
    encodings.split(',').any(|e| e.trim() == "gzip")
}

/// Whether JSON is wanted with line breaks: by the query, by the Accept header, or by a client that shows it to people.
pub(crate) fn pretty(headers: &HeaderMap, query: &Query) -> bool {
    if let Some(asked) = query.get("pretty").filter(|v| !v.is_empty()) {
        return matches!(asked, "1" | "t" | "T" | "true" | "TRUE" | "True");
    }
    let agent = headers.get(USER_AGENT).and_then(|v| v.to_str().ok()).unwrap_or_default();
    ["curl", "Wget", "Mozilla/5.0"].iter().any(|a| agent.starts_with(a))
        || (asks_pretty(headers) && clauses(headers).first().is_some_and(|c| c.get("pretty") == "1"))
}

/// Whether the Accept header is worth reading for line breaks.
fn asks_pretty(headers: &HeaderMap) -> bool {
    headers.get(ACCEPT).and_then(|v| v.to_str().ok()).is_some_and(|v| v.contains("pretty"))
}

/// One alternative of an Accept header.
struct Clause<'a> {
    media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    weight: f32,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = match parts.next().unwrap_or_default() {
            "*" => "*/*",
            media => media,
        };
        let parameters: Vec<_> =
            parts.filter_map(|p| p.split_once('=')).map(|(k, v)| (k.trim(), v.trim())).collect();
        let weight = parameters.iter().find(|(k, _)| *k == "q").and_then(|(_, v)| v.parse().ok());
        Self { media, parameters, weight: weight.unwrap_or(1.0) }
    }

    fn get(&self, name: &str) -> &'a str {
        self.parameters.iter().find(|(k, _)| *k == name).map_or("", |(_, v)| v)
    }

    fn wildcards(&self) -> usize {
        self.media.matches('*').count()
    }

    /// Whether the media type is one that is served, and whether it is YAML.
    fn media(&self) -> Option<bool> {
        match self.media {
            "application/json" | "application/*" | "*/*" => Some(false),
            "application/yaml" => Some(true),
            _ => None,
        }
    }

    fn accept(&self, include: Include) -> Option<Accept> {
        let yaml = self.media()?;
        let streams = matches!(self.get("stream"), "" | "watch") && !(yaml && self.get("stream") == "watch");
        if !streams || !matches!(self.get("sv"), "" | "v1") {
            return None;
        }
        let shape = match (self.get("as"), self.get("g"), self.get("v")) {
            ("", "", "") if self.get("managedFields") == "omit" => Shape::Lean,
            ("", "", "") => Shape::Object,
            ("Table", "meta.k8s.io", "v1") => Shape::Table("v1", include),
            ("Table", "meta.k8s.io", "v1beta1") => Shape::Table("v1beta1", include),
            ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1") => {
                Shape::Partial("v1")
            }
            ("PartialObjectMetadata" | "PartialObjectMetadataList", "meta.k8s.io", "v1beta1") => {
                Shape::Partial("v1beta1")
            }
            ("APIGroupDiscoveryList", "apidiscovery.k8s.io", "v2") => Shape::Discovery,
            _ => return None,
        };
        Some(Accept { shape, yaml, gzip: false })
    }
}

/// The kind of patch a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' merge that knows list keys.
    Strategic,
}

fn content_type(headers: &HeaderMap) -> &str {
    let value = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim()
}

/// How an object in a body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyFormat {
    /// As text.
    Text(Format),
    /// As a protobuf message.
    Protobuf,
}

impl BodyFormat {
    /// What the headers say of the body.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Failure> {
        match content_type(headers) {
            "" | "application/json" => Ok(Self::Text(Format::Json)),
            "application/yaml" => Ok(Self::Text(Format::Yaml)),
            "application/vnd.kubernetes.protobuf" => Ok(Self::Protobuf),
            _ => Err(Failure::UnknownFormat),
        }
    }

    /// The body as text.
    pub(crate) fn text(self, bytes: Bytes) -> Result<(Bytes, Format), Failure> {
        match self {
            Self::Text(format) => Ok((bytes, format)),
            Self::Protobuf => {
                let json = protobuf::to_json(&bytes).map_err(|e| Failure::UnsupportedBody(e.to_string()))?;
                Ok((json, Format::Json))
            }
        }
    }
}

/// Whether a body is a configuration for server-side apply.
pub(crate) fn is_apply(headers: &HeaderMap) -> bool {
    content_type(headers) == "application/apply-patch+yaml"
}

/// Which patch a body is.
pub(crate) fn patch_type(headers: &HeaderMap) -> Result<PatchType, Failure> {
    match content_type(headers) {
        "application/json-patch+json" => Ok(PatchType::Json),
        "application/merge-patch+json" => Ok(PatchType::Merge),
        "application/strategic-merge-patch+json" => Ok(PatchType::Strategic),
        _ => Err(Failure::UnsupportedPatch("415: Unsupported Media Type".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn headers(accept: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Ok(value) = accept.parse() {
            headers.insert(ACCEPT, value);
        }
        headers
    }

    fn parse(accept: &str) -> Result<Accept, Failure> {
        Accept::parse(&headers(accept), Include::Metadata, false)
    }

    #[rstest]
    #[case("", Shape::Object, false)]
    #[case("*/*", Shape::Object, false)]
    #[case("application/yaml", Shape::Object, true)]
    #[case("application/json;q=0.1, application/yaml;q=0.9", Shape::Object, true)]
    #[case("*/*, application/yaml", Shape::Object, true)]
    #[case("application/*;q=0.5, application/json;q=0.5", Shape::Object, false)]
    #[case("application/vnd.kubernetes.protobuf, application/json", Shape::Object, false)]
    #[case("application/json;as=Table;v=v1;g=meta.k8s.io", Shape::Table("v1", Include::Metadata), false)]
    #[case("application/json;as=Table;v=v9;g=meta.k8s.io,application/json", Shape::Object, false)]
    #[case("application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1", Shape::Partial("v1"), false)]
    #[case("application/json;stream=watch", Shape::Object, false)]
    fn the_best_clause_that_is_served_wins(#[case] accept: &str, #[case] shape: Shape, #[case] yaml: bool) {
        assert_eq!(parse(accept).unwrap(), Accept { shape, yaml, gzip: false });
    }

    #[rstest]
    #[case("text/html", true)]
    #[case("application/*", true)]
    #[case("application/cbor", true)]
    #[case("application/json;as=Pod;v=v1;g=meta.k8s.io", false)]
    #[case("application/json;v=v1", false)]
    #[case("application/json;stream=other", false)]
    #[case("application/json;sv=v9", false)]
    #[case("application/yaml;stream=watch", false)]
    fn what_is_not_served_is_refused_by_the_route_or_by_the_resource(
        #[case] accept: &str,
        #[case] route: bool,
    ) {
        assert_eq!(matches!(parse(accept).unwrap_err(), Failure::NotAcceptable(_)), route, "{accept}");
    }

    proptest! {
        #[test]
        fn any_header_is_understood_or_refused(accept in "[a-z/*;=,. 0-9]{0,60}|\\PC{0,40}") {
            let _ = parse(&accept);
            let _ = pretty(&headers(&accept), &Query::parse(&accept));
        }
    }
}
