//! Volumes of CSI drivers: the names by which controllers and nodes speak of them.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// The name of a volume in a Node's `volumesInUse` and `volumesAttached`.
pub fn unique_name(driver: &str, handle: &str) -> String {
    format!("kubernetes.io/csi/{driver}^{handle}")
}

/// The name of the VolumeAttachment of a volume to a node.
pub fn attachment_name(driver: &str, handle: &str, node: &str) -> String {
    format!("csi-{}", hash(&[handle, driver, node]))
}

/// What a driver is to call the volume that is made for one Pod alone.
pub fn ephemeral_handle(pod_uid: &str, volume: &str) -> String {
    format!("csi-{}", hash(&[pod_uid, volume]))
}

/// The hash of the parts, one after the other, in letters of file names.
pub fn hash(parts: &[&str]) -> String {
    let digest = parts.iter().fold(Sha256::new(), Digest::chain_update).finalize();
    digest.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _written = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_sidecars_of_drivers_expect() {
        assert_eq!(unique_name("d.example.com", "v-1"), "kubernetes.io/csi/d.example.com^v-1");
        assert_eq!(
            attachment_name("d", "v", "n"),
            "csi-f6543f8bea2891cc00a459964655191915ab214b9a56d0f1d7bd1a2d56de77d7"
        );
    }
}
