//! The images of a node for commands that run beside its agent, or while there is none.

use std::error::Error;
use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use wherry_runtime_api::ImageContent;

use super::control::{ControlError, Question, RemovedImage, ask};
use super::export::{ArchiveForm, export};
use super::import::import;
use super::push::{WasmArtifact, push};
use super::{Account, ImageReference, Images, Keep, NamedImage, PullError, Registries, Selection};

/// Why a command on images failed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ImageStoreError(Box<dyn Error + Send + Sync>);

impl ImageStoreError {
    fn of(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self(error.into())
    }
}

/// An image as it is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedImage {
    /// Its names.
    pub names: Vec<String>,
    /// The digest under which containers have it.
    pub id: String,
    /// Its bytes, as its registry counts them.
    pub size: u64,
    /// `pinned` or `imported` if it stays though nothing uses it, else empty.
    pub keep: &'static str,
}

/// The images in the data directory of a node.
pub struct ImageStore {
    images: Images,
    node_dir: PathBuf,
}

impl ImageStore {
    /// Opens, or makes, the images of the node with this data directory.
    pub fn open(data_dir: &Path, registries: Arc<Registries>) -> Result<Self, ImageStoreError> {
        let node_dir = data_dir.join("node");
        let images = Images::join(&node_dir.join("content"), registries).map_err(ImageStoreError::of)?;
        Ok(Self { images, node_dir })
    }

    /// All images, by their first names.
    pub fn list(&self) -> Vec<ListedImage> {
        let mut listed: Vec<ListedImage> = self.images.all().into_iter().map(ListedImage::of).collect();
        listed.sort_by(|a, b| a.names.cmp(&b.names));
        listed
    }

    /// Takes the images of an archive, which are never removed by themselves; their complete names.
    pub fn import(&self, archive: impl BufRead) -> Result<Vec<String>, ImageStoreError> {
        import(&self.images.store, archive).map_err(ImageStoreError::of)
    }

    /// Writes the images of these names into an archive. Blocks.
    pub fn export(
        &self,
        names: &[String],
        form: ArchiveForm,
        out: impl Write,
    ) -> Result<(), ImageStoreError> {
        let names = names.iter().map(|name| ImageReference::parse(name));
        let names = names.collect::<Result<Vec<_>, _>>().map_err(ImageStoreError::of)?;
        export(&self.images.store, &names, form, out).map_err(ImageStoreError::of)
    }

    /// Has the node's agent remove an image that nothing uses; a pinned one only by `force`. Blocks.
    pub fn remove(&self, name: &str, force: bool) -> Result<Vec<RemovedImage>, ControlError> {
        ask(&self.node_dir, &Question::Remove { image: name.to_owned(), force })
    }

    /// Has the node's agent remove all images that nothing uses and that need not stay. Blocks.
    pub fn prune(&self) -> Result<Vec<RemovedImage>, ControlError> {
        ask(&self.node_dir, &Question::Prune)
    }

    /// Fetches an image in all the forms that containers here may ask for; its complete name.
    pub async fn pull(&self, name: &str) -> Result<String, ImageStoreError> {
        let reference = ImageReference::parse(name).map_err(ImageStoreError::of)?;
        let mut missing = None;
        let mut found = false;
        for selection in Selection::ALL {
            match self.images.pull(&reference, selection, Account::Nobody).await {
                Ok(_) => found = true,
                Err(error) if matches!(*error, PullError::Platform { .. }) => missing = Some(error),
                Err(error) => return Err(ImageStoreError::of(error)),
            }
        }
        match missing {
            Some(error) if !found => Err(ImageStoreError::of(error)),
            _ => Ok(reference.full_name()),
        }
    }

    /// The WebAssembly of an image, which is fetched unless it is here, with its default arguments.
    pub async fn fetch_wasm(&self, name: &str) -> Result<(ImageContent, Vec<String>), ImageStoreError> {
        let reference = ImageReference::parse(name).map_err(ImageStoreError::of)?;
        let image = match self.images.lookup(&reference, Selection::Wasm) {
            Some(image) => image,
            None => self
                .images
                .pull(&reference, Selection::Wasm, Account::Nobody)
                .await
                .map_err(ImageStoreError::of)?,
        };
        let content = self.images.content(&image).map_err(ImageStoreError::of)?;
        Ok((content, image.default_args.clone()))
    }

    /// Says whether the image of this name, or with this digest, stays though nothing uses it.
    pub fn pin(&self, name: &str, stays: bool) -> Result<(), ImageStoreError> {
        let full = ImageReference::parse(name).map(|reference| reference.full_name()).unwrap_or_default();
        let wanted = |named: &NamedImage| named.image.id() == name || named.names.contains(&full);
        let found = self.images.all().into_iter().find(wanted);
        let found =
            found.ok_or_else(|| ImageStoreError::of(format!("there is no image {name:?} on this node")))?;
        let keep = if stays { Keep::Pinned } else { Keep::No };
        self.images.store.set_keep(found.image.id(), keep).map_err(ImageStoreError::of)
    }
}

/// Sends a WebAssembly file to the registry that the image's name names; its name with its digest.
pub async fn push_wasm(
    registries: &Registries,
    name: &str,
    artifact: WasmArtifact,
) -> Result<String, ImageStoreError> {
    let reference = ImageReference::parse(name).map_err(ImageStoreError::of)?;
    push(registries, &reference, artifact).await.map_err(ImageStoreError::of)
}

impl ListedImage {
    fn of(named: NamedImage) -> Self {
        Self {
            names: named.names.into_iter().collect(),
            id: named.image.id().to_owned(),
            size: named.image.size,
            keep: match named.image.keep {
                Keep::No => "",
                Keep::Imported => "imported",
                Keep::Pinned => "pinned",
            },
        }
    }
}
