//! What was asked of drivers, on disk: written before a driver is asked, removed when all was undone.
//!
//! ```text
//! pods/UID/volumes/kubernetes.io~csi/NAME/vol_data.json          a volume of the pod, mounted at mount beside it
//! pods/UID/volumeDevices/kubernetes.io~csi/NAME/vol_data.json    the same as a device
//! plugins/kubernetes.io/csi/DRIVER/HASH/globalmount              where a volume is staged
//! plugins/kubernetes.io/csi/volumeDevices/staging|publish/...    where devices are
//! ```
//! The same layout as kubelet's: drivers know it, and are told these paths.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use wherry_api::csi;

use super::source::Wanted;
use crate::volumes::{WriteError, remove_file};

const FILE: &str = "vol_data.json";
const PLUGIN: &str = "kubernetes.io~csi";

/// A volume that a driver was asked to give to a pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub(super) driver_name: String,
    pub(super) volume_handle: String,
    #[serde(rename = "specVolID")]
    pub(super) name: String,
    /// The VolumeAttachment, if the volume has to be attached.
    #[serde(rename = "attachmentID", default)]
    pub(super) attachment: Option<String>,
    /// Where the driver was asked to stage it, if it was.
    #[serde(default)]
    pub(super) staging: Option<PathBuf>,
    #[serde(default)]
    pub(super) is_block: bool,
    /// The claim it was given for, if it is a PersistentVolume.
    #[serde(default)]
    pub(super) claim: Option<String>,
}

impl Record {
    /// Whether both are of the same volume.
    pub(super) fn is_of(&self, driver: &str, handle: &str) -> bool {
        self.driver_name == driver && self.volume_handle == handle
    }
}

/// Where all of it is.
#[derive(Clone, Debug)]
pub(super) struct Records {
    root: PathBuf,
}

impl Records {
    /// Below the directory of the node.
    pub(super) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    fn dir(&self, uid: &str, name: &str, is_block: bool) -> PathBuf {
        let kind = if is_block { "volumeDevices" } else { "volumes" };
        self.root.join("pods").join(uid).join(kind).join(PLUGIN).join(name)
    }

    /// Where the pod is to have the volume.
    pub(super) fn target(&self, uid: &str, name: &str, is_block: bool) -> PathBuf {
        if is_block {
            return self.devices().join("publish").join(name).join(uid);
        }
        self.dir(uid, name, false).join("mount")
    }

    /// Where the volume is to be staged.
    pub(super) fn staging(&self, wanted: &Wanted) -> PathBuf {
        if wanted.is_block {
            return self.devices().join("staging").join(&wanted.name);
        }
        let volume = csi::hash(&[&wanted.handle]);
        self.drivers().join(&wanted.driver).join(volume).join("globalmount")
    }

    fn drivers(&self) -> PathBuf {
        self.root.join("plugins/kubernetes.io/csi")
    }

    fn devices(&self) -> PathBuf {
        self.drivers().join("volumeDevices")
    }

    /// Writes down what a driver will be asked.
    pub(super) fn write(&self, uid: &str, record: &Record) -> Result<(), WriteError> {
        let dir = self.dir(uid, &record.name, record.is_block);
        make(&dir)?;
        let path = dir.join(FILE);
        let failed = |source| WriteError::Io { action: "write", path: path.clone(), source };
        let text = serde_json::to_vec(record).map_err(|error| failed(error.into()))?;
        let file = tempfile::NamedTempFile::new_in(&dir).map_err(failed)?;
        fs::write(file.path(), text).map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        file.persist(&path).map_err(|error| failed(error.error))?;
        Ok(())
    }

