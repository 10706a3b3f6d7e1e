//! Sets of processors, written as the kernel does: `0-3,7`.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// The kernel knows no processor beyond this one.
const LAST: u32 = 8191;

/// Processors of the machine, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct CpuSet(BTreeSet<u32>);

/// A text that is not a set of processors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a list of processors: write numbers from 0 to {LAST} and ranges of them, as in 0-3,7")]
pub struct CpuSetError(String);

impl CpuSet {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether this one is among them.
    pub fn contains(&self, cpu: u32) -> bool {
        self.0.contains(&cpu)
    }

    /// The numbers, rising.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().copied()
    }

    /// Those of both.
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        Self(&self.0 | &other.0)
    }

    /// Those that are in both.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self(&self.0 & &other.0)
    }

    /// Those that are not in the other.
    #[must_use]
    pub fn without(&self, other: &Self) -> Self {
        Self(&self.0 - &other.0)
    }

    /// Whether the other has all of them.
    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }
}

impl FromIterator<u32> for CpuSet {
    fn from_iter<I: IntoIterator<Item = u32>>(cpus: I) -> Self {
        Self(cpus.into_iter().collect())
    }
}

impl FromStr for CpuSet {
    type Err = CpuSetError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || CpuSetError(text.to_owned());
        let number = |word: &str| word.parse().ok().filter(|cpu| *cpu <= LAST).ok_or_else(error);
        let mut cpus = BTreeSet::new();
        let parts = text.trim().split(',').filter(|_| !text.trim().is_empty());
        for part in parts {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (u32, u32) = (number(first)?, number(last)?);
            if first > last {
                return Err(error());
            }
            cpus.extend(first..=last);
        }
        Ok(Self(cpus))
    }
}

impl fmt::Display for CpuSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.iter().peekable();
        let mut separator = "";
        while let Some(first) = rest.next() {
            let mut last = first;
            while let Some(next) = rest.next_if_eq(&(last + 1)) {
                last = next;
            }
            write!(f, "{separator}{first}")?;
            if last > first {
                write!(f, "-{last}")?;
            }
            separator = ",";
        }
        Ok(())
    }
}

impl From<CpuSet> for String {
    fn from(cpus: CpuSet) -> Self {
        cpus.to_string()
    }
}

impl TryFrom<String> for CpuSet {
    type Error = CpuSetError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sets_are_written_as_the_kernel_does() {
        let of = |text: &str| text.parse::<CpuSet>().unwrap();
        assert_eq!(of("7,0-2,3\n").to_string(), "0-3,7");
        assert_eq!((of("").len(), of("4").to_string()), (0, "4".to_owned()));
        assert_eq!(of("0-3").without(&of("1,9")).to_string(), "0,2-3");
        for wrong in ["a", "3-1", "1,", "-", "0-8192", "4294967295", "1 2"] {
            assert!(wrong.parse::<CpuSet>().is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(cpus in proptest::collection::btree_set(0..=LAST, 0..40)) {
            let cpus = CpuSet(cpus);
            prop_assert_eq!(cpus.to_string().parse::<CpuSet>().unwrap(), cpus);
        }

        #[test]
        fn no_text_is_too_much(text in "[-0-9, ]{0,24}") {
            if let Ok(cpus) = text.parse::<CpuSet>() {
                prop_assert!(cpus.iter().all(|cpu| cpu <= LAST));
            }
        }
    }
}
