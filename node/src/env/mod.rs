//! The environment of a container: from a Pod's `env` and `envFrom` to names and values, beside those that Services give all Pods.
//!
//! Order and precedence are upstream's: `envFrom` first, then `env`, which may refer to what came before with
//! `$(NAME)`; variables of Services fill in what is not set.
//!
//! Reading order: [`resolve`], `expand`, `services`, `fields`.

mod expand;
mod fields;
mod services;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::{
    ClusterTrustBundleProjection, ConfigMap, Container, EnvFromSource, EnvVar, EnvVarSource,
    PersistentVolume, Pod, PodCertificateProjection,
};
use kube::Client;
use tokio_util::sync::CancellationToken;
use wherry_runtime_api::CommonEnv;

pub(crate) use expand::{expand, expand_known};
pub(crate) use fields::{FieldError, NodeFields, field, resource};
pub(crate) use services::ServiceVariables;

use crate::claims::{self, ClaimError, ClaimOfPod};
use crate::csi::{self, Csi, CsiError};
use crate::objects::{ObjectError, Objects};
use crate::pod_certificates::{Credentials, PodCertificateError, PodCertificates};
use crate::tokens::{Token, TokenError, Tokens};
use crate::trust_bundles::{BundleError, TrustBundles};

/// Why an environment cannot be made. The words are kubelet's.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum EnvError {
    /// The object a variable refers to does not exist.
    #[error("{kind} {name:?} not found")]
    Missing {
        /// `configmap` or `secret`.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The object does not have the key.
    #[error("couldn't find key {key} in {kind} {namespace}/{name}")]
    Key {
        /// `ConfigMap` or `Secret`.
        kind: &'static str,
        /// The key.
        key: String,
        /// The object's namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// A value is not text.
    #[error("key {key} of secret {name} is not UTF-8 and cannot be an environment variable")]
    NotText {
        /// The key.
        key: String,
        /// The object.
        name: String,
    },
    /// A field or resource cannot be shown.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// An object cannot be read.
    #[error(transparent)]
    Object(#[from] ObjectError),
    /// A source this node does not know.
    #[error("env {0:?}: valueFrom names no source this node supports")]
    Source(String),
}

/// Where values of ConfigMaps and Secrets, and tokens, come from; `None` if there is no such object.
#[async_trait]
pub(crate) trait Sources: Sync {
    /// The ConfigMap.
    async fn config_map(&self, name: &str) -> Result<Option<Arc<ConfigMap>>, ObjectError>;
    /// The data of the Secret.
    async fn secret(&self, name: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>, ObjectError>;
    /// A token of the pod's ServiceAccount for this audience and so many seconds.
    async fn token(&self, audience: &str, seconds: Option<i64>) -> Result<Token, TokenError>;
    /// The certificates of authorities that a source names.
    async fn trust_anchors(&self, wanted: &ClusterTrustBundleProjection) -> Result<String, BundleError>;
    /// The pod's certificate for this source of this volume, with its key.
    async fn certificate(
        &self,
        place: (&str, usize),
        wanted: &PodCertificateProjection,
    ) -> Result<Credentials, PodCertificateError>;
    /// The volume that a claim of the pod's namespace is bound to.
    async fn volume(&self, claim: &ClaimOfPod<'_>) -> Result<PersistentVolume, ClaimError>;
    /// A volume that a driver gives, or gave before, with files of this group.
    async fn csi(
        &self,
        source: csi::Source<'_>,
        group: Option<u32>,
        again: bool,
    ) -> Result<csi::Given, CsiError>;
}

/// What one pod can read.
pub(crate) struct PodSources<'a> {
    /// Where claims and volumes are read.
    pub(crate) client: &'a Client,
    /// Where they are followed.
    pub(crate) objects: &'a Objects,
    /// Where its tokens are.
    pub(crate) tokens: &'a Tokens,
    /// Whom it may believe.
    pub(crate) trust_bundles: &'a TrustBundles,
    /// Where its certificates are.
    pub(crate) pod_certificates: &'a PodCertificates,
    /// The drivers of the node.
    pub(crate) csi: &'a Csi,
    /// The pod.
    pub(crate) pod: &'a Pod,
    /// Cancelled when it ends.
    pub(crate) ending: &'a CancellationToken,
}

impl PodSources<'_> {
    fn uid(&self) -> &str {
        self.pod.metadata.uid.as_deref().unwrap_or_default()
    }

    fn namespace(&self) -> &str {
        self.pod.metadata.namespace.as_deref().unwrap_or_default()
    }
}

#[async_trait]
impl Sources for PodSources<'_> {
    async fn config_map(&self, name: &str) -> Result<Option<Arc<ConfigMap>>, ObjectError> {
        self.objects.config_map(self.uid(), self.namespace(), name).await
    }

    async fn secret(&self, name: &str) -> Result<Option<BTreeMap<String, Vec<u8>>>, ObjectError> {
        let object = self.objects.secret(self.uid(), self.namespace(), name).await?;
        let bytes = |data: &BTreeMap<String, k8s_openapi::ByteString>| {
            data.iter().map(|(key, value)| (key.clone(), value.0.clone())).collect()
        };
        Ok(object.map(|object| object.data.as_ref().map(bytes).unwrap_or_default()))
    }

    async fn token(&self, audience: &str, seconds: Option<i64>) -> Result<Token, TokenError> {
        self.tokens.get(self.pod, audience, seconds).await
    }

    async fn trust_anchors(&self, wanted: &ClusterTrustBundleProjection) -> Result<String, BundleError> {
        self.trust_bundles.anchors(self.uid(), wanted).await
    }

    async fn certificate(
        &self,
        place: (&str, usize),
        wanted: &PodCertificateProjection,
    ) -> Result<Credentials, PodCertificateError> {
        self.pod_certificates.get(self.pod, place, wanted).await
    }

    async fn volume(&self, claim: &ClaimOfPod<'_>) -> Result<PersistentVolume, ClaimError> {
        claims::volume_of(self.client, self.pod, claim).await
    }

    async fn csi(
        &self,
        source: csi::Source<'_>,
        group: Option<u32>,
        again: bool,
    ) -> Result<csi::Given, CsiError> {
        let asked = csi::Asked { pod: self.pod, source, group, again, ending: self.ending };
        self.csi.set_up(self.tokens, &asked).await
    }
}

/// What an environment is made for.
pub(crate) struct Request<'a> {
    /// The pod.
    pub(crate) pod: &'a Pod,
    /// The container.
    pub(crate) container: &'a Container,
    /// What Services tell.
    pub(crate) services: &'a ServiceVariables,
    /// What the node knows.
    pub(crate) node: &'a NodeFields,
}

