//! Counts of values by classes, each twice as wide as the one before.

use std::sync::atomic::{AtomicU64, Ordering};

/// See the module's documentation. Counting takes two relaxed additions and no lock.
#[derive(Debug)]
pub(super) struct Histogram {
    first: f64,
    /// Of each class alone; the last one is of what is beyond all bounds.
    classes: Box<[AtomicU64]>,
    /// In millionths.
    sum: AtomicU64,
}

impl Histogram {
    /// Classes up to `first`, twice that, and so on.
    pub(super) fn new(first: f64, count: usize) -> Self {
        Self { first, classes: (0..=count).map(|_| AtomicU64::new(0)).collect(), sum: AtomicU64::new(0) }
    }

    /// Counts a value given in millionths.
    pub(super) fn count(&self, millionths: u64) {
        let last = self.classes.len() - 1;
        let class = self.bounds().position(|bound| to_whole(millionths) <= bound).unwrap_or(last);
        self.classes[class].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(millionths, Ordering::Relaxed);
    }

    /// The upper bounds of all classes but the last.
    pub(super) fn bounds(&self) -> impl Iterator<Item = f64> {
        std::iter::successors(Some(self.first), |bound| Some(bound * 2.0)).take(self.classes.len() - 1)
    }

    /// How many values are in each class and below.
    pub(super) fn totals(&self) -> Vec<u64> {
        let mut total = 0;
        let classes = self.classes.iter().map(|class| class.load(Ordering::Relaxed));
        classes
            .map(|count| {
                total += count;
                total
            })
            .collect()
    }

    /// The sum of all values.
    pub(super) fn sum(&self) -> f64 {
        to_whole(self.sum.load(Ordering::Relaxed))
    }
}

fn to_whole(millionths: u64) -> f64 {
    std::time::Duration::from_micros(millionths).as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_in_the_first_class_that_holds_it() {
        let histogram = Histogram::new(0.001, 3);
        for millionths in [0, 1_000, 1_001, 4_000, 4_001, 9_000_000] {
            histogram.count(millionths);
        }
        assert_eq!(histogram.bounds().collect::<Vec<_>>(), [0.001, 0.002, 0.004]);
        assert_eq!(histogram.totals(), [2, 3, 4, 6]);
        assert!((histogram.sum() - 9.010_002).abs() < 1e-9);
    }
}
