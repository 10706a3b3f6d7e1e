//! The ids that pods may have: those which the machine has set aside for the user `kubelet`, else those above its own.
//!
//! Source: KEP-127, and `subuid(5)` for the form of the files.

use std::fs;
use std::path::Path;

use super::PER_POD;

const USER: &str = "kubelet";

/// Ids for so many pods, from a multiple of a pod's number on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IdRange {
    first: u32,
    pods: u32,
}

/// Why the ids set aside cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RangeError {
    /// The two files differ.
    #[error(
        "/etc/subuid and /etc/subgid must name the same range for the user kubelet, and no more than one"
    )]
    Unequal,
    /// The range cannot be divided.
    #[error(
        "the range {first}:{count} of the user kubelet in /etc/subuid must begin at a multiple of {PER_POD} that is not 0, and be one long"
    )]
    Uneven {
        /// The first id.
        first: u32,
        /// How many there are.
        count: u32,
    },
}

impl IdRange {
    /// Ids for `pods` pods from `first` on.
    pub(crate) fn of(first: u32, pods: u32) -> Self {
        Self { first, pods: pods.min((u32::MAX - first) / PER_POD) }
    }

    /// What this machine says; without a word, ids for `max_pods` above those of its own users.
    pub(crate) fn of_machine(max_pods: u32) -> Result<Self, RangeError> {
        let read = |path: &str| fs::read_to_string(Path::new(path)).unwrap_or_default();
        Self::parse(&read("/etc/subuid"), &read("/etc/subgid"), max_pods)
    }

    fn parse(users: &str, groups: &str, max_pods: u32) -> Result<Self, RangeError> {
        match (&ranges(users)[..], &ranges(groups)[..]) {
            ([], []) => Ok(Self::of(PER_POD, max_pods)),
            ([(first, count)], [of_groups]) if of_groups == &(*first, *count) => {
                let is_even = |number: u32| number > 0 && number.is_multiple_of(PER_POD);
                if !is_even(*first) || !is_even(*count) {
                    return Err(RangeError::Uneven { first: *first, count: *count });
                }
                Ok(Self::of(*first, count / PER_POD))
            }
            _ => Err(RangeError::Unequal),
        }
    }

    /// For how many pods there are ids.
    pub(crate) fn pods(self) -> u32 {
        self.pods
    }

    /// The first id of each.
    pub(crate) fn firsts(self) -> impl Iterator<Item = u32> {
        (0..self.pods).map(move |index| self.first + index * PER_POD)
    }
}

/// The ranges of the user, from lines `USER:FIRST:COUNT`.
fn ranges(text: &str) -> Vec<(u32, u32)> {
    let range = |line: &str| {
        let (first, count) = line.strip_prefix(USER)?.strip_prefix(':')?.split_once(':')?;
        Some((first.trim().parse().ok()?, count.trim().parse().ok()?))
    };
    text.lines().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_the_machine_sets_aside_counts() {
        let own = "root:0:1\nkubelet:131072:196608\n";
        let parse = |users, groups| IdRange::parse(users, groups, 110);
        assert_eq!(parse(own, own), Ok(IdRange { first: 131_072, pods: 3 }));
        assert_eq!(parse("kubelets:131072:65536", ""), Ok(IdRange { first: 65536, pods: 110 }));
        assert_eq!(parse(own, ""), Err(RangeError::Unequal));
        assert_eq!(parse(own, "kubelet:131072:65536"), Err(RangeError::Unequal));
        let uneven = "kubelet:1000:65536";
        assert_eq!(parse(uneven, uneven), Err(RangeError::Uneven { first: 1000, count: 65536 }));
    }

    proptest! {
        #[test]
        fn whatever_is_set_aside_pods_share_no_ids(
            (users, groups) in ("(kubelet:[0-9]{1,10}:[0-9]{1,10}\n|[a-z:0-9]{0,20}\n){0,3}", ".{0,40}"),
            same in any::<bool>(),
            max_pods in any::<u32>(),
        ) {
            let groups = if same { &users } else { &groups };
            if let Ok(range) = IdRange::parse(&users, groups, max_pods) {
                let firsts: Vec<u32> = range.firsts().take(3).collect();
                prop_assert!(firsts.is_sorted_by(|one, next| next - one == PER_POD));
                prop_assert!(firsts.iter().all(|first| *first > 0 && first.checked_add(PER_POD - 1).is_some()));
                let end = u64::from(range.first) + u64::from(range.pods()) * u64::from(PER_POD);
                prop_assert!(u32::try_from(end).is_ok());
            }
        }
    }
}
