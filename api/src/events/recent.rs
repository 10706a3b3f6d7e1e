//! A map that forgets what was asked for longest ago.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use super::REMEMBERED;

/// See the module's documentation.
pub(super) struct Recent<K, V> {
    /// With the turn of its last use.
    values: HashMap<K, (u64, V)>,
    turns: BTreeMap<u64, K>,
    next: u64,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { values: HashMap::new(), turns: BTreeMap::new(), next: 0 }
    }
}

impl<K: Clone + Eq + Hash, V> Recent<K, V> {
    /// The value of a key, which counts as used.
    pub(super) fn get_or_insert_with(&mut self, key: &K, value: impl FnOnce() -> V) -> &mut V {
        let turn = self.next;
        self.next += 1;
        if let Some((last, _)) = self.values.get(key) {
            self.turns.remove(last);
        } else if self.values.len() == REMEMBERED
            && let Some((_, oldest)) = self.turns.pop_first()
        {
            self.values.remove(&oldest);
        }
        self.turns.insert(turn, key.clone());
        let (last, value) = self.values.entry(key.clone()).or_insert_with(|| (turn, value()));
        *last = turn;
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forgets_what_was_used_longest_ago() {
        let mut recent = Recent::default();
        for key in 0..REMEMBERED {
            *recent.get_or_insert_with(&key, || 0) += 1;
        }
        recent.get_or_insert_with(&0, || 0);
        recent.get_or_insert_with(&REMEMBERED, || 0);
        assert_eq!(recent.values.len(), REMEMBERED);
        assert_eq!(recent.turns.len(), REMEMBERED);
        assert_eq!(*recent.get_or_insert_with(&0, || 0), 1, "was used again");
        assert_eq!(*recent.get_or_insert_with(&1, || 0), 0, "was forgotten");
    }
}
