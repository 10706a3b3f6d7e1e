//! Images on disk: which are prepared, which layers they use.
//!
//! ```text
//! images/HEX.json     a prepared image (HEX of its config digest): the layers it uses
//! layers/HEX/fs       an unpacked layer (HEX of its blob digest), shared by images and containers
//! ```
//!
//! A layer goes when no prepared image and no container uses it.

pub(crate) mod archive;
pub(crate) mod bounded;
pub(crate) mod layer;
mod mount;
pub(crate) mod root;
mod unpack;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use oci_spec::image::{Arch, ImageConfiguration, Os};
use serde::{Deserialize, Serialize};
use wherry_runtime_api::{RuntimeError, spec::Layer};

use crate::files::{self, failed};
use layer::{digest_of, hex_of, invalid};
pub use unpack::unpack as unpack_layer;

/// The images of a data directory.
#[derive(Clone, Debug)]
pub(crate) struct Images {
    records: PathBuf,
    layers: PathBuf,
    max_layer_bytes: u64,
}

/// A prepared image.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) config: ImageConfiguration,
    /// Directories of the unpacked layers, lowest first.
    pub(crate) layers: Vec<PathBuf>,
}

#[derive(Serialize, Deserialize)]
struct ImageRecord {
    layers: Vec<String>,
}

/// An OCI image as it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Source {
    pub(crate) digest: String,
    pub(crate) config: PathBuf,
    pub(crate) layers: Vec<Layer>,
}

impl Images {
    pub(crate) fn open(data_dir: &Path, max_layer_bytes: u64) -> Result<Self, RuntimeError> {
        let images =
            Self { records: data_dir.join("images"), layers: data_dir.join("layers"), max_layer_bytes };
        files::create_dir(&images.records)?;
        files::create_dir(&images.layers)?;
        Ok(images)
    }

    /// The directory of the layers.
    pub(crate) fn layers(&self) -> &Path {
        &self.layers
    }

    /// Unpacks what is not unpacked yet. Idempotent and cheap when all is there.
    pub(crate) fn prepare(&self, source: &Source) -> Result<Prepared, RuntimeError> {
        let config = read_config(source)?;
        let diff_ids = config.rootfs().diff_ids();
        if diff_ids.len() != source.layers.len() {
            let (listed, there) = (diff_ids.len(), source.layers.len());
            let reason = format!("the image config lists {listed} layers, the manifest {there}");
            return Err(invalid(&source.digest, reason));
        }
        let mut record = ImageRecord { layers: Vec::new() };
        for (layer, diff_id) in source.layers.iter().zip(diff_ids) {
            layer::ensure(&self.layers, layer, diff_id, self.max_layer_bytes)?;
            record.layers.push(hex_of(&layer.digest)?.to_owned());
        }
        let path = self.record(&source.digest)?;
        if !path.exists() {
            files::write_json(&path, &record)?;
        }
        let layers = record.layers.iter().map(|hex| layer::content(&self.layers, hex)).collect();
        Ok(Prepared { config, layers })
    }

    /// Mounts the layers, as one file system that cannot be written to, at a directory.
    pub(crate) fn mount(&self, source: &Source, target: &Path) -> Result<(), RuntimeError> {
        let prepared = self.prepare(source)?;
        mount::layers(&self.layers, &prepared.layers, target).map_err(failed("mount an image at", target))
    }

    /// Forgets the image; its layers go with the next [`Images::collect`].
    pub(crate) fn forget(&self, digest: &str) -> Result<(), RuntimeError> {
        let path = self.record(digest)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(failed("remove", &path)(error)),
            _ => Ok(()),
        }
    }

    /// Removes the layers that neither a prepared image nor one of `in_use` (layer digests) needs, and what a
    /// crash left half done. No [`Images::prepare`] may run meanwhile.
    pub(crate) fn collect(&self, in_use: impl IntoIterator<Item = String>) -> Result<(), RuntimeError> {
        let mut needed: HashSet<String> =
            in_use.into_iter().filter_map(|digest| hex_of(&digest).ok().map(str::to_owned)).collect();
        for path in entries(&self.records)? {
            needed
                .extend(files::read_json::<ImageRecord>(&path)?.into_iter().flat_map(|record| record.layers));
        }
        for path in entries(&self.layers)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !needed.contains(&name) {
                remove_layer(&path, &name)?;
            }
        }
        Ok(())
    }

    fn record(&self, digest: &str) -> Result<PathBuf, RuntimeError> {
        Ok(self.records.join(hex_of(digest)?).with_extension("json"))
    }
}

/// A layer leaves its name in one step, so that half of one is never taken for a whole.
fn remove_layer(path: &Path, name: &str) -> Result<(), RuntimeError> {
    if name.starts_with(layer::TEMPORARY) {
        return files::remove_tree(path);
    }
    let doomed = path.with_file_name(format!("{}{name}-gone", layer::TEMPORARY));
    files::remove_tree(&doomed)?;
    fs::rename(path, &doomed).map_err(failed("remove", path))?;
    files::remove_tree(&doomed)
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, RuntimeError> {
    let entries = fs::read_dir(directory).map_err(failed("read", directory))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

fn read_config(source: &Source) -> Result<ImageConfiguration, RuntimeError> {
    let bytes = fs::read(&source.config).map_err(failed("read", &source.config))?;
    let digest = digest_of(&bytes);
    if digest != source.digest {
        return Err(invalid(
            &source.digest,
            format!("the stored image config is damaged, its digest is {digest}"),
        ));
    }
    let config: ImageConfiguration = serde_json::from_slice(&bytes)
        .map_err(|error| invalid(&source.digest, format!("the image config does not parse: {error}")))?;
    if *config.os() != Os::Linux || *config.architecture() != Arch::default() {
        let reason = format!(
            "the image is for {}/{}, this node is linux/{}",
            config.os(),
            config.architecture(),
            Arch::default()
        );
        return Err(invalid(&source.digest, reason));
    }
    Ok(config)
}
