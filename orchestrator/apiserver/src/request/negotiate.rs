//! Content negotiation: which representation an answer takes and how a body is read.
//!
//! Clients of Go send `application/vnd.kubernetes.protobuf` first; it is skipped and the next clause wins.

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE};
use wherry_schema::Format;

use crate::error::Failure;
use crate::request::protobuf;

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

/// What an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// The objects themselves.
    Object,
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
}

impl Default for Accept {
    fn default() -> Self {
        Self { shape: Shape::Object, yaml: false }
    }
}

const AVAILABLE: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
const AVAILABLE_LIST: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf, \
     application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

impl Accept {
    /// Picks the first clause, by weight, that can be served. `collection` only chooses the words of the error.
    pub(crate) fn parse(headers: &HeaderMap, include: Include, collection: bool) -> Result<Self, Failure> {
        let header = headers.get(ACCEPT).and_then(|v| v.to_str().ok()).unwrap_or_default();
        if header.trim().is_empty() {
            return Ok(Self::default());
        }
        let mut clauses: Vec<Clause<'_>> = header.split(',').map(Clause::parse).collect();
        clauses.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        if let Some(accept) = clauses.iter().find_map(|c| c.accept(include)) {
            return Ok(accept);
        }
        if clauses.iter().any(|c| c.media().is_some()) {
            return Err(Failure::NoSuchRepresentation);
        }
        Err(Failure::NotAcceptable(if collection { AVAILABLE_LIST } else { AVAILABLE }))
    }
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
        let media = parts.next().unwrap_or_default();
        let parameters: Vec<_> =
            parts.filter_map(|p| p.split_once('=')).map(|(k, v)| (k.trim(), v.trim())).collect();
        let weight = parameters.iter().find(|(k, _)| *k == "q").and_then(|(_, v)| v.parse().ok());
        Self { media, parameters, weight: weight.unwrap_or(1.0) }
    }

    fn get(&self, name: &str) -> &'a str {
        self.parameters.iter().find(|(k, _)| *k == name).map_or("", |(_, v)| v)
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
        let shape = match (self.get("as"), self.get("g"), self.get("v")) {
            ("", _, _) => Shape::Object,
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
        Some(Accept { shape, yaml })
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

/// Which patch a body is.
pub(crate) fn patch_type(headers: &HeaderMap) -> Result<PatchType, Failure> {
    match content_type(headers) {
        "application/json-patch+json" => Ok(PatchType::Json),
        "application/merge-patch+json" => Ok(PatchType::Merge),
        "application/strategic-merge-patch+json" => Ok(PatchType::Strategic),
        "application/apply-patch+yaml" | "application/apply-patch+cbor" => Err(Failure::UnsupportedPatch(
            "415: Unsupported Media Type: server-side apply is not implemented; use kubectl apply without \
             --server-side"
                .to_owned(),
        )),
        _ => Err(Failure::UnsupportedPatch("415: Unsupported Media Type".to_owned())),
    }
}
