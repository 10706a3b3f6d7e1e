//! When the node is short of something: thresholds in kubelet's words, `memory.available<100Mi,nodefs.available<5%`.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use wherry_api::quantity::Quantity;

/// A part of the whole that is written as a percentage is kept in millionths.
const MILLIONTHS_OF_A_PERCENT: u64 = 10_000;
const MILLION: u64 = 1_000_000;

/// What a threshold is about. Images and the rest of the data lie in one file system, so both of its names are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Signal {
    /// Memory that programs could still get.
    MemoryAvailable,
    /// Bytes of the file system of the node's data.
    NodefsAvailable,
    /// Inodes of the same.
    NodefsInodesFree,
    /// Bytes of the file system of images.
    ImagefsAvailable,
    /// Inodes of the same.
    ImagefsInodesFree,
    /// Process ids.
    PidAvailable,
}

impl Signal {
    const ALL: [(Self, &str); 6] = [
        (Self::MemoryAvailable, "memory.available"),
        (Self::NodefsAvailable, "nodefs.available"),
        (Self::NodefsInodesFree, "nodefs.inodesFree"),
        (Self::ImagefsAvailable, "imagefs.available"),
        (Self::ImagefsInodesFree, "imagefs.inodesFree"),
        (Self::PidAvailable, "pid.available"),
    ];
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::ALL.iter().find(|(signal, _)| signal == self).map_or("", |(_, name)| name);
        f.write_str(name)
    }
}

/// The least that must be free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Least {
    Amount(u64),
    /// Millionths of the whole.
    Share(u64),
    /// Millionths of the whole, where that is less than the amount.
    ShareUpTo(u64, u64),
}

/// What there is of something, and how much of it is free.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Supply {
    /// What nobody uses.
    pub(crate) free: u64,
    /// All there is.
    pub(crate) all: u64,
}

impl Least {
    /// As an amount, of this whole.
    pub(super) fn of(self, all: u64) -> u64 {
        let part = |share| u128::from(all) * u128::from(share) / u128::from(MILLION);
        match self {
            Self::Amount(least) => least,
            Self::Share(share) => u64::try_from(part(share)).unwrap_or(u64::MAX),
            Self::ShareUpTo(share, amount) => u64::try_from(part(share)).unwrap_or(u64::MAX).min(amount),
        }
    }

    /// Whether there is less. What is not counted, as inodes by some file systems, is never short.
    pub(super) fn is_undercut(self, supply: Supply) -> bool {
        if supply.all == 0 {
            return false;
        }
        let is_below_share = |share| {
            u128::from(supply.free) * u128::from(MILLION) < u128::from(supply.all) * u128::from(share)
        };
        match self {
            Self::Amount(least) => supply.free < least,
            Self::Share(share) => is_below_share(share),
            Self::ShareUpTo(share, amount) => supply.free < amount && is_below_share(share),
        }
    }
}

/// A list of thresholds, or of what goes with them, that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ThresholdsError {
    /// Not `SIGNAL<VALUE`, or with another sign.
    #[error("{part:?} must be a signal, {sign:?} and a value, as in memory.available<100Mi")]
    Form {
        /// What is wrong.
        part: String,
        /// What stands between the two.
        sign: char,
    },
    /// Nothing is known of what it is about.
    #[error("{threshold:?} names no signal of this node; there are {}", names())]
    Signal {
        /// The threshold.
        threshold: String,
    },
    /// The value is nothing of the kind.
    #[error(
        "threshold {0:?} must have a positive quantity, a percentage of up to 100% or, where it is about time, a duration"
    )]
    Value(String),
    /// A signal is named twice.
    #[error("there are two values for {0}")]
    Twice(String),
}

fn names() -> String {
    Signal::ALL.map(|(_, name)| name).join(", ")
}

/// What must stay free, by signal; a signal without a threshold is never short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thresholds(BTreeMap<Signal, Least>);

/// What holds where nothing is said. A share alone would call a large disk full while gigabytes are free.
impl Default for Thresholds {
    fn default() -> Self {
        let share = 5 * MILLIONTHS_OF_A_PERCENT;
        Self(BTreeMap::from([
            (Signal::MemoryAvailable, Least::Amount(100 << 20)),
            (Signal::NodefsAvailable, Least::ShareUpTo(share, 512 << 20)),
            (Signal::NodefsInodesFree, Least::ShareUpTo(share, 20_000)),
            (Signal::PidAvailable, Least::Share(share)),
        ]))
    }
}

impl Thresholds {
    /// None: nothing is ever short.
    pub fn none() -> Self {
        Self(BTreeMap::new())
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Signal, Least)> {
        self.0.iter().map(|(signal, least)| (*signal, *least))
    }
}

