//! The best of many, found without looking at all: a tournament over the nodes' scores.
//!
//! Each inner place holds the higher of its two halves and how many have it, so a change of one node costs the
//! depth of the tree, and so does finding the k-th of the best.

/// What stands for nodes that do not take part.
const OUT: i64 = i64::MIN;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Ranking {
    /// A power of two, the number of leaves.
    width: usize,
    places: Vec<(i64, u32)>,
}

impl Ranking {
    /// Starts again with as many nodes, of which none takes part.
    pub(super) fn reset(&mut self, nodes: usize) {
        self.width = nodes.next_power_of_two();
        self.places.clear();
        self.places.resize(2 * self.width, (OUT, 0));
    }

    /// Whether it has a place for a node.
    pub(super) fn holds(&self, node: usize) -> bool {
        node < self.width
    }

    /// Sets the score of a node, or takes it out.
    pub(super) fn set(&mut self, node: usize, score: Option<i64>) {
        let mut at = self.width + node;
        let leaf = score.map_or((OUT, 0), |score| (score, 1));
        if self.places[at] == leaf {
            return;
        }
        self.places[at] = leaf;
        while at > 1 {
            at /= 2;
            let (left, right) = (self.places[2 * at], self.places[2 * at + 1]);
            let higher = match left.0.cmp(&right.0) {
                std::cmp::Ordering::Less => right,
                std::cmp::Ordering::Greater => left,
                std::cmp::Ordering::Equal => (left.0, left.1 + right.1),
            };
            if self.places[at] == higher {
                return;
            }
            self.places[at] = higher;
        }
    }

    /// How many nodes share the highest score.
    pub(super) fn best(&self) -> usize {
        self.places.get(1).map_or(0, |(_, count)| *count as usize)
    }

    /// The k-th of them, by index.
    pub(super) fn nth_best(&self, k: usize) -> Option<usize> {
        let (highest, count) = *self.places.get(1)?;
        let mut k = u32::try_from(k).ok().filter(|k| *k < count)?;
        let mut at = 1;
        while at < self.width {
            let left = self.places[2 * at];
            let in_left = if left.0 == highest { left.1 } else { 0 };
            at *= 2;
            if k >= in_left {
                k -= in_left;
                at += 1;
            }
        }
        Some(at - self.width)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_scan_finds(nodes in 1..40_usize, steps in prop::collection::vec((0..40_usize, prop::option::of(-3..3_i64)), 0..80)) {
            let mut ranking = Ranking::default();
            ranking.reset(nodes);
            let mut scores = vec![None; nodes];
            for (node, score) in steps {
                let node = node % nodes;
                ranking.set(node, score);
                scores[node] = score;
                let highest = scores.iter().flatten().max().copied();
                let best: Vec<_> = (0..nodes).filter(|node| highest.is_some() && scores[*node] == highest).collect();
                prop_assert_eq!(ranking.best(), best.len());
                let found: Vec<_> = (0..=best.len()).filter_map(|k| ranking.nth_best(k)).collect();
                prop_assert_eq!(found, best);
            }
        }
    }
}
