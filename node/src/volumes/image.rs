//! Where the image of a volume is mounted, and which image that is.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{VolumeRoot, Volumes, WriteError, atomic, mounted};

/// Below the directory of a pod: a file for each volume, with the digest of its image.
const RECORDS: &str = "image-volumes";

/// The place of one volume.
pub(crate) struct ImageVolume {
    path: PathBuf,
    record: PathBuf,
}

impl ImageVolume {
    /// The directory that shows the image.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it does.
    pub(crate) fn is_mounted(&self) -> bool {
        mounted::is_other_file_system(&self.path)
    }

    /// Makes the directory, and writes down which image it will show.
    pub(crate) fn prepare(&self, digest: &str) -> Result<(), WriteError> {
        let failed = |source| WriteError::Io { action: "write", path: self.record.clone(), source };
        if let Some(records) = self.record.parent() {
            atomic::create_dir(records, 0o700)?;
        }
        fs::write(&self.record, digest).map_err(failed)?;
        atomic::create_dir(&self.path, 0o755)
    }
}

impl VolumeRoot {
    /// The place of a pod's volume.
    pub(crate) fn image_volume(&self, uid: &str, volume: &str) -> ImageVolume {
        let dir = self.pod_dir(uid);
        ImageVolume { path: dir.join("volumes").join(volume), record: dir.join(RECORDS).join(volume) }
    }

    /// The digests of the images that volumes show.
    pub(crate) fn images(&self) -> BTreeSet<String> {
        let pods = self.pods().into_iter().map(|uid| self.pod_dir(&uid).join(RECORDS));
        let records = pods.flat_map(|records| fs::read_dir(records).into_iter().flatten().flatten());
        records.filter_map(|record| fs::read_to_string(record.path()).ok()).collect()
    }
}

impl Volumes {
    /// A volume that shows an image: nobody writes to it, and nothing in it can be executed.
    pub(crate) fn add_image(&mut self, name: &str, path: &Path) {
        self.paths.insert(name.to_owned(), path.to_owned());
        self.read_only.insert(name.to_owned());
        self.no_exec.insert(name.to_owned());
    }
}
