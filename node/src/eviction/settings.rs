//! What the node's owner says about thresholds, in kubelet's flags.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::time::Duration;

use super::thresholds::{Least, Signal, Thresholds, ThresholdsError, least, list};

/// When the node is short of something, and what it then does to its Pods.
#[derive(Clone, Debug)]
pub struct EvictionSettings {
    /// What must stay free: below it Pods end at once.
    pub hard: Thresholds,
    /// What should stay free: below it Pods end when it lasts.
    pub soft: Thresholds,
    /// How long that is, for every soft threshold.
    pub soft_grace: SoftGrace,
    /// The most seconds that containers of a Pod may take to end for a soft threshold.
    pub max_pod_grace: u32,
    /// How long a condition stays after the node was last short.
    pub transition: Duration,
    /// How much more than a threshold is to be free before the node stops ending Pods.
    pub minimum_reclaim: MinimumReclaim,
}

impl Default for EvictionSettings {
    fn default() -> Self {
        Self {
            hard: Thresholds::default(),
            soft: Thresholds::none(),
            soft_grace: SoftGrace::default(),
            max_pod_grace: 0,
            transition: Self::TRANSITION,
            minimum_reclaim: MinimumReclaim::default(),
        }
    }
}

/// A soft threshold for which nobody says how long it may be undercut.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the soft threshold of {0} needs a grace period: add {0}=1m30s to --eviction-soft-grace-period")]
pub struct MissingGrace(String);

impl EvictionSettings {
    /// The default of [`Self::transition`].
    pub const TRANSITION: Duration = Duration::from_mins(5);

    /// The same, unless a soft threshold lacks its grace period.
    pub fn checked(self) -> Result<Self, MissingGrace> {
        let missing = self.soft.iter().find(|(signal, _)| !self.soft_grace.0.contains_key(signal));
        match missing.map(|(signal, _)| signal.to_string()) {
            Some(signal) => Err(MissingGrace(signal)),
            None => Ok(self),
        }
    }

    /// Every threshold, the hard one of a signal first.
    pub(super) fn thresholds(&self) -> impl Iterator<Item = (Key, Least)> {
        let hard = self.hard.iter().map(|(signal, least)| (Key { signal, urgency: Urgency::Hard }, least));
        let soft = self.soft.iter().map(|(signal, least)| (Key { signal, urgency: Urgency::Soft }, least));
        hard.chain(soft)
    }

    /// How long the threshold may be undercut before Pods end.
    pub(super) fn grace(&self, key: Key) -> Duration {
        match key.urgency {
            Urgency::Hard => Duration::ZERO,
            Urgency::Soft => self.soft_grace.0.get(&key.signal).copied().unwrap_or_default(),
        }
    }

    /// What is to be free beyond the threshold once Pods end, of this whole.
    pub(super) fn reclaim(&self, signal: Signal, all: u64) -> u64 {
        self.minimum_reclaim.0.get(&signal).map_or(0, |least| least.of(all))
    }
}

/// Which threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    /// What it is about.
    pub(super) signal: Signal,
    /// Whether it may be undercut for a while.
    pub(super) urgency: Urgency,
}

/// Whether a threshold may be undercut for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// It may not.
    Hard,
    /// It may.
    Soft,
}

/// How long soft thresholds may be undercut: `memory.available=1m30s`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SoftGrace(BTreeMap<Signal, Duration>);

impl FromStr for SoftGrace {
    type Err = ThresholdsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let duration = |text: &str| Duration::try_from(text.parse::<jiff::SignedDuration>().ok()?).ok();
        list(text, '=', duration).map(Self)
    }
}

/// How much more than thresholds is to be free: `nodefs.available=500Mi`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MinimumReclaim(BTreeMap<Signal, Least>);

impl FromStr for MinimumReclaim {
    type Err = ThresholdsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        list(text, '=', least).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_soft_threshold_needs_a_grace_period() {
        let soft = |grace: &str| EvictionSettings {
            soft: "memory.available<1Gi".parse().unwrap(),
            soft_grace: grace.parse().unwrap(),
            ..EvictionSettings::default()
        };
        assert!(soft("memory.available=1m30s").checked().is_ok());
        let error = soft("pid.available=1m").checked().unwrap_err().to_string();
        assert!(error.starts_with("the soft threshold of memory.available needs a grace period"), "{error}");
    }

    #[test]
    fn values_of_the_wrong_kind_are_refused() {
        for text in ["memory.available=1Gi", "memory.available=-1m", "memory.available<1m"] {
            assert!(text.parse::<SoftGrace>().is_err(), "{text}");
        }
        for text in ["memory.available=5q", "memory.available=0", "swap=1Gi"] {
            assert!(text.parse::<MinimumReclaim>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parsers_panic(text in "([a-z.]{0,8}|memory.available|nodefs.available)[=<]?[0-9a-zA-Z%.]{0,8}") {
            let _ = (text.parse::<SoftGrace>(), text.parse::<MinimumReclaim>(), text.parse::<Thresholds>());
        }

        #[test]
        fn graces_are_read_as_go_writes_them(minutes in 0_u64..100, seconds in 0_u64..60) {
            let grace: SoftGrace = format!("pid.available={minutes}m{seconds}s").parse().unwrap();
            prop_assert_eq!(grace.0[&Signal::PidAvailable], Duration::from_secs(minutes * 60 + seconds));
        }
    }
}
