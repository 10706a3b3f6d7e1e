//! Tests of schedules: what is one, what is none, and when they are.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use rstest::rstest;

use super::Schedule;

#[rstest]
#[case("x", "expected exactly 5 fields, found 1: [x]")]
#[case("", "empty spec string")]
#[case("60 * * * *", "end of range (60) above maximum (59): 60")]
#[case("* * 0 * *", "beginning of range (0) below minimum (1): 0")]
#[case("5-1 * * * *", "beginning of range (5) beyond end of range (1): 5-1")]
#[case("*/0 * * * *", "step of range should be a positive number: */0")]
#[case("1-2-3 * * * *", "too many hyphens: 1-2-3")]
#[case("*/1/2 * * * *", "too many slashes: */1/2")]
#[case("a * * * *", "failed to parse int from a: strconv.Atoi: parsing \"a\": invalid syntax")]
#[case("*/-2 * * * *", "negative number (-2) not allowed: -2")]
#[case("* * * * 7", "end of range (7) above maximum (6): 7")]
#[case("@never", "unrecognized descriptor: @never")]
#[case("@every x", "failed to parse duration @every x: time: invalid duration \"x\"")]
#[case("@every ", "failed to parse duration @every : time: invalid duration \"\"")]
#[case("TZ=No/Where * * * * *", "provided bad location No/Where: unknown time zone No/Where")]
fn texts_that_are_none(#[case] text: &str, #[case] why: &str) {
    assert_eq!(Schedule::parse(text), Err(why.to_owned()));
}

#[rstest]
#[case::each_minute("* * * * *", "UTC", "2026-03-01T10:00:30Z", "2026-03-01T10:01:00Z")]
#[case::not_now("0 * * * *", "UTC", "2026-03-01T10:00:00Z", "2026-03-01T11:00:00Z")]
#[case::steps("*/20 * * * *", "UTC", "2026-03-01T10:41:00Z", "2026-03-01T11:00:00Z")]
#[case::from_a_number_on("5/20 * * * *", "UTC", "2026-03-01T10:26:00Z", "2026-03-01T10:45:00Z")]
#[case::ranges_with_steps("30 6-16/4 * * 1-5", "UTC", "2026-03-06T14:30:00Z", "2026-03-09T06:30:00Z")]
#[case::names("0 0 * Feb,APR mon", "UTC", "2026-02-23T00:00:00Z", "2026-04-06T00:00:00Z")]
#[case::end_of_month("0 0 31 * *", "UTC", "2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z")]
#[case::leap_day("0 0 29 2 *", "UTC", "2024-02-29T00:00:00Z", "2028-02-29T00:00:00Z")]
#[case::either_day("0 0 13 * 5", "UTC", "2026-03-01T00:00:00Z", "2026-03-06T00:00:00Z")]
#[case::both_days("0 0 13 * *", "UTC", "2026-03-01T00:00:00Z", "2026-03-13T00:00:00Z")]
#[case::a_star_with_steps_is_no_star("0 0 */10 * 5", "UTC", "2026-03-01T00:00:00Z", "2026-03-06T00:00:00Z")]
#[case::word("@weekly", "UTC", "2026-03-04T00:00:00Z", "2026-03-08T00:00:00Z")]
#[case::year("@yearly", "UTC", "2026-03-04T00:00:00Z", "2027-01-01T00:00:00Z")]
#[case::every("@every 1h30m", "UTC", "2026-03-04T00:00:00.5Z", "2026-03-04T01:30:00Z")]
#[case::every_at_least_a_second("@every 10ms", "UTC", "2026-03-04T00:00:00Z", "2026-03-04T00:00:01Z")]
#[case::zone("30 9 * * *", "Asia/Kolkata", "2026-03-04T00:00:00Z", "2026-03-04T04:00:00Z")]
#[case::zone_of_its_own("TZ=Asia/Tokyo 0 9 * * *", "UTC", "2026-03-04T00:00:00Z", "2026-03-05T00:00:00Z")]
#[case::skipped_hour("30 2 * * *", "America/New_York", "2026-03-07T08:00:00Z", "2026-03-09T06:30:00Z")]
#[case::repeated_hour("30 1 * * *", "America/New_York", "2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z")]
#[case::skipped_midnight("0 0 * * *", "America/Santiago", "2026-09-05T12:00:00Z", "2026-09-07T03:00:00Z")]
fn times(#[case] text: &str, #[case] zone: &str, #[case] after: &str, #[case] next: &str) {
    let zone = TimeZone::get(zone).unwrap();
    let found = Schedule::parse(text).unwrap().next(after.parse().unwrap(), &zone);
    assert_eq!(found, Some(next.parse().unwrap()));
}

#[rstest]
#[case("0 0 31 2 *")]
#[case(", * * * *")]
fn times_that_never_come(#[case] text: &str) {
    let now: Timestamp = "2026-03-01T00:00:00Z".parse().unwrap();
    assert_eq!(Schedule::parse(text).unwrap().next(now, &TimeZone::UTC), None);
}

/// A field, and which numbers it chooses.
fn field(low: u32, high: u32) -> impl Strategy<Value = (String, Vec<u32>)> {
    let range = (low..=high, low..=high, 1_u32..10).prop_map(|(a, b, step)| {
        let (a, b) = (a.min(b), a.max(b));
        (format!("{a}-{b}/{step}"), (a..=b).step_by(step as usize).collect())
    });
    let star = Just(("*".to_owned(), (low..=high).collect()));
    let one = (low..=high).prop_map(|number| (number.to_string(), vec![number]));
    let single = prop_oneof![star, one, range];
    prop::collection::vec(single, 1..3).prop_map(|parts| {
        let texts: Vec<String> = parts.iter().map(|(text, _)| text.clone()).collect();
        (texts.join(","), parts.into_iter().flat_map(|(_, numbers): (_, Vec<u32>)| numbers).collect())
    })
}

proptest! {
    #[test]
    fn any_text_is_a_schedule_or_not(text in "[-*/,?@=TZ0-9a-z. ]{0,40}", after in 0_i64..4_000_000_000) {
        if let Ok(schedule) = Schedule::parse(&text) {
            let after = Timestamp::from_second(after).unwrap();
            if let Some(next) = schedule.next(after, &TimeZone::UTC) {
                prop_assert!(next > after);
            }
        }
    }

    #[test]
    fn the_next_time_is_the_first_that_fits(
        (minutes, minute_set) in field(0, 59),
        (hours, hour_set) in field(0, 23),
        after in 1_700_000_000_i64..1_900_000_000,
        zone in prop::sample::select(vec!["UTC", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    ) {
        let (zone, after) = (TimeZone::get(zone).unwrap(), Timestamp::from_second(after).unwrap());
        let schedule = Schedule::parse(&format!("{minutes} {hours} * * *")).unwrap();
        let next = schedule.next(after, &zone).unwrap();
        let fits = |time: Timestamp| {
            let local = zone.to_datetime(time);
            minute_set.contains(&u32::try_from(local.minute()).unwrap())
                && hour_set.contains(&u32::try_from(local.hour()).unwrap())
        };
        prop_assert!(fits(next) && next > after);
        let mut time = Timestamp::from_second(after.as_second().div_euclid(60) * 60 + 60).unwrap();
        while time < next {
            prop_assert!(!fits(time), "{time} comes before {next}");
            time += SignedDuration::from_mins(1);
        }
    }
}
