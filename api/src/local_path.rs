//! Volumes that are directories of a node: the words by which controllers, nodes and the API server speak of them.
//!
//! A PersistentVolume of this kind carries [`NODE`] as a label and [`FINALIZER`]. Only the node of that name makes and
//! removes its directory, and takes the finalizer off when the volume is deleted; so nobody calls a node.

/// The StorageClass every cluster begins with.
pub const CLASS: &str = "local-path";
/// Who provisions for it.
pub const PROVISIONER: &str = "wherry.io/local-path";
/// Keeps a PersistentVolume until its node has removed the directory.
pub const FINALIZER: &str = "wherry.io/local-path";
/// Annotation of a Node: the directory under which its volumes are.
pub const DIRECTORY: &str = "wherry.io/local-path-directory";
/// Label of a PersistentVolume: its node, by the Node's label `kubernetes.io/hostname`.
pub const NODE: &str = "wherry.io/local-path-node";
/// The label by which a volume says on which node it can be used.
pub const HOSTNAME: &str = "kubernetes.io/hostname";

/// Where the volume of this name is under a node's directory.
pub fn path(directory: &str, volume: &str) -> String {
    format!("{}/{volume}", directory.trim_end_matches('/'))
}
