//! How long Pods have when their node goes down, by their priority.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;

use crate::eviction::CRITICAL;

/// Pods of at least this priority, and how long they have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct GraceGroup {
    priority: i32,
    seconds: u32,
}

/// A text that says no such thing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a priority and how long its Pods have, in whole seconds, as 1000=30s")]
pub struct GraceGroupError(String);

impl FromStr for GraceGroup {
    type Err = GraceGroupError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (priority, seconds) = text.split_once('=')?;
            Some(Self { priority: priority.parse().ok()?, seconds: seconds.strip_suffix('s')?.parse().ok()? })
        };
        read().ok_or_else(|| GraceGroupError(text.to_owned()))
    }
}

/// How long a node that goes down takes to end its Pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ShutdownGrace {
    /// The lowest priority first.
    groups: Vec<(i32, Duration)>,
}

/// Grace periods that contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShutdownGraceError {
    /// The part is more than the whole, or too little to be anything.
    #[error(
        "{critical:?} for critical Pods are a part of the grace period of {total:?}: give no more of it, and whole seconds or nothing"
    )]
    Parts {
        /// The whole.
        total: Duration,
        /// The part.
        critical: Duration,
    },
    /// A priority has two.
    #[error("the priority {0} is given twice")]
    Twice(i32),
}

impl ShutdownGrace {
    /// All of the time, and what of it belongs to critical Pods. Nothing at all leaves Pods running.
    pub fn new(total: Duration, critical: Duration) -> Result<Self, ShutdownGraceError> {
        let is_usable = |period: Duration| period.is_zero() || period >= Duration::from_secs(1);
        if critical > total || !is_usable(total) || !is_usable(critical) {
            return Err(ShutdownGraceError::Parts { total, critical });
        }
        let groups = vec![(0, total.saturating_sub(critical)), (CRITICAL, critical)];
        Ok(Self { groups: if total.is_zero() { Vec::new() } else { groups } })
    }

    /// The time of each priority.
    pub fn by_priority(groups: impl IntoIterator<Item = GraceGroup>) -> Result<Self, ShutdownGraceError> {
        let seconds = |group: GraceGroup| Duration::from_secs(group.seconds.into());
        let mut groups: Vec<_> = groups.into_iter().map(|group| (group.priority, seconds(group))).collect();
        groups.sort_unstable();
        match groups.windows(2).find(|two| two[0].0 == two[1].0) {
            Some(two) => Err(ShutdownGraceError::Twice(two[0].0)),
            None => Ok(Self { groups }),
        }
    }

    /// Whether Pods go on.
    pub(super) fn is_none(&self) -> bool {
        self.total().is_zero()
    }

    /// How long it takes at most.
    pub(super) fn total(&self) -> Duration {
        self.groups.iter().map(|(_, period)| *period).sum()
    }

    /// The Pods that end together and the time they have, the first to end first. Those below all priorities are of the lowest.
    pub(super) fn groups(&self, pods: Vec<Arc<Pod>>) -> Vec<(Duration, Vec<Arc<Pod>>)> {
        let mut groups: Vec<_> = self.groups.iter().map(|(_, period)| (*period, Vec::new())).collect();
        for pod in pods {
            let priority = pod.spec.as_ref().and_then(|spec| spec.priority).unwrap_or(0);
            let above = self.groups.partition_point(|(lowest, _)| *lowest <= priority);
            if let Some((_, of_group)) = groups.get_mut(above.saturating_sub(1)) {
                of_group.push(pod);
            }
        }
        groups
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn pod(name: &str, priority: Option<i32>) -> Arc<Pod> {
        let spec = json!({ "containers": [], "priority": priority });
        Arc::new(serde_json::from_value(json!({ "metadata": { "name": name }, "spec": spec })).unwrap())
    }

    fn named(groups: Vec<(Duration, Vec<Arc<Pod>>)>) -> Vec<(u64, Vec<String>)> {
        let names = |pods: Vec<Arc<Pod>>| pods.iter().map(|pod| pod.metadata.name.clone().unwrap()).collect();
        groups.into_iter().map(|(share, pods)| (share.as_secs(), names(pods))).collect()
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[rstest]
    #[case::none(0, 0, true)]
    #[case::no_critical(10_000, 0, true)]
    #[case::all_critical(10_000, 10_000, true)]
    #[case::too_much(10_000, 10_001, false)]
    #[case::too_little(500, 0, false)]
    fn periods_fit_together(#[case] total: u64, #[case] critical: u64, #[case] fits: bool) {
        let made = ShutdownGrace::new(Duration::from_millis(total), Duration::from_millis(critical));
        assert_eq!(made.is_ok(), fits, "{made:?}");
    }

    #[test]
    fn critical_pods_end_last_with_their_share() {
        let pods = vec![pod("critical", Some(CRITICAL)), pod("plain", None), pod("high", Some(CRITICAL - 1))];
        let grace = ShutdownGrace::new(seconds(30), seconds(10)).unwrap();
        assert_eq!((grace.total(), grace.is_none()), (seconds(30), false));
        assert!(
            ShutdownGrace::default().is_none()
                && ShutdownGrace::new(seconds(0), seconds(0)).unwrap().is_none()
        );
        assert_eq!(named(grace.groups(pods)), [(20, names(&["plain", "high"])), (10, names(&["critical"]))]);
    }

    #[test]
    fn priorities_have_the_time_of_the_group_they_are_in() {
        let groups = ["100000=10s", "-5=30s", "1000=120s"].map(|text| text.parse().unwrap());
        let grace = ShutdownGrace::by_priority(groups).unwrap();
        let pods = [
            ("below", -6),
            ("first", -5),
            ("plain", 0),
            ("next", 1000),
            ("middle", 99_999),
            ("last", 100_000),
            ("above", CRITICAL),
        ];
        let pods = pods.map(|(name, priority)| pod(name, Some(priority))).to_vec();
        let expected = [
            (30, names(&["below", "first", "plain"])),
            (120, names(&["next", "middle"])),
            (10, names(&["last", "above"])),
        ];
        assert_eq!(named(grace.groups(pods)), expected);
        let twice = ["1=2s", "1=3s"].map(|text| text.parse().unwrap());
        assert_eq!(ShutdownGrace::by_priority(twice), Err(ShutdownGraceError::Twice(1)));
    }

    #[rstest]
    #[case("")]
    #[case("10s")]
    #[case("a=10s")]
    #[case("1=10")]
    #[case("1=-1s")]
    #[case("99999999999=1s")]
    fn what_is_no_group_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<GraceGroup>(), Err(GraceGroupError(text.to_owned())));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[-+0-9]{0,12}=?[0-9]{0,12}s?") {
            if let Ok(group) = text.parse::<GraceGroup>() {
                prop_assert_eq!(format!("{}={}s", group.priority, group.seconds).parse(), Ok(group));
            }
        }

        #[test]
        fn every_pod_is_in_one_group(groups in prop::collection::btree_map(any::<i32>(), 0..100_u32, 1..6), priorities in prop::collection::vec(any::<i32>(), 0..20)) {
            let groups = groups.into_iter().map(|(priority, seconds)| GraceGroup { priority, seconds });
            let grace = ShutdownGrace::by_priority(groups).unwrap();
            let pods: Vec<_> = priorities.iter().map(|priority| pod("p", Some(*priority))).collect();
            let found = grace.groups(pods);
            prop_assert_eq!(found.iter().map(|(_, pods)| pods.len()).sum::<usize>(), priorities.len());
        }
    }
}
