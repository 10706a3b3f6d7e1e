//! The domains of topologies: which nodes have the same value of a label.
//!
//! A key is looked at from its first use on. Domains are numbered by key and keep their number.

use std::collections::HashMap;

use super::NodeIndex;
use super::node::NodeInfo;
use super::symbols::{Symbol, Symbols};

/// A topology key in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyIndex(usize);

/// A domain of a topology, or none: the node lacks the label.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Domain(u32);

impl Domain {
    /// Of nodes that lack the label.
    pub(crate) const NONE: Self = Self(u32::MAX);

    /// The place in a dense list.
    pub(crate) fn get(self) -> Option<usize> {
        (self != Self::NONE).then_some(self.0 as usize)
    }
}

struct Table {
    key: Symbol,
    numbers: HashMap<Symbol, Domain>,
    of_node: Vec<Domain>,
}

impl Table {
    fn set(&mut self, index: NodeIndex, node: &NodeInfo) {
        let value = if node.is_known { node.labels.get(self.key) } else { None };
        let next = Domain(u32::try_from(self.numbers.len()).unwrap_or(u32::MAX));
        let domain = value.map_or(Domain::NONE, |value| *self.numbers.entry(value).or_insert(next));
        if self.of_node.len() <= index.get() {
            self.of_node.resize(index.get() + 1, Domain::NONE);
        }
        self.of_node[index.get()] = domain;
    }
}

/// See the module's documentation.
#[derive(Default)]
pub(crate) struct Topologies {
    tables: Vec<Table>,
    by_key: HashMap<String, KeyIndex>,
}

impl Topologies {
    /// The domain of each node; those past the end have none.
    pub(crate) fn of_nodes(&self, key: KeyIndex) -> &[Domain] {
        &self.tables[key.0].of_node
    }

    /// The domain of one node.
    pub(crate) fn of_node(&self, key: KeyIndex, node: NodeIndex) -> Domain {
        self.of_nodes(key).get(node.get()).copied().unwrap_or(Domain::NONE)
    }

    /// The index of a key that is in use.
    pub(crate) fn find(&self, key: &str) -> Option<KeyIndex> {
        self.by_key.get(key).copied()
    }

    pub(super) fn add(&mut self, key: &str, nodes: &[NodeInfo], symbols: &mut Symbols) -> KeyIndex {
        let mut table = Table { key: symbols.intern(key), numbers: HashMap::new(), of_node: Vec::new() };
        for (place, node) in nodes.iter().enumerate() {
            table.set(NodeIndex::new(place), node);
        }
        let index = KeyIndex(self.tables.len());
        self.by_key.insert(key.to_owned(), index);
        self.tables.push(table);
        index
    }

    /// Takes over what a node is now.
    pub(super) fn set(&mut self, index: NodeIndex, node: &NodeInfo) {
        self.tables.iter_mut().for_each(|table| table.set(index, node));
    }
}
