//! Images: from the name in a Pod to content on disk whose kind is known.
//!
//! [`Images::lookup`] answers from the disk; [`Images::pull`] asks the registry. Pulls of one image with the same
//! credentials that overlap are one pull. Whether to ask at all is the pull policy's decision ([`should_pull`]).
//!
//! Reading order: `reference` (names), `registries` (where they lead), `registry` (what is said there), `credentials` and `providers` (accounts), `manifest` and `classify` (what an image is), `signatures` (who may sign it), `pull`,
//! `layer`, `store`, `import` and `export` (archives), `garbage` (what goes when the disk gets full) and `control` (what people want gone).

mod beside;
mod classify;
pub(crate) mod control;
mod credentials;
mod export;
pub(crate) mod garbage;
mod import;
mod layer;
mod manifest;
pub(crate) mod providers;
mod pull;
mod push;
mod reference;
mod registries;
pub(crate) mod registry;
mod signatures;
mod store;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use parking_lot::Mutex;
use wherry_runtime_api::ImageContent;

pub use beside::{ImageStore, ImageStoreError, ListedImage, push_wasm};
pub(crate) use classify::{Selection, native_architecture};
pub use control::{ControlError, RemovedImage};
pub(crate) use credentials::credentials;
pub use export::ArchiveForm;
pub use garbage::{GarbageError, ImageLimits};
pub use providers::{CredentialProviders, ProvidersError};
pub(crate) use pull::PullError;
use pull::Puller;
pub use push::{Interfaces, WasmArtifact};
pub(crate) use reference::ImageReference;
pub use registries::{Registries, RegistriesError};
pub(crate) use registry::Account;
pub(crate) use signatures::Rejected;
pub use signatures::{KeyError, PublicKey, SignaturePolicy, SignaturePolicyError};
use store::ContentStore;
pub(crate) use store::{Image, Keep, StoreError};

/// When to ask the registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PullPolicy {
    /// Before every start.
    Always,
    /// If the image is not here.
    IfNotPresent,
    /// Not at all.
    Never,
}

impl PullPolicy {
    /// The policy of a container; an image named `latest` is pulled always unless told otherwise.
    pub(crate) fn of(policy: Option<&str>, reference: &ImageReference) -> Self {
        match policy {
            Some("Always") => Self::Always,
            Some("Never") => Self::Never,
            Some("IfNotPresent") => Self::IfNotPresent,
            _ if reference.is_latest() => Self::Always,
            _ => Self::IfNotPresent,
        }
    }
}

/// What is done about an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PullDecision {
    /// Ask the registry.
    Pull,
    /// Take what is here.
    Use,
    /// It is not here and may not be fetched.
    Refuse,
}

/// Applies the policy.
pub(crate) fn should_pull(policy: PullPolicy, present: bool) -> PullDecision {
    match (policy, present) {
        (PullPolicy::Always, _) | (PullPolicy::IfNotPresent, false) => PullDecision::Pull,
        (PullPolicy::IfNotPresent | PullPolicy::Never, true) => PullDecision::Use,
        (PullPolicy::Never, false) => PullDecision::Refuse,
    }
}

type Pulled = Result<Arc<Image>, Arc<PullError>>;
type Flight = Shared<BoxFuture<'static, Pulled>>;

/// An image and all names it goes by.
pub(crate) struct NamedImage {
    /// The image.
    pub(crate) image: Arc<Image>,
    /// Its names, those with a digest among them.
    pub(crate) names: BTreeSet<String>,
}

/// The images of this node.
pub(crate) struct Images {
    store: Arc<ContentStore>,
    puller: Arc<Puller>,
    policy: Arc<SignaturePolicy>,
    /// Pulls under way, by image, selection and account.
    flights: Mutex<HashMap<String, Flight>>,
}

impl Images {
    /// Opens the images kept under `root`; more are fetched as `registries` say. Those that the policy forbids are not for use.
    pub(crate) fn open(
        root: &Path,
        registries: Arc<Registries>,
        policy: Arc<SignaturePolicy>,
    ) -> Result<Self, StoreError> {
        Ok(Self::of(ContentStore::open(root)?, registries, policy))
    }

