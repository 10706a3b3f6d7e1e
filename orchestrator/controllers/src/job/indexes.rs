//! Sets of completion indexes, kept and written as intervals: `0-3,5,7,8`.
//!
//! Guarantees: intervals are in order, apart from each other and as long as they can be, so that equal sets are
//! written alike. What cannot be read is left out: a status may have been written by anybody.

use std::fmt;

use k8s_openapi::api::core::v1::Pod;

/// The annotation, and label, of a Pod that says which index it works on.
pub(super) const INDEX: &str = "batch.kubernetes.io/job-completion-index";

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Indexes(Vec<Interval>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Interval {
    first: usize,
    last: usize,
}

impl Indexes {
    /// Reads what `Display` writes, as far as the indexes are below a bound.
    pub(super) fn parse(text: &str, below: usize) -> Self {
        let intervals = text.split(',').filter_map(|part| Interval::parse(part, below));
        Self::from_intervals(intervals.collect())
    }

    fn from_intervals(mut intervals: Vec<Interval>) -> Self {
        intervals.sort_unstable();
        let mut joined: Vec<Interval> = Vec::with_capacity(intervals.len());
        for next in intervals {
            match joined.last_mut() {
                Some(before) if next.first <= before.last.saturating_add(1) => {
                    before.last = before.last.max(next.last);
                }
                _ => joined.push(next),
            }
        }
        Self(joined)
    }

    /// The indexes of either set.
    pub(super) fn union(&self, other: &Self) -> Self {
        Self::from_intervals(self.0.iter().chain(&other.0).copied().collect())
    }

    pub(super) fn has(&self, index: usize) -> bool {
        let at = self.0.partition_point(|interval| interval.last < index);
        self.0.get(at).is_some_and(|interval| interval.first <= index)
    }

    /// How many indexes there are.
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|interval| interval.last - interval.first + 1).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many indexes both sets have.
    pub(super) fn overlap(&self, other: &Self) -> usize {
        let (mut a, mut b) = (self.0.iter().peekable(), other.0.iter().peekable());
        let mut count = 0;
        while let (Some(left), Some(right)) = (a.peek(), b.peek()) {
            let (first, last) = (left.first.max(right.first), left.last.min(right.last));
            count += (last + 1).saturating_sub(first);
            if left.last < right.last {
                a.next()
            } else {
                b.next()
            };
        }
        count
    }

    /// The indexes below a bound that the set does not have, in order.
    pub(super) fn missing(&self, below: usize) -> impl Iterator<Item = usize> + '_ {
        let ends = self.0.iter().map(|interval| (interval.first, interval.last + 1));
        let gaps = ends.chain([(below, below)]).scan(0, |from, (until, next)| {
            let gap = *from..until;
            *from = next;
            Some(gap)
        });
        gaps.flatten().take_while(move |index| *index < below)
    }
}

impl Interval {
    fn parse(text: &str, below: usize) -> Option<Self> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        let last = last.min(below.checked_sub(1)?);
        (first <= last).then_some(Self { first, last })
    }
}

impl FromIterator<usize> for Indexes {
    fn from_iter<T: IntoIterator<Item = usize>>(indexes: T) -> Self {
        let single = |index| Interval { first: index, last: index };
        Self::from_intervals(indexes.into_iter().map(single).collect())
    }
}

impl fmt::Display for Indexes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Interval { first, last }) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            match last - first {
                0 => write!(f, "{comma}{first}")?,
                1 => write!(f, "{comma}{first},{last}")?,
                _ => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}

/// The index that a Pod works on.
pub(super) fn index_of(pod: &Pod) -> Option<usize> {
    pod.metadata.annotations.as_ref()?.get(INDEX)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn set(indexes: &Indexes) -> BTreeSet<usize> {
        (0..200).filter(|index| indexes.has(*index)).collect()
    }

    #[rstest]
    #[case("", 10, "")]
    #[case("0", 10, "0")]
    #[case("0,1", 10, "0,1")]
    #[case("0,1,2", 10, "0-2")]
    #[case("1-3,5,7-8", 10, "1-3,5,7,8")]
    #[case("1-3,5,7-8", 3, "1,2")]
    #[case("1-3,x,5-2,-4,6", 10, "1-3,6")]
    #[case("5,1-2", 10, "1,2,5")]
    #[case("3", 0, "")]
    fn indexes_are_read_as_far_as_they_can_be(
        #[case] text: &str,
        #[case] below: usize,
        #[case] written: &str,
    ) {
        assert_eq!(Indexes::parse(text, below).to_string(), written);
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in "[-,0-9x]{0,30}", below in 0_usize..100) {
            let read = Indexes::parse(&text, below);
            prop_assert_eq!(Indexes::parse(&read.to_string(), below), read);
        }

        #[test]
        fn they_are_sets(
            a in prop::collection::btree_set(0_usize..150, 0..80),
            b in prop::collection::btree_set(0_usize..150, 0..80),
        ) {
            let (left, right): (Indexes, Indexes) = (a.iter().copied().collect(), b.iter().copied().collect());
            prop_assert_eq!(set(&left), a.clone());
            prop_assert_eq!(left.len(), a.len());
            prop_assert_eq!(set(&left.union(&right)), &a | &b);
            prop_assert_eq!(left.overlap(&right), (&a & &b).len());
            let missing: BTreeSet<usize> = left.missing(120).collect();
            prop_assert_eq!(missing, &(0..120).collect::<BTreeSet<_>>() - &a);
            prop_assert_eq!(Indexes::parse(&left.to_string(), 150), left);
        }
    }
}
