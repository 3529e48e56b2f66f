//! Moments as people write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use identity_sync::Timestamp;

/// The time of the machine.
#[allow(clippy::disallowed_methods, reason = "a program has a clock; the library is told the time")]
pub(crate) fn system() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

/// Seconds since 1970, or `2026-11-23T06:00:00Z`, or `2026-11-23 06:00:00` and `2026-11-23` in UTC.
pub(crate) fn parse(text: &str) -> Result<Timestamp, String> {
    if let Ok(seconds) = text.parse() {
        return Ok(Timestamp(seconds));
    }
    // The length of a day alone: its start is meant.
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let moment = humantime::parse_rfc3339_weak(&full).map_err(|error| format!("no time: {text}: {error}"))?;
    let since = moment.duration_since(UNIX_EPOCH).map_err(|_| format!("no time: {text}: before 1970"))?;
    i64::try_from(since.as_secs()).map(Timestamp).map_err(|_| format!("no time: {text}"))
}

/// As `parse` reads it; plain seconds where the calendar ends.
pub(crate) fn show(moment: Timestamp) -> String {
    const YEAR_9999: u64 = 253_402_300_800;
    match u64::try_from(moment.0) {
        Ok(seconds) if seconds < YEAR_9999 => {
            humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(seconds)).to_string()
        }
        _ => moment.0.to_string(),
    }
}
