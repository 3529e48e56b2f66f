//! `Retry-After`: seconds, or a date.

use std::time::Duration;

/// How long to wait, from the headers `Retry-After` and `Date` of one answer: the server's clock counts for both, and none of
/// ours is needed. `None` where it says nothing that can be understood.
pub(super) fn retry_after(wait: &str, now: Option<&str>) -> Option<Duration> {
    let wait = wait.trim();
    if let Ok(seconds) = wait.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = http_date(wait)?;
    Some(Duration::from_secs(until.saturating_sub(http_date(now?.trim())?)))
}

/// Seconds since 1970 of `Sun, 06 Nov 1994 08:49:37 GMT`, the form that RFC 9110 asks for.
fn http_date(text: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split_once(", ")?.1.split(' ');
    let day: u64 = parts.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year: u64 = parts.next()?.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let mut clock = parts.next()?.split(':');
    let mut field = |most: u64| clock.next()?.parse().ok().filter(|value| *value <= most);
    let (hours, minutes, seconds): (u64, u64, u64) = (field(23)?, field(59)?, field(60)?);
    if parts.next() != Some("GMT") {
        return None;
    }
    // Days in the proleptic Gregorian calendar, counted in years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    const TO_1970: u64 = 719_468;
    Some((days - TO_1970) * 86_400 + hours * 3_600 + minutes * 60 + seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood() {
        // rule X3
        let seconds = |wait, now| retry_after(wait, now).map(|wait| wait.as_secs());
        assert_eq!(seconds("7", None), Some(7));
        let now = Some("Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(http_date("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        assert_eq!(http_date("Thu, 01 Jan 1970 00:00:00 GMT"), Some(0));
        assert_eq!(http_date("Tue, 29 Feb 2028 23:59:59 GMT"), Some(1_835_481_599));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:51:37 GMT", now), Some(120));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(0));
        for nonsense in ["", "soon", "-1", "Sun, 06 Nov 1994 08:49:37", "Sun, 99 Nov 1994 08:49:37 GMT"] {
            assert_eq!(seconds(nonsense, now), None, "{nonsense}");
        }
        assert_eq!(seconds("Sun, 06 Nov 1994 08:51:37 GMT", None), None);
    }
}
