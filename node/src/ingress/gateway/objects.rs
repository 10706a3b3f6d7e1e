//! Objects of the Gateway API as they are written, as far as they say something here. Routes: see `route`.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kube::ResourceExt as _;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use wherry_api::gateway::GROUP;

/// A kind of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::ingress) enum Kind {
    GatewayClass,
    Gateway,
    HttpRoute,
    GrpcRoute,
    ReferenceGrant,
}

impl Kind {
    /// All of them.
    pub(in crate::ingress) const ALL: [Self; 5] =
        [Self::GatewayClass, Self::Gateway, Self::HttpRoute, Self::GrpcRoute, Self::ReferenceGrant];

    /// What it is called in objects.
    pub(super) fn name(self) -> &'static str {
        self.words().1
    }

    /// The name of its definition.
    pub(in crate::ingress) fn definition(self) -> String {
        format!("{}.{GROUP}", self.words().2)
    }

    pub(in crate::ingress) fn resource(self) -> ApiResource {
        let (version, kind, plural) = self.words();
        ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, version, kind), plural)
    }

    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::GatewayClass => ("v1", "GatewayClass", "gatewayclasses"),
            Self::Gateway => ("v1", "Gateway", "gateways"),
            Self::HttpRoute => ("v1", "HTTPRoute", "httproutes"),
            Self::GrpcRoute => ("v1", "GRPCRoute", "grpcroutes"),
            Self::ReferenceGrant => ("v1beta1", "ReferenceGrant", "referencegrants"),
        }
    }
}

/// An object: what it says, and what it was told.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::ingress) struct Object<S> {
    /// Of two that say something of the same requests the older one counts.
    pub(super) created: Option<Timestamp>,
    pub(super) generation: i64,
    pub(super) version: String,
    pub(super) spec: S,
    pub(super) status: Value,
}

impl<S> Object<S> {
    /// `None` for one that says nothing that could be understood, which its schema does not let in.
    pub(super) fn parse<W: DeserializeOwned>(object: &DynamicObject, read: impl Fn(W) -> S) -> Option<Self> {
        let written = W::deserialize(object.data.get("spec")?);
        let written = written.inspect_err(|error| {
            tracing::warn!(kind = ?object.types, name = object.name_any(), %error, "an object of the Gateway API is not understood");
        });
        Some(Self {
            created: object.metadata.creation_timestamp.as_ref().map(|time| time.0),
            generation: object.metadata.generation.unwrap_or_default(),
            version: object.metadata.resource_version.clone()?,
            spec: read(written.ok()?),
            status: object.data.get("status").cloned().unwrap_or_default(),
        })
    }
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::ingress) struct ClassSpec {
    pub(super) controller_name: String,
    pub(super) parameters_ref: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::ingress) struct GatewaySpec {
    pub(super) gateway_class_name: String,
    pub(super) listeners: Vec<Listener>,
    #[serde(default)]
    pub(super) addresses: Vec<GatewayAddress>,
    pub(super) infrastructure: Option<Infrastructure>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct GatewayAddress {
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    pub(super) value: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Infrastructure {
    pub(super) parameters_ref: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Listener {
    pub(super) name: String,
    pub(super) hostname: Option<String>,
    pub(super) port: u16,
    pub(super) protocol: String,
    pub(super) tls: Option<ListenerTls>,
    #[serde(default)]
    pub(super) allowed_routes: AllowedRoutes,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListenerTls {
    pub(super) mode: Option<String>,
    #[serde(default)]
    pub(super) certificate_refs: Vec<Reference>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct AllowedRoutes {
    #[serde(default)]
    pub(super) namespaces: AllowedNamespaces,
    pub(super) kinds: Option<Vec<AllowedKind>>,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub(super) struct AllowedNamespaces {
    pub(super) from: Option<String>,
    pub(super) selector: Option<LabelSelector>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct AllowedKind {
    pub(super) group: Option<String>,
    pub(super) kind: String,
}

/// A reference to an object that may be in another namespace.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Reference {
    pub(super) group: Option<String>,
    pub(super) kind: Option<String>,
    pub(super) namespace: Option<String>,
    pub(super) name: String,
    pub(super) section_name: Option<String>,
    pub(super) port: Option<u16>,
    pub(super) weight: Option<u32>,
}

impl Reference {
    /// Whether it is about this kind of this group, which is the one that is meant where it names none.
    pub(super) fn is(&self, group: &str, kind: &str) -> bool {
        self.group.as_deref().is_none_or(|named| named == group)
            && self.kind.as_deref().is_none_or(|named| named == kind)
    }
}

/// Who may refer to what in the grant's namespace.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(in crate::ingress) struct GrantSpec {
    pub(super) from: Vec<GrantFrom>,
    pub(super) to: Vec<GrantTo>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct GrantFrom {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct GrantTo {
    pub(super) group: String,
    pub(super) kind: String,
    pub(super) name: Option<String>,
}

/// The labels of a namespace.
pub(super) type Labels = BTreeMap<String, String>;
