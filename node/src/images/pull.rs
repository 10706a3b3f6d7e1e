//! Fetches one image from its registry into the content store.

use futures::{StreamExt, TryStreamExt};
use oci_client::Reference;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use crate::context::chain;

use super::classify::{Selection, Shape, ShapeError, classify, native_architecture};
use super::layer::{LayerError, check_size, extract_wasm};
use super::manifest::{ACCEPTED, Descriptor, ImageConfig, Manifest};
use super::reference::ImageReference;
use super::registries::{Endpoint, Registries, Server};
use super::registry::{Account, Client, RegistryError};
use super::signatures::{self, Evidence, Rejected, SignaturePolicy};
use super::store::{ContentStore, Image, ImageKind, Ingest, Keep, Lease, StoreError};

/// Largest manifest or image configuration that is read.
pub(super) const MAX_DOCUMENT: u64 = 4 << 20;
const PARALLEL_LAYERS: usize = 3;
/// How often in a row a transfer may break off without having brought anything.
const IDLE_TRANSFERS: u32 = 3;
/// The wait before a transfer is taken up again, for the first time.
const RESUME: Duration = Duration::from_millis(100);

/// The step of fetching an image that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    /// The registry cannot be spoken to as its configuration says.
    #[error("cannot connect to {host:?} as configured")]
    Connect {
        /// The host.
        host: String,
        /// What the registry client said.
        source: Box<RegistryError>,
    },
    /// The registry has no such image, refuses it or cannot be reached.
    #[error("failed to resolve reference {reference:?}")]
    Resolve {
        /// The complete name.
        reference: String,
        /// What the registry client said.
        source: Box<RegistryError>,
    },
    /// A manifest is not what its digest says.
    #[error("manifest does not match its digest: expected {expected}, received {found}")]
    ManifestDigest {
        /// What was asked for.
        expected: String,
        /// What came.
        found: String,
    },
    /// A document cannot be parsed.
    #[error("cannot parse {what}")]
    Parse {
        /// Which document.
        what: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
    /// A document is too large.
    #[error("{what} of {size} bytes is larger than 4 MiB")]
    TooLarge {
        /// Which document.
        what: &'static str,
        /// Its size.
        size: u64,
    },
    /// The index has nothing that runs here.
    #[error("no match for platform {wanted} in manifest: it has {found}")]
    Platform {
        /// What would run here.
        wanted: String,
        /// What there is.
        found: String,
    },
    /// A blob cannot be fetched.
    #[error("failed to fetch {digest}")]
    Fetch {
        /// The blob.
        digest: String,
        /// What the registry client said.
        source: Box<RegistryError>,
    },
    /// A blob broke off.
    #[error("transfer of {digest} broke off")]
    Transfer {
        /// The blob.
        digest: String,
        /// The cause.
        source: std::io::Error,
    },
    /// A blob does not end where it should.
    #[error("{digest} is longer than the {size} bytes that were announced")]
    Longer {
        /// The blob.
        digest: String,
        /// Its size.
        size: u64,
    },
    /// Content cannot be kept, or is not what was asked for.
    #[error("cannot keep content")]
    Store(#[from] StoreError),
    /// The image is of no shape that can run.
    #[error("unusable image")]
    Shape(#[from] ShapeError),
    /// The binary cannot be taken out of the image.
    #[error("cannot find the WebAssembly binary")]
    Layer(#[from] LayerError),
    /// The image may not run.
    #[error(transparent)]
    Signature(#[from] Rejected),
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

impl PullError {
    /// Whether another place may do better.
    fn is_of_endpoint(&self) -> bool {
        match self {
            Self::Connect { .. }
            | Self::Resolve { .. }
            | Self::ManifestDigest { .. }
            | Self::Parse { .. }
            | Self::Fetch { .. }
            | Self::Transfer { .. }
            | Self::Longer { .. }
            | Self::Signature(_)
            | Self::Store(StoreError::Mismatch { .. }) => true,
            Self::TooLarge { .. }
            | Self::Platform { .. }
            | Self::Store(_)
            | Self::Shape(_)
            | Self::Layer(_)
            | Self::Stopping => false,
        }
    }
}

/// Fetches images.
pub(crate) struct Puller {
    store: Arc<ContentStore>,
    registries: Arc<Registries>,
    policy: Arc<SignaturePolicy>,
    /// What talks to servers with no account or with the one that is configured.
    clients: Mutex<HashMap<(Server, Option<String>), Client>>,
}

/// A client of the endpoint.
pub(super) fn connect(endpoint: &Endpoint) -> Result<Client, PullError> {
    Client::new(endpoint)
        .map_err(|source| PullError::Connect { host: endpoint.server.host.clone(), source: Box::new(source) })
}

impl Puller {
    /// Fetches into `store` what the policy lets run.
    pub(crate) fn new(
        store: Arc<ContentStore>,
        registries: Arc<Registries>,
        policy: Arc<SignaturePolicy>,
    ) -> Self {
        Self { store, registries, policy, clients: Mutex::default() }
    }

    /// Fetches what is missing of the image, from whoever has it, and names it `index_name` in the store.
    pub(crate) async fn pull(
        &self,
        reference: &ImageReference,
        selection: Selection,
        auth: &Account,
        index_name: &str,
    ) -> Result<Arc<Image>, PullError> {
        // Until the image has a name, nobody knows what it needs.
        let lease = self.store.lease();
        let (mirrors, last) = self.registries.endpoints(reference, auth);
        for mirror in &mirrors {
            match self.pull_from(mirror, reference, selection, &lease).await {
                Err(error) if error.is_of_endpoint() => {
                    let mirror = &mirror.server.host;
                    tracing::info!(
                        mirror,
                        image = reference.full_name(),
                        error = chain(&error),
                        "a mirror was passed over"
                    );
                }
                result => return Ok(self.store.record(index_name, result?)?),
            }
        }
        let image = self.pull_from(&last, reference, selection, &lease).await?;
        Ok(self.store.record(index_name, image)?)
    }

    async fn pull_from(
        &self,
        endpoint: &Endpoint,
        image: &ImageReference,
        selection: Selection,
        lease: &Lease,
    ) -> Result<Image, PullError> {
        let (store, policy) = (&self.store, &*self.policy);
        let pull = Pull { store, policy, client: self.client(endpoint)?, image, endpoint, lease };
        pull.run(selection).await
    }

    /// A client that holds somebody's credentials serves nobody else.
    fn client(&self, endpoint: &Endpoint) -> Result<Client, PullError> {
        if endpoint.is_private {
            return connect(endpoint);
        }
        let key = (endpoint.server.clone(), endpoint.stands_for.clone());
        let known = self.clients.lock().get(&key).cloned();
        if let Some(client) = known {
            return Ok(client);
        }
        let client = connect(endpoint)?;
        self.clients.lock().insert(key, client.clone());
        Ok(client)
    }
}

struct Pull<'a> {
    store: &'a Arc<ContentStore>,
    policy: &'a SignaturePolicy,
    client: Client,
    image: &'a ImageReference,
    endpoint: &'a Endpoint,
    lease: &'a Lease,
}

impl Pull<'_> {
    async fn run(&self, selection: Selection) -> Result<Image, PullError> {
        let (top, digest) = self.manifest(&self.endpoint.reference, self.image.digest()).await?;
        let (manifest, chosen) = if top.manifests.is_empty() {
            (top, None)
        } else {
            let (manifest, digest) = self.choose(&top, selection).await?;
            (manifest, Some(digest))
        };
        let evidence = self.evidence(&digest, chosen).await?;
        let descriptor = manifest.config.clone().unwrap_or_default();
        let config = self.config(&descriptor).await?;
        let shape = classify(&manifest, &config)?;
        match &shape {
            Shape::WasmLayer(layer) => {
                check_size(&layer.digest, layer.size)?;
                self.blob(layer).await?;
            }
            Shape::WasmInImage { .. } | Shape::Oci => self.layers(&manifest).await?,
        }
        let (kind, size, config) = self.take(shape, manifest, config).await?;
        let default_args = default_args(&kind, config);
        let repo_digest = self.image.repo_digest(&digest);
        let size = size + descriptor.size;
        Ok(Image { repo_digest, size, default_args, kind, keep: Keep::No, evidence })
    }

    /// What shows that the image may run, as its policy wants it: signatures of what its name stands for, or of its manifest.
    async fn evidence(&self, top: &str, manifest: Option<String>) -> Result<Evidence, PullError> {
        let mut evidence = Evidence { manifest, signatures: Vec::new() };
        let chosen = evidence.manifest.clone();
        let digests: Vec<&str> = std::iter::once(top).chain(chosen.as_deref()).collect();
        if !self.policy.wants_signatures(self.image) {
            self.policy.check(self.image, &digests, &evidence)?;
            return Ok(evidence);
        }
        for digest in &digests {
            evidence.signatures.extend(signatures::fetch(&self.client, self.endpoint, digest).await?);
            if self.policy.check(self.image, &digests, &evidence).is_ok() {
                return Ok(evidence);
            }
        }
        self.policy.check(self.image, &digests, &evidence)?;
        Ok(evidence)
    }

    async fn manifest(
        &self,
        reference: &Reference,
        digest: Option<&str>,
    ) -> Result<(Manifest, String), PullError> {
        let name = reference.digest().or(reference.tag()).unwrap_or_default();
        let bytes = self.client.manifest(reference.repository(), name, (ACCEPTED, MAX_DOCUMENT)).await;
        let failed = |source| PullError::Resolve { reference: reference.whole(), source: Box::new(source) };
        let bytes = bytes.map_err(failed)?;
        let found = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)));
        if let Some(expected) = digest
            && expected != found
        {
            return Err(PullError::ManifestDigest { expected: expected.to_owned(), found });
        }
        let manifest =
            serde_json::from_slice(&bytes).map_err(|source| PullError::Parse { what: "manifest", source })?;
        Ok((manifest, found))
    }

    async fn choose(&self, index: &Manifest, selection: Selection) -> Result<(Manifest, String), PullError> {
        let architecture = native_architecture();
        let chosen = selection.choose(&index.manifests, architecture).ok_or_else(|| {
            let found: Vec<String> = index
                .manifests
                .iter()
                .filter_map(|d| d.platform.as_ref())
                .map(|p| format!("{}/{}", p.os, p.architecture))
                .collect();
            let wanted = match selection {
                Selection::Wasm => "wasi/wasm".to_owned(),
                Selection::Native => format!("linux/{architecture}"),
                Selection::NativeFirst | Selection::WasmFirst => format!("linux/{architecture} or wasi/wasm"),
            };
            PullError::Platform { wanted, found: found.join(", ") }
        })?;
        let reference = self.endpoint.reference.clone_with_digest(chosen.digest.clone());
        self.manifest(&reference, Some(&chosen.digest)).await
    }

    /// The image configuration; an artifact's configuration, whatever it is, counts as an empty one.
    async fn config(&self, descriptor: &Descriptor) -> Result<ImageConfig, PullError> {
        if !descriptor.is_image_config() {
            return Ok(ImageConfig::default());
        }
        if descriptor.size > MAX_DOCUMENT {
            return Err(PullError::TooLarge { what: "image configuration", size: descriptor.size });
        }
        self.blob(descriptor).await?;
        let path = self.store.blob_path(&descriptor.digest)?;
        let bytes = tokio::fs::read(&path).await.map_err(|source| StoreError::io("read", &path, source))?;
        serde_json::from_slice(&bytes)
            .map_err(|source| PullError::Parse { what: "image configuration", source })
    }

    async fn layers(&self, manifest: &Manifest) -> Result<(), PullError> {
        let blobs: Vec<_> = manifest.layers.iter().map(|layer| self.blob(layer)).collect();
        futures::stream::iter(blobs).buffer_unordered(PARALLEL_LAYERS).try_collect().await
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<(), PullError> {
        self.store.blob_path(&descriptor.digest)?;
        self.lease.hold(&descriptor.digest);
        if self.store.has(&descriptor.digest) {
            return Ok(());
        }
        let mut ingest = self.store.ingest()?;
        let mut idle = 0;
        // What is complete is judged by its digest, whatever the client says of it.
        while let Err(error) = self.receive(descriptor, &mut ingest, &mut idle).await {
            if descriptor.size > 0 && ingest.length() == descriptor.size {
                break;
            }
            let is_broken = matches!(error, PullError::Fetch { .. } | PullError::Transfer { .. });
            if !is_broken || ingest.length() == 0 || idle >= IDLE_TRANSFERS {
                return Err(error);
            }
            tracing::debug!(
                digest = descriptor.digest,
                at = ingest.length(),
                error = chain(&error),
                "a transfer is taken up again"
            );
            tokio::time::sleep(RESUME * 2_u32.pow(idle)).await;
        }
        let (store, digest) = (self.store.clone(), descriptor.digest.clone());
        let kept = tokio::task::spawn_blocking(move || ingest.finish(&store, Some(&digest))).await;
        kept.map_err(|_| PullError::Stopping)??;
        Ok(())
    }

    /// Fetches what is missing of a blob; `idle` counts the transfers in a row that brought nothing.
    async fn receive(
        &self,
        descriptor: &Descriptor,
        ingest: &mut Ingest,
        idle: &mut u32,
    ) -> Result<(), PullError> {
        let digest = || descriptor.digest.clone();
        *idle += 1;
        let (at, repository) = (ingest.length(), self.endpoint.reference.repository());
        let blob = self.client.blob(repository, &descriptor.digest, at).await;
        let blob = blob.map_err(|source| PullError::Fetch { digest: digest(), source: Box::new(source) })?;
        if at > 0 && !blob.is_partial {
            ingest.restart()?;
        }
        let mut stream = blob.stream;
        while let Some(chunk) = stream.next().await {
            let chunk = chunk.map_err(|source| PullError::Transfer { digest: digest(), source })?;
            ingest.push(&chunk)?;
            *idle = 0;
            if descriptor.size > 0 && ingest.length() > descriptor.size {
                return Err(PullError::Longer { digest: digest(), size: descriptor.size });
            }
        }
        if ingest.length() < descriptor.size {
            let source = std::io::ErrorKind::UnexpectedEof.into();
            return Err(PullError::Transfer { digest: digest(), source });
        }
        Ok(())
    }

    /// What the image is made of, once all of it is here.
    async fn take(
        &self,
        shape: Shape,
        manifest: Manifest,
        config: ImageConfig,
    ) -> Result<(ImageKind, u64, ImageConfig), PullError> {
        let store = self.store.clone();
        let work = move || -> Result<_, LayerError> {
            let (kind, size) = kind_of(&store, shape, &manifest, &config)?;
            Ok((kind, size, config))
        };
        let taken = tokio::task::spawn_blocking(work).await.map_err(|_| PullError::Stopping)??;
        if let ImageKind::Wasm { digest, .. } = &taken.0 {
            self.lease.hold(digest);
        }
        Ok(taken)
    }
}

/// What an image of this shape is made of, and its size; all of it is here. Blocks.
pub(super) fn kind_of(
    store: &ContentStore,
    shape: Shape,
    manifest: &Manifest,
    config: &ImageConfig,
) -> Result<(ImageKind, u64), LayerError> {
    let size = manifest.layers.iter().map(|layer| layer.size).sum();
    let layers = || manifest.layers.iter().map(|l| (l.digest.clone(), l.media_type.clone())).collect();
    Ok(match shape {
        Shape::WasmLayer(layer) => (wasm(layer.digest, config), layer.size),
        Shape::WasmInImage { file } => {
            let layers: Vec<(String, String)> = layers();
            (wasm(extract_wasm(store, &layers, file.as_deref())?, config), size)
        }
        Shape::Oci => {
            let config = manifest.config.as_ref().map(|config| config.digest.clone()).unwrap_or_default();
            (ImageKind::Oci { config, layers: layers() }, size)
        }
    })
}

fn wasm(digest: String, config: &ImageConfig) -> ImageKind {
    ImageKind::Wasm { digest, entrypoint: config.config.entrypoint.clone(), env: config.config.env.clone() }
}

/// The arguments of an image that its runtime does not read out of it.
pub(super) fn default_args(kind: &ImageKind, config: ImageConfig) -> Vec<String> {
    match kind {
        ImageKind::Wasm { .. } => config.config.cmd,
        ImageKind::Oci { .. } => Vec::new(),
    }
}