    /// What is written down about the volumes of the pod.
    pub(super) fn of_pod(&self, uid: &str) -> Result<Vec<Record>, WriteError> {
        let mut found = Vec::new();
        for is_block in [false, true] {
            let dir = self.dir(uid, "", is_block);
            for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
                let path = entry.path().join(FILE);
                match fs::read(&path) {
                    Ok(bytes) => {
                        found.push(serde_json::from_slice(&bytes).map_err(|error| WriteError::Io {
                            action: "read",
                            path,
                            source: error.into(),
                        })?);
                    }
                    // A driver was not asked yet.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(source) => return Err(WriteError::Io { action: "read", path, source }),
                }
            }
        }
        Ok(found)
    }

    /// What is written down about all pods, with their uids.
    pub(super) fn all(&self) -> Vec<(String, Record)> {
        let pods = fs::read_dir(self.root.join("pods")).into_iter().flatten().flatten();
        let uids = pods.filter_map(|pod| pod.file_name().into_string().ok());
        uids.flat_map(|uid| {
            let records = self.of_pod(&uid).unwrap_or_default();
            records.into_iter().map(move |record| (uid.clone(), record))
        })
        .collect()
    }

    /// The pods that have, or may have, this volume.
    pub(super) fn users(&self, driver: &str, handle: &str) -> BTreeSet<String> {
        let all = self.all().into_iter().filter(|(_, record)| record.is_of(driver, handle));
        all.map(|(uid, _)| uid).collect()
    }

    /// Forgets the volume of the pod, whose driver has undone all.
    pub(super) fn forget(&self, uid: &str, record: &Record) -> Result<(), WriteError> {
        let dir = self.dir(uid, &record.name, record.is_block);
        let target = self.target(uid, &record.name, record.is_block);
        // Nothing but what is empty is removed: in it could be the volume itself.
        remove_empty(&target)?;
        if record.is_block {
            remove_up_to(target.parent(), &self.devices())?;
        }
        remove_file(&dir.join(FILE))?;
        // A file that was begun when the agent was killed.
        for left in fs::read_dir(&dir).into_iter().flatten().flatten() {
            remove_file(&left.path())?;
        }
        remove_empty(&dir)?;
        remove_empty(&self.dir(uid, "", record.is_block))
    }

    /// Removes the place where a volume was staged, which its driver has undone.
    pub(super) fn remove_staging(&self, staging: &Path) -> Result<(), WriteError> {
        remove_empty(staging)?;
        remove_up_to(staging.parent(), &self.drivers())
    }
}

/// Makes the directory.
pub(super) fn make(dir: &Path) -> Result<(), WriteError> {
    fs::create_dir_all(dir).map_err(|source| WriteError::Io {
        action: "create",
        path: dir.to_owned(),
        source,
    })
}

/// Removes an empty directory, or an empty file in the place of a device.
fn remove_empty(path: &Path) -> Result<(), WriteError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_dir() => fs::remove_dir(path),
        Ok(meta) if meta.len() == 0 => fs::remove_file(path),
        Ok(_) => Err(io::ErrorKind::DirectoryNotEmpty.into()),
        Err(error) => Err(error),
    };
    match removed {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(WriteError::Io { action: "remove", path: path.to_owned(), source })
        }
        _ => Ok(()),
    }
}

/// Removes directories that became empty, from the inside out, and never `end`.
fn remove_up_to(dir: Option<&Path>, end: &Path) -> Result<(), WriteError> {
    for dir in dir.iter().flat_map(|dir| dir.ancestors()).take_while(|dir| *dir != end) {
        match fs::remove_dir(dir) {
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => return Ok(()),
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(WriteError::Io { action: "remove", path: dir.to_owned(), source });
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(name: &str, is_block: bool) -> Record {
        Record {
            driver_name: "d".to_owned(),
            volume_handle: format!("h-{name}"),
            name: name.to_owned(),
            attachment: None,
            staging: None,
            is_block,
            claim: None,
        }
    }

    #[test]
    fn what_was_written_is_known_again_until_it_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::new(dir.path());
        let (files, device) = (record("a", false), record("b", true));
        records.write("u-1", &files).unwrap();
        records.write("u-1", &device).unwrap();
        records.write("u-2", &files).unwrap();
        assert_eq!(Records::new(dir.path()).of_pod("u-1").unwrap(), [files.clone(), device.clone()]);
        assert_eq!(records.users("d", "h-a"), BTreeSet::from(["u-1".to_owned(), "u-2".to_owned()]));
        records.forget("u-1", &files).unwrap();
        records.forget("u-1", &device).unwrap();
        records.forget("u-1", &device).unwrap();
        assert_eq!(records.of_pod("u-1").unwrap(), []);
        assert!(!dir.path().join("pods/u-1/volumes/kubernetes.io~csi").exists());
        assert_eq!(records.users("d", "h-a"), BTreeSet::from(["u-2".to_owned()]));
    }

    #[test]
    fn a_volume_that_is_not_empty_is_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::new(dir.path());
        let volume = record("a", false);
        records.write("u-1", &volume).unwrap();
        let target = records.target("u-1", "a", false);
        fs::create_dir(&target).unwrap();
        fs::write(target.join("precious"), "x").unwrap();
        assert!(records.forget("u-1", &volume).is_err());
        assert!(target.join("precious").exists());
        assert_eq!(records.of_pod("u-1").unwrap(), [volume]);
    }

    #[test]
    fn a_staging_place_goes_with_what_it_leaves_empty() {
        let dir = tempfile::tempdir().unwrap();
        let records = Records::new(dir.path());
        let drivers = dir.path().join("plugins/kubernetes.io/csi");
        let [gone, kept] = ["1", "2"].map(|hash| drivers.join("d").join(hash).join("globalmount"));
        for place in [&gone, &kept] {
            make(place).unwrap();
        }
        records.remove_staging(&gone).unwrap();
        assert!(!drivers.join("d/1").exists() && kept.exists());
        records.remove_staging(&kept).unwrap();
        assert!(!drivers.join("d").exists() && drivers.exists());
    }
}