impl FromStr for Thresholds {
    type Err = ThresholdsError;

    fn from_str(text: &str) -> Result<Self, ThresholdsError> {
        Ok(Self(list(text, '<', least)?))
    }
}

/// A list of values for signals, as in `memory.available<100Mi,nodefs.available<5%`.
pub(super) fn list<T>(
    text: &str,
    sign: char,
    value: impl Fn(&str) -> Option<T>,
) -> Result<BTreeMap<Signal, T>, ThresholdsError> {
    let mut found = BTreeMap::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (name, given) =
            part.split_once(sign).ok_or_else(|| ThresholdsError::Form { part: part.to_owned(), sign })?;
        let unknown = || ThresholdsError::Signal { threshold: part.to_owned() };
        let (signal, _) = *Signal::ALL.iter().find(|(_, known)| *known == name).ok_or_else(unknown)?;
        let given = value(given).ok_or_else(|| ThresholdsError::Value(part.to_owned()))?;
        if found.insert(signal, given).is_some() {
            return Err(ThresholdsError::Twice(signal.to_string()));
        }
    }
    Ok(found)
}

/// A positive quantity, or a percentage.
pub(super) fn least(value: &str) -> Option<Least> {
    if let Some(percent) = value.strip_suffix('%') {
        let (whole, fraction) = percent.split_once('.').unwrap_or((percent, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 4 {
            return None;
        }
        let share = whole.parse::<u64>().ok()?.checked_mul(MILLIONTHS_OF_A_PERCENT)?;
        let share = share.checked_add(format!("{fraction:0<4}").parse().ok()?)?;
        return (share <= MILLION).then_some(Least::Share(share));
    }
    let quantity: Quantity = value.parse().ok()?;
    u64::try_from(quantity.value()).ok().filter(|amount| *amount > 0).map(Least::Amount)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn short(text: &str, signal: Signal, free: u64, all: u64) -> bool {
        let thresholds = text.parse::<Thresholds>().unwrap();
        thresholds.0.get(&signal).is_some_and(|least| least.is_undercut(Supply { free, all }))
    }

    #[rstest]
    #[case("nodefs.available<5%", 49, true)]
    #[case("nodefs.available<5%", 50, false)]
    #[case("nodefs.available<0.1%", 0, true)]
    #[case("nodefs.available<0.1%", 1, false)]
    #[case("imagefs.available<99%,nodefs.available<20", 19, true)]
    #[case("nodefs.available<20", 20, false)]
    #[case("imagefs.available<99%", 0, false)]
    #[case("", 0, false)]
    fn a_signal_is_short_below_its_threshold(#[case] text: &str, #[case] free: u64, #[case] expected: bool) {
        assert_eq!(short(text, Signal::NodefsAvailable, free, 1000), expected);
    }

    #[test]
    fn a_disk_is_short_by_its_share_or_by_bytes_whichever_is_less() {
        let gib = 1 << 30;
        let least = Thresholds::default().0[&Signal::NodefsAvailable];
        let short = |free, all| least.is_undercut(Supply { free, all });
        assert!(!short(gib, 256 * gib), "0.4 % of a large disk is enough for pods");
        assert!(short(gib / 4, 256 * gib));
        assert!(!short(gib / 4, 4 * gib), "6 % of a small disk");
        assert!(short(gib / 8, 4 * gib), "3 % of a small disk");
    }

    #[test]
    fn what_is_not_counted_is_never_short() {
        assert!(!short("nodefs.inodesFree<5%", Signal::NodefsInodesFree, 0, 0));
        assert!(short("memory.available<100Mi", Signal::MemoryAvailable, (100 << 20) - 1, 1 << 30));
    }

    #[rstest]
    #[case("memory.available", "must be a signal")]
    #[case("swap.free<1Gi", "names no signal")]
    #[case("memory.available<0", "positive quantity")]
    #[case("memory.available<-1Gi", "positive quantity")]
    #[case("memory.available<101%", "percentage of up to 100%")]
    #[case("memory.available<+1%", "percentage of up to 100%")]
    #[case("memory.available<1Mi,memory.available<1%", "two values for memory.available")]
    fn what_cannot_be_used_is_named(#[case] text: &str, #[case] expected: &str) {
        let error = text.parse::<Thresholds>().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,40}") {
            let _ = text.parse::<Thresholds>();
        }

        #[test]
        fn shares_are_of_the_whole(percent in 1_u64..=100, free in 0_u64..2000, all in 1_u64..2000) {
            let text = format!("nodefs.available<{percent}%");
            prop_assert_eq!(short(&text, Signal::NodefsAvailable, free, all), free * 100 < all * percent);
        }
    }
}