    /// Opens them beside an agent that has them open.
    fn join(root: &Path, registries: Arc<Registries>) -> Result<Self, StoreError> {
        // Whether an image may run is the agent's to say: who is beside it runs none.
        Ok(Self::of(ContentStore::join(root)?, registries, Arc::default()))
    }

    fn of(store: ContentStore, registries: Arc<Registries>, policy: Arc<SignaturePolicy>) -> Self {
        let store = Arc::new(store);
        let puller = Arc::new(Puller::new(store.clone(), registries, policy.clone()));
        Self { store, puller, policy, flights: Mutex::default() }
    }

    /// Whether an image that is here may run under this name.
    pub(crate) fn check(&self, reference: &ImageReference, image: &Image) -> Result<(), Rejected> {
        self.policy.check(reference, &image.signed_digests(), &image.evidence)
    }

    /// The image, if it is here.
    pub(crate) fn lookup(&self, reference: &ImageReference, selection: Selection) -> Option<Arc<Image>> {
        self.store.lookup(&index_name(reference, selection))
    }

    /// Every image with the names it goes by.
    pub(crate) fn all(&self) -> Vec<NamedImage> {
        let mut images: BTreeMap<String, NamedImage> = BTreeMap::new();
        for (name, image) in self.store.images() {
            let name = name.split('#').next().unwrap_or_default().to_owned();
            let entry = images
                .entry(image.id().to_owned())
                .or_insert_with(|| NamedImage { image: image.clone(), names: BTreeSet::new() });
            entry.names.extend([image.repo_digest.clone(), name]);
        }
        images.into_values().collect()
    }

    /// Removes the image of this id from the disk, but for what others need of it; the bytes it took.
    pub(crate) fn remove(&self, id: &str) -> Result<u64, StoreError> {
        self.store.remove(|_, image| image.id() == id)
    }

    /// The image as a runtime takes it.
    pub(crate) fn content(&self, image: &Image) -> Result<ImageContent, StoreError> {
        self.store.content(image)
    }

    /// Asks the registry and fetches what is missing.
    pub(crate) async fn pull(
        &self,
        reference: &ImageReference,
        selection: Selection,
        auth: Account,
    ) -> Pulled {
        let name = index_name(reference, selection);
        let key = match &auth {
            Account::Nobody => name.clone(),
            Account::Password(user, secret) => format!("{name}\n{user}\n{secret}"),
            Account::IdentityToken(token) => format!("{name}\n{token}"),
        };
        let flight = self
            .flights
            .lock()
            .entry(key.clone())
            .or_insert_with(|| {
                let (puller, reference) = (self.puller.clone(), reference.clone());
                async move { puller.pull(&reference, selection, &auth, &name).await.map_err(Arc::new) }
                    .boxed()
                    .shared()
            })
            .clone();
        let pulled = flight.clone().await;
        let mut flights = self.flights.lock();
        if flights.get(&key).is_some_and(|current| current.ptr_eq(&flight)) {
            flights.remove(&key);
        }
        pulled
    }
}

#[cfg(test)]
impl Images {
    /// Has an image without a registry.
    pub(crate) fn insert(&self, name: &str, wasm: bool) {
        use store::{ImageKind, Keep};
        let mut ingest = self.store.ingest().unwrap();
        ingest.push(name.as_bytes()).unwrap();
        let digest = ingest.finish(&self.store, None).unwrap();
        let kind = if wasm {
            ImageKind::Wasm { digest: digest.clone(), entrypoint: vec![], env: vec![] }
        } else {
            ImageKind::Oci { config: digest.clone(), layers: vec![] }
        };
        let reference = ImageReference::parse(name).unwrap();
        let image = Image {
            repo_digest: reference.repo_digest(&digest),
            size: 1,
            default_args: vec![],
            kind,
            keep: Keep::No,
            evidence: signatures::Evidence::default(),
        };
        for selection in [Selection::NativeFirst, Selection::WasmFirst, Selection::Wasm, Selection::Native] {
            self.store.record(&index_name(&reference, selection), image.clone()).unwrap();
        }
    }
}

/// The key of the local index.
fn index_name(reference: &ImageReference, selection: Selection) -> String {
    format!("{}#{}", reference.full_name(), selection.as_str())
}
