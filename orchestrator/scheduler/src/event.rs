//! What changed, for the plugins to say whether it may help Pods that found no node.

use std::sync::Arc;

use crate::cluster::{NodeChanges, NodeIndex};
use crate::pod::Template;

/// Which object about storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StorageKind {
    /// The claim of a namespace and name.
    Claim((String, String)),
    Volume,
    Class,
    CsiNode,
    Capacity,
    Driver,
    /// The claim of devices of a namespace and name, and whether it has devices no more.
    DeviceClaim {
        name: (String, String),
        frees: bool,
    },
    Slice,
    DeviceClass,
}

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    /// A node came.
    NodeAdded(NodeIndex),
    /// A node changed in some ways, perhaps in none that matter.
    NodeChanged(NodeIndex, NodeChanges),
    NodeRemoved,
    /// A Pod is on a node, be it assumed or confirmed.
    PodPlaced {
        template: Arc<Template>,
        node: NodeIndex,
    },
    /// A placed Pod changed.
    PodChanged {
        before: Arc<Template>,
        now: Arc<Template>,
        node: NodeIndex,
    },
    /// A Pod left its node or ended.
    PodGone {
        template: Arc<Template>,
        node: NodeIndex,
    },
    /// The labels of a namespace changed.
    NamespaceChanged,
    /// An object about storage came or changed.
    StorageChanged(StorageKind),
}
