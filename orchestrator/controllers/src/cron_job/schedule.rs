//! When a CronJob is due, and when to look again.

use std::time::Duration;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::CronJob;
use wherry_api::cron::Schedule;

/// A later look is as good as one in this time.
const FAR: Duration = Duration::from_hours(24 * 365);
/// More missed times than these are told of.
const MANY: i64 = 100;

/// The times of one CronJob.
pub(super) struct Times {
    schedule: Schedule,
    zone: TimeZone,
    /// Since when times are missed that nothing was started for.
    since: Timestamp,
    /// How late a start may be.
    deadline: Option<SignedDuration>,
}

/// Why there are no times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoTimes {
    Zone(String),
    Schedule(String),
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Due {
    /// The last time that has come.
    pub(super) at: Timestamp,
    /// Whether there were very many before.
    pub(super) many: bool,
}

impl Times {
    pub(super) fn of(job: &CronJob) -> Result<Self, NoTimes> {
        let spec = &job.spec;
        let zone = match spec.time_zone.as_deref() {
            None => TimeZone::UTC,
            Some(name) => TimeZone::get(name).map_err(|_| NoTimes::Zone(name.to_owned()))?,
        };
        let schedule = Schedule::parse(&spec.schedule).map_err(NoTimes::Schedule)?;
        let made = job.metadata.creation_timestamp.as_ref().map_or(Timestamp::MIN, |time| time.0);
        let last = job.status.as_ref().and_then(|status| status.last_schedule_time.as_ref());
        let deadline = spec.starting_deadline_seconds.map(SignedDuration::from_secs);
        Ok(Self { schedule, zone, since: last.map_or(made, |time| time.0), deadline })
    }

    /// The zone of the CronJob.
    pub(super) fn zone(&self) -> &TimeZone {
        &self.zone
    }

    fn next(&self, after: Timestamp) -> Option<Timestamp> {
        self.schedule.next(after, &self.zone)
    }

    /// What is due now, if anything is that may still start.
    pub(super) fn due(&self, now: Timestamp) -> Option<Due> {
        let begun = self.deadline.and_then(|deadline| now.checked_sub(deadline).ok());
        let since = begun.map_or(self.since, |begun| begun.max(self.since));
        let first = self.next(since).filter(|first| *first <= now)?;
        let Some(second) = self.next(first).filter(|second| *second <= now) else {
            return Some(Due { at: first, many: false });
        };
        // An estimate by the distance of the first two, from before which the last one is looked for.
        let apart = second.duration_since(first).as_secs().max(1);
        let missed = now.duration_since(first).as_secs() / apart + 1;
        let begin =
            first.checked_add(SignedDuration::from_secs(apart * (missed - 2).max(0))).unwrap_or(first);
        let mut at = None;
        let mut next = self.next(begin);
        while let Some(time) = next.filter(|time| *time <= now) {
            at = Some(time);
            next = self.next(time);
        }
        Some(Due { at: at.unwrap_or(second), many: missed > MANY })
    }

    /// Whether it is too late for what is due.
    pub(super) fn is_late(&self, due: Timestamp, now: Timestamp) -> bool {
        self.deadline.is_some_and(|deadline| now.duration_since(due) > deadline)
    }

    /// How long until the next time.
    pub(super) fn wait(&self, now: Timestamp) -> Option<Duration> {
        let wait = self.next(now.max(self.since))?.duration_since(now);
        Some(Duration::try_from(wait).unwrap_or(Duration::ZERO).min(FAR))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::{Value, json};

    use super::*;

    fn times(spec: &Value, last: Option<&str>) -> Times {
        let job = json!({
            "metadata": { "creationTimestamp": "2026-03-01T08:00:30Z" }, "spec": spec,
            "status": { "lastScheduleTime": last },
        });
        Times::of(&serde_json::from_value(job).unwrap()).unwrap()
    }

    fn spec(schedule: &str, deadline: Option<i64>) -> Value {
        json!({ "schedule": schedule, "startingDeadlineSeconds": deadline, "jobTemplate": {} })
    }

    #[rstest]
    #[case::not_yet("0 * * * *", None, None, "2026-03-01T08:59:59Z", None)]
    #[case::now("0 * * * *", None, None, "2026-03-01T09:00:00Z", Some(("2026-03-01T09:00:00Z", false)))]
    #[case::done("0 * * * *", None, Some("2026-03-01T09:00:00Z"), "2026-03-01T09:00:01Z", None)]
    #[case::the_last_one_missed("0 * * * *", None, None, "2026-03-01T12:30:00Z", Some(("2026-03-01T12:00:00Z", false)))]
    #[case::uneven("30 6-16/4 * * 1-5", None, None, "2026-03-05T11:00:00Z", Some(("2026-03-05T10:30:00Z", false)))]
    #[case::very_many("* * * * *", None, None, "2026-03-01T10:00:10Z", Some(("2026-03-01T10:00:00Z", true)))]
    #[case::many_but_too_late("* * * * *", Some(90), None, "2026-03-01T10:00:10Z", Some(("2026-03-01T10:00:00Z", false)))]
    #[case::too_late("0 * * * *", Some(30), None, "2026-03-01T09:00:31Z", None)]
    #[case::every("@every 1h", None, None, "2026-03-01T10:10:00Z", Some(("2026-03-01T10:00:30Z", false)))]
    #[case::never("0 0 31 2 *", None, None, "2026-03-01T10:10:00Z", None)]
    fn what_is_due(
        #[case] schedule: &str,
        #[case] deadline: Option<i64>,
        #[case] last: Option<&str>,
        #[case] now: &str,
        #[case] due: Option<(&str, bool)>,
    ) {
        let found = times(&spec(schedule, deadline), last).due(now.parse().unwrap());
        assert_eq!(found, due.map(|(at, many)| Due { at: at.parse().unwrap(), many }));
    }

    #[rstest]
    #[case("0 * * * *", "2026-03-01T08:59:59.5Z", Some(Duration::from_millis(500)))]
    #[case("0 * * * *", "2026-03-01T09:00:00Z", Some(Duration::from_hours(1)))]
    #[case("0 0 31 2 *", "2026-03-01T09:00:00Z", None)]
    fn when_to_look_again(#[case] schedule: &str, #[case] now: &str, #[case] wait: Option<Duration>) {
        assert_eq!(times(&spec(schedule, None), None).wait(now.parse().unwrap()), wait);
    }
}
