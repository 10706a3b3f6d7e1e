//! The ranges that nodes get their parts of.

use ipnet::IpNet;

/// A range of Pod addresses, of which every node gets a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeRange {
    cluster: IpNet,
    /// How long the prefix of a part is.
    prefix: u8,
}

/// A range that cannot be divided so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{cluster} has no parts of /{prefix}")]
pub struct NodeRangeError {
    cluster: IpNet,
    prefix: u8,
}

impl NodeRange {
    /// A range in parts whose prefixes are this long.
    pub fn new(cluster: IpNet, prefix: u8) -> Result<Self, NodeRangeError> {
        let fits = (cluster.prefix_len()..=cluster.max_prefix_len()).contains(&prefix);
        if fits {
            Ok(Self { cluster: cluster.trunc(), prefix })
        } else {
            Err(NodeRangeError { cluster, prefix })
        }
    }

    /// The range as a whole.
    pub fn cluster(&self) -> IpNet {
        self.cluster
    }

    /// The length of its parts' prefixes.
    pub fn prefix(&self) -> u8 {
        self.prefix
    }
}

/// What nodes get their Pod addresses from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeRanges {
    /// One range, or one of each family: a node gets a part of each, in this order.
    pub ranges: Vec<NodeRange>,
    /// What no node gets.
    pub reserved: Vec<IpNet>,
}
