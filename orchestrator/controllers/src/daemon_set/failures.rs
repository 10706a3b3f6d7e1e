//! How long to wait before a failed Pod is replaced: the next one on the same node may fail as fast.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_mins(15);

/// When replacing last happened, and how long to wait since.
#[derive(Clone, Copy)]
struct Last {
    at: Timestamp,
    wait: Duration,
}

/// Waits by set, generation and node.
#[derive(Default)]
pub(super) struct Failures(Mutex<HashMap<Place, Last>>);

/// Where Pods fail: the set's uid, its generation, the node.
pub(super) type Place = (String, i64, String);

impl Failures {
    /// Asks whether a failed Pod may be replaced now; if not, how long to wait. Each replacement doubles the next wait.
    pub(super) fn replace(&self, place: Place, now: Timestamp) -> Result<(), Duration> {
        let mut all = self.0.lock();
        let age = |last: &Last| Duration::try_from(now.duration_since(last.at)).unwrap_or_default();
        // What has not failed for twice as long as it would have to wait begins anew.
        all.retain(|_, last| age(last) < LONGEST * 2);
        let wait = match all.get(&place) {
            Some(last) => match last.wait.checked_sub(age(last)) {
                Some(left) if !left.is_zero() => return Err(left),
                Some(_) | None => (last.wait * 2).min(LONGEST),
            },
            None => FIRST,
        };
        all.insert(place, Last { at: now, wait });
        Ok(())
    }

    /// Forgets a set that is gone.
    pub(super) fn forget(&self, uid: &str) {
        self.0.lock().retain(|(set, ..), _| set != uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_replacement_waits_longer_than_the_one_before() {
        let failures = Failures::default();
        let place = || ("set".to_owned(), 1, "node".to_owned());
        let mut now = Timestamp::UNIX_EPOCH;
        assert_eq!(failures.replace(place(), now), Ok(()));
        for seconds in [1, 2, 4] {
            assert_eq!(failures.replace(place(), now), Err(Duration::from_secs(seconds)));
            now = now.checked_add(Duration::from_secs(seconds)).unwrap();
            assert_eq!(failures.replace(place(), now), Ok(()));
        }
        assert_eq!(
            failures.replace(("set".into(), 2, "node".into()), now),
            Ok(()),
            "a new template begins anew"
        );
        failures.forget("set");
        assert_eq!(failures.replace(place(), now), Ok(()));
    }
}
