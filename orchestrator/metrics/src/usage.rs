//! How much something uses per second, from what it had used at two moments.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use wherry_api::quantity::Quantity;

use crate::scrape::{PodKey, Point, Scrape};

/// The least time since its start from which a rate of what is new is worked out.
const FRESH: SignedDuration = SignedDuration::from_secs(1);
/// The longest such time: what ran for longer was not seen before, and its mean says little of now.
const YOUNG: SignedDuration = SignedDuration::from_mins(1);

/// What something uses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// The end of the window.
    pub(crate) at: Timestamp,
    /// The time of which the processors' part is the mean.
    pub(crate) window: SignedDuration,
    /// In parts of a processor.
    pub(crate) cpu: Quantity,
    /// In bytes.
    pub(crate) memory: Quantity,
}

/// Two scrapes, the second of which is the newer one.
#[derive(Debug, Default)]
pub(crate) struct Scrapes {
    pub(crate) before: Arc<Scrape>,
    pub(crate) last: Arc<Scrape>,
}

impl Scrapes {
    /// What a node uses, if that is known.
    pub(crate) fn node(&self, name: &str) -> Option<Usage> {
        usage(self.before.nodes.get(name), self.last.nodes.get(name)?)
    }

    /// What each container of a Pod uses. Of a Pod of which a container says nothing, nothing is known.
    pub(crate) fn pod(&self, key: &PodKey) -> Option<BTreeMap<&str, Usage>> {
        let before = self.before.pods.get(key);
        let each = self.last.pods.get(key)?.iter().map(|(name, last)| {
            let before = before.and_then(|containers| containers.get(name));
            Some((name.as_str(), usage(before, last)?))
        });
        each.collect()
    }
}

/// What is used between two moments, or since the start of what is new.
fn usage(before: Option<&Point>, last: &Point) -> Option<Usage> {
    let (cpu, memory) = (last.cpu?, last.memory?);
    let grown = before.filter(|before| before.started == last.started && before.at < last.at);
    let (window, used) = match grown.and_then(|before| Some((before.at, before.cpu?))) {
        Some((since, had)) if had <= cpu => (last.at.duration_since(since), cpu - had),
        _ => {
            let age = last.at.duration_since(last.started?);
            (FRESH..=YOUNG).contains(&age).then_some((age, cpu))?
        }
    };
    let (cpu, memory) = (quantity(used / window.as_secs_f64() * 1e9, "n")?, bytes(memory)?);
    Some(Usage { at: last.at, window, cpu, memory })
}

/// A number of units of this suffix, rounded up.
fn quantity(number: f64, suffix: &str) -> Option<Quantity> {
    format!("{:.0}{suffix}", number.ceil()).parse().ok()
}

/// A number of bytes.
fn bytes(number: f64) -> Option<Quantity> {
    format!("{number:.0}").parse::<i64>().ok().map(Quantity::from_bytes)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn point(at: f64, started: Option<f64>, cpu: f64) -> Point {
        let time = |seconds: f64| {
            Timestamp::from_duration(SignedDuration::try_from_secs_f64(seconds).unwrap()).unwrap()
        };
        Point { at: time(at), started: started.map(time), cpu: Some(cpu), memory: Some(8192.0) }
    }

    fn told(before: Option<Point>, last: Point) -> Option<(String, String, i128)> {
        let usage = usage(before.as_ref(), &last)?;
        Some((usage.cpu.to_string(), usage.memory.to_string(), usage.window.as_millis()))
    }

    #[rstest]
    #[case::of_two_moments(Some(point(10.0, Some(1.0), 3.0)), point(20.0, Some(1.0), 8.0), Some(("500m", 10_000)))]
    #[case::rounded_up(Some(point(10.0, None, 3.0)), point(13.0, None, 3.000_000_001), Some(("1n", 3000)))]
    #[case::idle(Some(point(10.0, None, 3.0)), point(20.0, None, 3.0), Some(("0", 10_000)))]
    #[case::started_again(Some(point(10.0, Some(1.0), 3.0)), point(20.0, Some(16.0), 1.0), Some(("250m", 4000)))]
    #[case::new(None, point(20.0, Some(10.0), 5.0), Some(("500m", 10_000)))]
    #[case::too_new(None, point(20.0, Some(19.5), 5.0), None)]
    #[case::not_seen_for_long(None, point(200.0, Some(10.0), 5.0), None)]
    #[case::node_seen_once(None, point(20.0, None, 5.0), None)]
    #[case::node_restarted(Some(point(10.0, None, 30.0)), point(20.0, None, 5.0), None)]
    #[case::same_moment(Some(point(20.0, None, 3.0)), point(20.0, None, 3.0), None)]
    fn rates_are_of_what_is_known(
        #[case] before: Option<Point>,
        #[case] last: Point,
        #[case] expected: Option<(&str, i128)>,
    ) {
        let expected = expected.map(|(cpu, window)| (cpu.to_owned(), "8Ki".to_owned(), window));
        assert_eq!(told(before, last), expected);
    }

    #[test]
    fn a_pod_is_known_if_all_its_containers_are() {
        let key = ("ns".to_owned(), "p".to_owned());
        let of = |points: &[(&str, Point)]| {
            Arc::new(Scrape {
                pods: [(
                    key.clone(),
                    points.iter().map(|(name, point)| ((*name).to_owned(), *point)).collect(),
                )]
                .into(),
                ..Scrape::default()
            })
        };
        let (old, new) = (point(10.0, Some(1.0), 1.0), point(20.0, Some(1.0), 2.0));
        let before = of(&[("a", old), ("gone", old)]);
        let last = of(&[("a", new), ("b", point(20.0, Some(15.0), 1.0))]);
        let scrapes = Scrapes { before, last };
        let found = scrapes.pod(&key).unwrap();
        assert_eq!(found.keys().copied().collect::<Vec<_>>(), ["a", "b"]);
        let silent = Point { memory: None, ..new };
        let scrapes =
            Scrapes { before: of(&[("a", old), ("b", old)]), last: of(&[("a", new), ("b", silent)]) };
        assert!(scrapes.pod(&key).is_none());
        assert!(scrapes.pod(&("ns".to_owned(), "q".to_owned())).is_none());
    }

    proptest! {
        #[test]
        fn a_rate_is_never_below_zero_nor_above_what_was_used(
            had in 0.0..1e6_f64, cpu in 0.0..1e6_f64, gap in 0.1..1e4_f64,
        ) {
            let (before, last) = (point(1000.0, Some(0.0), had), point(1000.0 + gap, Some(0.0), cpu));
            if let Some(usage) = usage(Some(&before), &last) {
                prop_assert!(cpu >= had && !usage.cpu.is_negative());
                #[expect(clippy::cast_precision_loss, reason = "compared with some room")]
                let nanos = usage.cpu.as_nanos() as f64;
                prop_assert!((nanos / 1e9 * gap - (cpu - had)).abs() <= 1e-5 * (1.0 + cpu) * (1.0 + gap));
            }
        }
    }
}
