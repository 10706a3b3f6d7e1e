//! A count kept by domain of a topology: what each node adds to its domain is remembered, so a change of a node
//! is a subtraction and an addition.

use crate::cluster::{Domain, KeyIndex};

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Pods that satisfy all terms of the required affinity.
    Near,
    /// Pods that the required anti-affinity speaks of, once a term.
    Apart,
    /// Terms of required anti-affinity of placed Pods that speak of this one.
    KeepsAway,
    /// The weights of wishes, in both directions.
    Wishes,
    /// Pods of the constraint at this place among those that must hold.
    Hard(usize),
    /// The same among those that should hold.
    Soft(usize),
}

/// See the module's documentation.
pub(super) struct Column {
    pub(super) kind: Kind,
    pub(super) key: KeyIndex,
    /// By node: where it counts, and what it adds there.
    nodes: Vec<(Domain, i64)>,
    /// By domain: the sum, and how many nodes count there.
    domains: Vec<(i64, u32)>,
    /// How many domains have a node.
    inhabited: usize,
    /// How many nodes add something.
    adding: usize,
}

impl Column {
    pub(super) fn new(kind: Kind, key: KeyIndex) -> Self {
        Self { kind, key, nodes: Vec::new(), domains: Vec::new(), inhabited: 0, adding: 0 }
    }

    /// Sets where a node counts and what it adds there.
    pub(super) fn set(&mut self, node: usize, domain: Domain, amount: i64) {
        if self.nodes.len() <= node {
            self.nodes.resize(node + 1, (Domain::NONE, 0));
        }
        let amount = if domain == Domain::NONE { 0 } else { amount };
        let (old_domain, old_amount) = std::mem::replace(&mut self.nodes[node], (domain, amount));
        if (old_domain, old_amount) == (domain, amount) {
            return;
        }
        if let Some(place) = old_domain.get() {
            let (sum, nodes) = &mut self.domains[place];
            *sum -= old_amount;
            *nodes -= 1;
            self.inhabited -= usize::from(*nodes == 0);
            self.adding -= usize::from(old_amount != 0);
        }
        if let Some(place) = domain.get() {
            if self.domains.len() <= place {
                self.domains.resize(place + 1, (0, 0));
            }
            let (sum, nodes) = &mut self.domains[place];
            *sum += amount;
            self.inhabited += usize::from(*nodes == 0);
            *nodes += 1;
            self.adding += usize::from(amount != 0);
        }
    }

    /// The sum of a domain.
    #[inline]
    pub(super) fn sum(&self, domain: Domain) -> i64 {
        domain.get().and_then(|place| self.domains.get(place)).map_or(0, |(sum, _)| *sum)
    }

    /// What a node adds.
    pub(super) fn amount(&self, node: usize) -> i64 {
        self.nodes.get(node).map_or(0, |(_, amount)| *amount)
    }

    /// Whether every sum is zero.
    pub(super) fn is_empty(&self) -> bool {
        self.adding == 0
    }

    /// How many domains have a node that counts.
    pub(super) fn inhabited(&self) -> usize {
        self.inhabited
    }

    /// The least sum of a domain with a node that counts.
    pub(super) fn least(&self) -> Option<i64> {
        self.domains.iter().filter(|(_, nodes)| *nodes > 0).map(|(sum, _)| *sum).min()
    }
}