/// The variables of a container.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    /// Its own, each name once.
    pub(crate) own: Vec<(String, String)>,
    /// What Services tell; its own win over them.
    pub(crate) common: CommonEnv,
}

impl Environment {
    /// The value of a variable.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let own = self.own.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        own.or_else(|| self.common.get(name).map(|value| &**value))
    }
}

/// The variables of the container.
pub(crate) async fn resolve(request: &Request<'_>, sources: &dyn Sources) -> Result<Environment, EnvError> {
    let links = request.pod.spec.as_ref().and_then(|spec| spec.enable_service_links).unwrap_or(true);
    let namespace = request.pod.metadata.namespace.as_deref().unwrap_or_default();
    let common = request.services.of(namespace, links);
    let mut out = Variables::default();
    for source in request.container.env_from.iter().flatten() {
        add_all(source, sources, &mut out).await?;
    }
    for variable in request.container.env.iter().flatten() {
        let value = if let Some(source) = &variable.value_from {
            match value_from(request, variable, source, sources).await? {
                Some(value) => value,
                None => continue,
            }
        } else {
            let lookup = |name: &str| out.get(name).or_else(|| common.get(name).map(|value| &**value));
            expand(variable.value.as_deref().unwrap_or_default(), lookup)
        };
        out.set(variable.name.clone(), value);
    }
    Ok(Environment { own: out.all, common })
}

