//! Fetches one image from its registry into the content store.

use futures::{StreamExt, TryStreamExt};
use oci_client::Reference;
use oci_client::client::{ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::manifest::OciDescriptor;
use oci_client::secrets::RegistryAuth;
use sha2::{Digest, Sha256};

use std::sync::Arc;

use super::classify::{Selection, Shape, ShapeError, classify, native_architecture};
use super::layer::{LayerError, extract_wasm};
use super::manifest::{ACCEPTED, Descriptor, ImageConfig, Manifest};
use super::reference::ImageReference;
use super::store::{ContentStore, Image, ImageKind, StoreError};

/// Largest manifest or image configuration that is read.
const MAX_DOCUMENT: u64 = 4 << 20;
const PARALLEL_LAYERS: usize = 3;

/// The step of fetching an image that failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PullError {
    /// The registry has no such image, refuses it or cannot be reached.
    #[error("failed to resolve reference {reference:?}")]
    Resolve {
        /// The complete name.
        reference: String,
        /// What the registry client said.
        source: Box<OciDistributionError>,
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
        source: Box<OciDistributionError>,
    },
    /// A blob broke off.
    #[error("transfer of {digest} broke off")]
    Transfer {
        /// The blob.
        digest: String,
        /// The cause.
        source: std::io::Error,
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
    /// The agent is stopping.
    #[error("the agent is stopping")]
    Stopping,
}

/// Fetches images.
pub(crate) struct Puller {
    store: Arc<ContentStore>,
    http: oci_client::Client,
    https: oci_client::Client,
}

fn client(protocol: ClientProtocol) -> oci_client::Client {
    // The client asks for the process's default TLS provider; whoever set one before has set the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    oci_client::Client::new(ClientConfig {
        protocol,
        user_agent: concat!("wherry/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    })
}

impl Puller {
    /// Fetches into `store`.
    pub(crate) fn new(store: Arc<ContentStore>) -> Self {
        Self { store, http: client(ClientProtocol::Http), https: client(ClientProtocol::Https) }
    }

    /// Fetches what is missing of the image and names it `index_name` in the store.
    pub(crate) async fn pull(
        &self,
        reference: &ImageReference,
        selection: Selection,
        auth: &RegistryAuth,
        index_name: &str,
    ) -> Result<Arc<Image>, PullError> {
        let pull = Pull { store: &self.store, client: self.client(reference, auth), reference, auth };
        let image = pull.run(selection).await?;
        Ok(self.store.record(index_name, image)?)
    }

    /// A client that holds somebody's credentials serves nobody else.
    fn client(&self, reference: &ImageReference, auth: &RegistryAuth) -> oci_client::Client {
        match (auth, reference.is_loopback()) {
            (RegistryAuth::Anonymous, true) => self.http.clone(),
            (RegistryAuth::Anonymous, false) => self.https.clone(),
            (_, true) => client(ClientProtocol::Http),
            (_, false) => client(ClientProtocol::Https),
        }
    }
}

struct Pull<'a> {
    store: &'a Arc<ContentStore>,
    client: oci_client::Client,
    reference: &'a ImageReference,
    auth: &'a RegistryAuth,
}

impl Pull<'_> {
    async fn run(&self, selection: Selection) -> Result<Image, PullError> {
        let (top, digest) = self.manifest(self.reference.registry_form(), self.reference.digest()).await?;
        let manifest = if top.manifests.is_empty() { top } else { self.choose(&top, selection).await? };
        let descriptor = manifest.config.clone().unwrap_or_default();
        let config = self.config(&descriptor).await?;
        let (kind, size) = match classify(&manifest, &config)? {
            Shape::WasmLayer(layer) => {
                self.blob(&layer).await?;
                (wasm(layer.digest.clone(), &config), layer.size)
            }
            Shape::WasmInImage { file } => {
                let (layers, size) = self.layers(&manifest).await?;
                (wasm(self.extract(layers, file).await?, &config), size)
            }
            Shape::Oci => {
                let (layers, size) = self.layers(&manifest).await?;
                (ImageKind::Oci { config: descriptor.digest.clone(), layers }, size)
            }
        };
        let default_args = default_args(&kind, config);
        let repo_digest = self.reference.repo_digest(&digest);
        Ok(Image { repo_digest, size: size + descriptor.size, default_args, kind })
    }

    async fn manifest(
        &self,
        reference: &Reference,
        digest: Option<&str>,
    ) -> Result<(Manifest, String), PullError> {
        let (bytes, _) =
            self.client.pull_manifest_raw(reference, self.auth, ACCEPTED).await.map_err(|source| {
                PullError::Resolve { reference: reference.whole(), source: Box::new(source) }
            })?;
        let size = bytes.len() as u64;
        if size > MAX_DOCUMENT {
            return Err(PullError::TooLarge { what: "manifest", size });
        }
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

    async fn choose(&self, index: &Manifest, selection: Selection) -> Result<Manifest, PullError> {
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
        let reference = self.reference.at_digest(&chosen.digest);
        Ok(self.manifest(&reference, Some(&chosen.digest)).await?.0)
    }

    /// The image configuration; an artifact's configuration, whatever it is, counts as an empty one.
    async fn config(&self, descriptor: &Descriptor) -> Result<ImageConfig, PullError> {
        let is_image = descriptor.media_type.contains("image") || descriptor.media_type.is_empty();
        if descriptor.digest.is_empty() || !is_image {
            return Ok(ImageConfig::default());
        }
        if descriptor.size > MAX_DOCUMENT {
            return Err(PullError::TooLarge { what: "image configuration", size: descriptor.size });
        }
        self.blob(descriptor).await?;
        let path = self.store.blob_path(&descriptor.digest)?;
        let bytes =
            tokio::fs::read(&path).await.map_err(|source| StoreError::Io { action: "read", path, source })?;
        serde_json::from_slice(&bytes)
            .map_err(|source| PullError::Parse { what: "image configuration", source })
    }

    async fn layers(&self, manifest: &Manifest) -> Result<(Vec<(String, String)>, u64), PullError> {
        let blobs: Vec<_> = manifest.layers.iter().map(|layer| self.blob(layer)).collect();
        futures::stream::iter(blobs).buffer_unordered(PARALLEL_LAYERS).try_collect::<Vec<()>>().await?;
        let layers = manifest.layers.iter().map(|l| (l.digest.clone(), l.media_type.clone())).collect();
        Ok((layers, manifest.layers.iter().map(|layer| layer.size).sum()))
    }

    async fn blob(&self, descriptor: &Descriptor) -> Result<(), PullError> {
        self.store.blob_path(&descriptor.digest)?;
        if self.store.has(&descriptor.digest) {
            return Ok(());
        }
        let request = OciDescriptor {
            media_type: descriptor.media_type.clone(),
            digest: descriptor.digest.clone(),
            size: i64::try_from(descriptor.size).unwrap_or(i64::MAX),
            ..OciDescriptor::default()
        };
        let fetched = self.client.pull_blob_stream(self.reference.registry_form(), &request).await;
        let mut stream = fetched.map_err(|source| PullError::Fetch {
            digest: descriptor.digest.clone(),
            source: Box::new(source),
        })?;
        let mut ingest = self.store.ingest()?;
        while let Some(chunk) = stream.stream.next().await {
            let chunk =
                chunk.map_err(|source| PullError::Transfer { digest: descriptor.digest.clone(), source })?;
            ingest.push(&chunk)?;
        }
        let (store, digest) = (self.store.clone(), descriptor.digest.clone());
        let kept = tokio::task::spawn_blocking(move || ingest.finish(&store, Some(&digest))).await;
        kept.map_err(|_| PullError::Stopping)??;
        Ok(())
    }

    async fn extract(
        &self,
        layers: Vec<(String, String)>,
        file: Option<String>,
    ) -> Result<String, PullError> {
        let store = self.store.clone();
        let extracted =
            tokio::task::spawn_blocking(move || extract_wasm(&store, &layers, file.as_deref())).await;
        Ok(extracted.map_err(|_| PullError::Stopping)??)
    }
}

fn wasm(digest: String, config: &ImageConfig) -> ImageKind {
    ImageKind::Wasm { digest, entrypoint: config.config.entrypoint.clone(), env: config.config.env.clone() }
}

fn default_args(kind: &ImageKind, config: ImageConfig) -> Vec<String> {
    match kind {
        ImageKind::Wasm { .. } => config.config.cmd,
        ImageKind::Oci { .. } => Vec::new(),
    }
}
