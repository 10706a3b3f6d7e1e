//! The times of a schedule.
//!
//! What a change of clocks skips does not happen on that day; what it repeats happens twice.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use super::{Fields, Schedule, Times};

/// A schedule that has no time for so many years never has one.
const YEARS: i16 = 5;
const MINUTE: SignedDuration = SignedDuration::from_mins(1);

impl Schedule {
    /// The first time after another, in whole seconds; none if there will not be any for years.
    pub fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match &self.times {
            Times::Every(delay) => {
                let begun = Timestamp::from_second(after.as_second()).ok()?;
                begun.checked_add(*delay).ok()
            }
            Times::Fields(fields) => fields.next(after, self.zone.as_ref().unwrap_or(zone)),
        }
    }
}

impl Fields {
    fn next(&self, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let first = zone.to_datetime(after).date();
        let last = first.year().saturating_add(YEARS);
        let days = std::iter::successors(Some(first), |day| day.tomorrow().ok());
        let mut days = days.take_while(|day| day.year() <= last).filter(|day| self.has_day(*day));
        days.find_map(|day| self.on_day(day, after, zone))
    }

    /// Of days of the month and of the week one must fit if both are given, and both if one is left open.
    fn has_day(&self, day: Date) -> bool {
        let part = |number: i8| u32::try_from(number).unwrap_or(0);
        let month = self.months.has(part(day.month()));
        let day_of_month = self.days.has(part(day.day()));
        let day_of_week = self.weekdays.has(part(day.weekday().to_sunday_zero_offset()));
        let fits = if self.days.any || self.weekdays.any {
            day_of_month && day_of_week
        } else {
            day_of_month || day_of_week
        };
        month && fits
    }

    /// The first time after another on this day.
    fn on_day(&self, day: Date, after: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        let begin = day.to_zoned(zone.clone()).ok()?.timestamp();
        let mut time = begin.max(next_minute(after)?);
        loop {
            let local = zone.to_datetime(time);
            if local.date() != day {
                return None;
            }
            let part = |number: i8| u32::try_from(number).unwrap_or(0);
            if self.hours.has(part(local.hour())) && self.minutes.has(part(local.minute())) {
                return Some(time);
            }
            // Clocks change on the quarter of an hour at the finest; minute by minute is exact whatever they do.
            time = time.checked_add(MINUTE).ok()?;
        }
    }
}

/// The first whole minute after a time.
fn next_minute(after: Timestamp) -> Option<Timestamp> {
    let minutes = after.as_second().div_euclid(60);
    Timestamp::from_second((minutes + 1) * 60).ok()
}
