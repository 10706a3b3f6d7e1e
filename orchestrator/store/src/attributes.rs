//! What was extracted from a value when it was written: name and value pairs that selectors look at.
//!
//! Kept compact, because there is one set for each object: one string and one array of ends, and the empty set is
//! shared by all that have it.

use std::fmt;
use std::sync::{Arc, LazyLock};

static EMPTY: LazyLock<Arc<Attributes>> = LazyLock::new(|| Arc::new(Attributes::default()));

/// Pairs of name and value, ordered by name; each name at most once.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Attributes {
    text: Box<str>,
    /// The end of every name and value in `text`: name 0, value 0, name 1, ...
    ends: Box<[u32]>,
}

impl Attributes {
    /// The value under `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let pairs = self.len();
        let (mut low, mut high) = (0, pairs);
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.piece(2 * middle).cmp(name) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(self.piece(2 * middle + 1)),
            }
        }
        None
    }

    /// All pairs in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        (0..self.len()).map(|pair| (self.piece(2 * pair), self.piece(2 * pair + 1)))
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.ends.len() / 2
    }

    /// Whether there is no pair.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Shares the allocation with every other empty set, or with `previous` if that says the same.
    pub(crate) fn shared(self, previous: Option<&Arc<Attributes>>) -> Arc<Attributes> {
        match previous {
            _ if self.is_empty() => Arc::clone(&EMPTY),
            Some(previous) if **previous == self => Arc::clone(previous),
            _ => Arc::new(self),
        }
    }

    fn piece(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.text[start..self.ends[index] as usize]
    }
}

impl From<Vec<(String, String)>> for Attributes {
    /// Sorts by name. Of several pairs with one name the last is kept.
    ///
    /// # Panics
    /// If the text is longer than 4 GiB, which no value can be.
    fn from(mut pairs: Vec<(String, String)>) -> Self {
        pairs.reverse();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, first| later.0 == first.0);
        let mut text = String::with_capacity(pairs.iter().map(|(n, v)| n.len() + v.len()).sum());
        let mut ends = Vec::with_capacity(2 * pairs.len());
        for piece in pairs.iter().flat_map(|(name, value)| [name, value]) {
            text.push_str(piece);
            ends.push(u32::try_from(text.len()).expect("attributes are part of a value of at most 64 MiB"));
        }
        Self { text: text.into_boxed_str(), ends: ends.into_boxed_slice() }
    }
}

impl fmt::Debug for Attributes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Attributes {
        pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect::<Vec<_>>().into()
    }

    #[test]
    fn are_sorted_and_found() {
        let attributes = of(&[("tier", "web"), ("app", "shop"), ("empty", "")]);
        assert_eq!(attributes.iter().collect::<Vec<_>>(), [("app", "shop"), ("empty", ""), ("tier", "web")]);
        assert_eq!(attributes.get("tier"), Some("web"));
        assert_eq!(attributes.get("empty"), Some(""));
        assert_eq!(attributes.get("ap"), None);
        assert_eq!(attributes.get("zone"), None);
    }

    #[test]
    fn the_last_of_a_repeated_name_wins() {
        assert_eq!(of(&[("a", "1"), ("a", "2")]).get("a"), Some("2"));
    }

    #[test]
    fn empty_and_equal_sets_share_memory() {
        assert!(Arc::ptr_eq(&Attributes::default().shared(None), &of(&[]).shared(None)));
        let first = of(&[("a", "1")]).shared(None);
        assert!(Arc::ptr_eq(&first, &of(&[("a", "1")]).shared(Some(&first))));
        assert!(!Arc::ptr_eq(&first, &of(&[("a", "2")]).shared(Some(&first))));
    }
}
