//! The files of configMap, secret, downwardAPI and projected volumes.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ClusterTrustBundleProjection, ConfigMap, DownwardAPIVolumeFile, KeyToPath, Pod, PodCertificateProjection,
    ServiceAccountTokenProjection, Volume,
};

use super::atomic::VolumeFile;
use super::{VolumeError, fs_group};
use crate::env::{NodeFields, Sources, field, resource};
use crate::pod_certificates::Credentials;

/// Kubernetes' default mode of such files.
const DEFAULT_MODE: i32 = 0o644;

/// One source of files.
enum Source<'a> {
    ConfigMap {
        name: &'a str,
        items: Option<&'a [KeyToPath]>,
        optional: bool,
    },
    Secret {
        name: &'a str,
        items: Option<&'a [KeyToPath]>,
        optional: bool,
    },
    DownwardApi(&'a [DownwardAPIVolumeFile]),
    Token(&'a ServiceAccountTokenProjection),
    Anchors(&'a ClusterTrustBundleProjection),
    Certificate(usize, &'a PodCertificateProjection),
    /// It names nothing that is known here.
    Unknown,
}

/// Sources and default mode of the volume; `None` if it is not made of files.
fn sources_of(volume: &Volume) -> Option<(Vec<Source<'_>>, i32)> {
    if let Some(v) = &volume.config_map {
        let source = Source::ConfigMap {
            name: &v.name,
            items: v.items.as_deref(),
            optional: v.optional == Some(true),
        };
        return Some((vec![source], v.default_mode.unwrap_or(DEFAULT_MODE)));
    }
    if let Some(v) = &volume.secret {
        let name = v.secret_name.as_deref().unwrap_or_default();
        let source = Source::Secret { name, items: v.items.as_deref(), optional: v.optional == Some(true) };
        return Some((vec![source], v.default_mode.unwrap_or(DEFAULT_MODE)));
    }
    if let Some(v) = &volume.downward_api {
        let source = Source::DownwardApi(v.items.as_deref().unwrap_or_default());
        return Some((vec![source], v.default_mode.unwrap_or(DEFAULT_MODE)));
    }
    let projected = volume.projected.as_ref()?;
    let mut sources = Vec::new();
    for (index, part) in projected.sources.iter().flatten().enumerate() {
        if let Some(v) = &part.config_map {
            let (items, optional) = (v.items.as_deref(), v.optional == Some(true));
            sources.push(Source::ConfigMap { name: &v.name, items, optional });
        } else if let Some(v) = &part.secret {
            let (items, optional) = (v.items.as_deref(), v.optional == Some(true));
            sources.push(Source::Secret { name: &v.name, items, optional });
        } else if let Some(v) = &part.downward_api {
            sources.push(Source::DownwardApi(v.items.as_deref().unwrap_or_default()));
        } else if let Some(v) = &part.service_account_token {
            sources.push(Source::Token(v));
        } else if let Some(v) = &part.cluster_trust_bundle {
            sources.push(Source::Anchors(v));
        } else if let Some(v) = &part.pod_certificate {
            sources.push(Source::Certificate(index, v));
        } else {
            sources.push(Source::Unknown);
        }
    }
    Some((sources, projected.default_mode.unwrap_or(DEFAULT_MODE)))
}

/// Whether the volume shows fields of the pod, which may change while it runs.
pub(super) fn shows_pod(volume: &Volume) -> bool {
    let parts = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
    volume.downward_api.is_some() || parts.into_iter().any(|part| part.downward_api.is_some())
}

/// What is in a volume made of files.
#[derive(Debug, Default)]
pub(super) struct Payload {
    /// The files.
    pub(super) files: Vec<VolumeFile>,
    /// When they are to be read again, though nothing changes.
    pub(super) refresh_at: Option<Timestamp>,
}

/// The content of the volume; `None` if it is not made of files.
pub(super) async fn read(
    pod: &Pod,
    volume: &Volume,
    sources: &dyn Sources,
    node: &NodeFields,
) -> Result<Option<Payload>, VolumeError> {
    let Some((parts, default_mode)) = sources_of(volume) else { return Ok(None) };
    let mut files = BTreeMap::new();
    let mut refresh_at = None;
    for part in parts {
        let read = match part {
            Source::ConfigMap { name, items, optional } => {
                let data = sources.config_map(name).await?.as_deref().map(contents);
                Object { kind: "configmap", name, data, optional }.files(items, default_mode)?
            }
            Source::Secret { name, items, optional } => {
                let data = sources.secret(name).await?;
                Object { kind: "secret", name, data, optional }.files(items, default_mode)?
            }
            Source::DownwardApi(items) => downward(pod, items, default_mode, node)?,
            Source::Token(wanted) => {
                let audience = wanted.audience.as_deref().unwrap_or_default();
                let token = sources.token(audience, wanted.expiration_seconds).await?;
                refresh_at = refresh_at.into_iter().chain([token.renew_at]).min();
                vec![secret_file(pod, &wanted.path, token.text, default_mode)]
            }
            Source::Anchors(wanted) => {
                let anchors = sources.trust_anchors(wanted).await?;
                vec![secret_file(pod, &wanted.path, anchors, default_mode)]
            }
            Source::Certificate(index, wanted) => {
                let credentials = sources.certificate((&volume.name, index), wanted).await?;
                certificate_files(pod, wanted, &credentials, default_mode)
            }
            Source::Unknown => return Err(VolumeError::Unsupported { what: "a projected source" }),
        };
        // A later source wins over an earlier one at the same path.
        files.extend(read.into_iter().map(|file| (file.path.clone(), file)));
    }
    Ok(Some(Payload { files: files.into_values().collect(), refresh_at }))
}

/// Text and bytes of a ConfigMap; no key is in both.
fn contents(object: &ConfigMap) -> BTreeMap<String, Vec<u8>> {
    let text = object.data.iter().flatten().map(|(key, text)| (key.clone(), text.clone().into_bytes()));
    let bytes = object.binary_data.iter().flatten().map(|(key, bytes)| (key.clone(), bytes.0.clone()));
    text.chain(bytes).collect()
}

/// The file of a token or a key. Where a group is to read it, nobody else may.
fn secret_file(pod: &Pod, path: &str, content: String, default_mode: i32) -> VolumeFile {
    let mode = bits(fs_group(pod).map(|_| 0o600), default_mode);
    VolumeFile { path: path.to_owned(), content: content.into_bytes(), mode }
}

/// The files of a certificate: with its key in one, or each by itself.
fn certificate_files(
    pod: &Pod,
    wanted: &PodCertificateProjection,
    credentials: &Credentials,
    default_mode: i32,
) -> Vec<VolumeFile> {
    let Credentials { key, chain } = credentials;
    let files = [
        (&wanted.credential_bundle_path, format!("{key}{chain}")),
        (&wanted.key_path, key.clone()),
        (&wanted.certificate_chain_path, chain.clone()),
    ];
    let named = files.into_iter().filter_map(|(path, content)| {
        let path = path.as_deref().filter(|path| !path.is_empty())?;
        Some(secret_file(pod, path, content, default_mode))
    });
    named.collect()
}

/// The data of a ConfigMap or Secret.
struct Object<'a> {
    kind: &'static str,
    name: &'a str,
    data: Option<BTreeMap<String, Vec<u8>>>,
    optional: bool,
}

impl Object<'_> {
    fn files(self, items: Option<&[KeyToPath]>, default_mode: i32) -> Result<Vec<VolumeFile>, VolumeError> {
        let Some(mut data) = self.data else {
            if self.optional {
                return Ok(Vec::new());
            }
            return Err(VolumeError::Missing { kind: self.kind, name: self.name.to_owned() });
        };
        let Some(items) = items.filter(|items| !items.is_empty()) else {
            let file = |(path, content)| VolumeFile { path, content, mode: bits(None, default_mode) };
            return Ok(data.into_iter().map(file).collect());
        };
        let mut files = Vec::new();
        for item in items {
            match data.remove(&item.key) {
                Some(content) => files.push(VolumeFile {
                    path: item.path.clone(),
                    content,
                    mode: bits(item.mode, default_mode),
                }),
                None if self.optional => {}
                None => return Err(VolumeError::Key { key: item.key.clone(), kind: self.kind }),
            }
        }
        Ok(files)
    }
}

fn downward(
    pod: &Pod,
    items: &[DownwardAPIVolumeFile],
    default_mode: i32,
    node: &NodeFields,
) -> Result<Vec<VolumeFile>, VolumeError> {
    let mut files = Vec::new();
    for item in items {
        let content = if let Some(selector) = &item.resource_field_ref {
            resource(pod, None, selector, node)?
        } else {
            let path = item.field_ref.as_ref().map(|field| field.field_path.as_str()).unwrap_or_default();
            field(pod, path, node)?
        };
        let mode = bits(item.mode, default_mode);
        files.push(VolumeFile { path: item.path.clone(), content: content.into_bytes(), mode });
    }
    Ok(files)
}

fn bits(mode: Option<i32>, default_mode: i32) -> u32 {
    u32::try_from(mode.unwrap_or(default_mode)).unwrap_or(0o644) & 0o777
}