/// Variables in order of their first mention.
#[derive(Default)]
struct Variables {
    all: Vec<(String, String)>,
    /// Where each is: a ConfigMap may have many.
    places: HashMap<String, usize>,
}

impl Variables {
    fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.all.get(*self.places.get(name)?)?;
        Some(value)
    }

    fn set(&mut self, name: String, value: String) {
        if let Some(entry) = self.places.get(&name).and_then(|place| self.all.get_mut(*place)) {
            entry.1 = value;
            return;
        }
        self.places.insert(name.clone(), self.all.len());
        self.all.push((name, value));
    }
}

async fn add_all(source: &EnvFromSource, sources: &dyn Sources, out: &mut Variables) -> Result<(), EnvError> {
    let prefix = source.prefix.as_deref().unwrap_or_default();
    if let Some(reference) = &source.config_map_ref {
        match sources.config_map(&reference.name).await? {
            Some(object) => {
                for (key, value) in object.data.iter().flatten() {
                    out.set(format!("{prefix}{key}"), value.clone());
                }
            }
            None if reference.optional == Some(true) => {}
            None => return Err(EnvError::Missing { kind: "configmap", name: reference.name.clone() }),
        }
    }
    if let Some(reference) = &source.secret_ref {
        match sources.secret(&reference.name).await? {
            Some(data) => {
                for (key, value) in data {
                    let value = text(value, &key, &reference.name)?;
                    out.set(format!("{prefix}{key}"), value);
                }
            }
            None if reference.optional == Some(true) => {}
            None => return Err(EnvError::Missing { kind: "secret", name: reference.name.clone() }),
        }
    }
    Ok(())
}

fn text(value: Vec<u8>, key: &str, name: &str) -> Result<String, EnvError> {
    String::from_utf8(value).map_err(|_| EnvError::NotText { key: key.to_owned(), name: name.to_owned() })
}

/// The value of one variable; `None` if an optional reference leads nowhere.
async fn value_from(
    request: &Request<'_>,
    variable: &EnvVar,
    source: &EnvVarSource,
    sources: &dyn Sources,
) -> Result<Option<String>, EnvError> {
    let namespace = request.pod.metadata.namespace.as_deref().unwrap_or_default();
    if let Some(field_ref) = &source.field_ref {
        return Ok(Some(field(request.pod, &field_ref.field_path, request.node)?));
    }
    if let Some(selector) = &source.resource_field_ref {
        return Ok(Some(resource(request.pod, Some(request.container), selector, request.node)?));
    }
    if let Some(reference) = &source.config_map_key_ref {
        let object = sources.config_map(&reference.name).await?;
        let data = object.map(|object| object.data.clone().unwrap_or_default());
        let place = Place { kinds: ("configmap", "ConfigMap"), namespace, name: &reference.name };
        return place.take(data, &reference.key, reference.optional);
    }
    if let Some(reference) = &source.secret_key_ref {
        let data = sources.secret(&reference.name).await?;
        let place = Place { kinds: ("secret", "Secret"), namespace, name: &reference.name };
        let value = place.take(data, &reference.key, reference.optional)?;
        return value.map(|value| text(value, &reference.key, &reference.name)).transpose();
    }
    Err(EnvError::Source(variable.name.clone()))
}

/// Where a value is looked for, as errors name it.
struct Place<'a> {
    kinds: (&'static str, &'static str),
    namespace: &'a str,
    name: &'a str,
}

impl Place<'_> {
    fn take<V>(
        &self,
        data: Option<BTreeMap<String, V>>,
        key: &str,
        optional: Option<bool>,
    ) -> Result<Option<V>, EnvError> {
        let optional = optional == Some(true);
        match data.map(|mut data| data.remove(key)) {
            Some(Some(value)) => Ok(Some(value)),
            _ if optional => Ok(None),
            None => Err(EnvError::Missing { kind: self.kinds.0, name: self.name.to_owned() }),
            Some(None) => Err(EnvError::Key {
                kind: self.kinds.1,
                key: key.to_owned(),
                namespace: self.namespace.to_owned(),
                name: self.name.to_owned(),
            }),
        }
    }
}
