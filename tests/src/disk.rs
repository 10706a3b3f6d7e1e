//! Disks of nodes that get full.

use std::fs::{File, remove_file};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use crate::Cluster;

/// Takes all room of a disk, or some of it; gives it back when dropped.
pub struct FullDisk(PathBuf);

impl FullDisk {
    /// Takes all room.
    pub fn fill(disk: &Path) -> Self {
        let path = disk.join("ballast");
        let mut file = File::create(&path).expect("the disk can be written to");
        let mut block = vec![0_u8; 1 << 20];
        while !block.is_empty() {
            // Ever smaller pieces, until not one more byte fits.
            if file.write_all(&block).is_err() {
                block.truncate(block.len() / 2);
            }
        }
        Self(path)
    }
}

impl Drop for FullDisk {
    fn drop(&mut self) {
        // It goes with the disk otherwise.
        let _ = remove_file(&self.0);
    }
}

impl Cluster {
    /// Starts the cluster anew with what the node keeps on a disk of 64 MiB; where that is.
    pub fn move_to_small_disk(&mut self) -> PathBuf {
        assert!(self.terminate(), "the cluster stops");
        let disk = self.data_dir().join("node");
        mount(Some("tmpfs"), &disk, Some("tmpfs"), MsFlags::empty(), Some("size=64m"))
            .expect("a tmpfs can be mounted");
        self.launch();
        disk
    }
}
