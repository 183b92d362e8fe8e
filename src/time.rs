//! A moment in UTC, in milliseconds: how it is read from the sender's spellings and written in the canonical event.
//!
//! Pure: the present is always an argument.

use std::fmt;

use jiff::civil::DateTime;
use serde::{Serialize, Serializer};

/// A moment in UTC, as Unix milliseconds; written as RFC 3339 with three decimals and `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `unix_ms` milliseconds after 1970-01-01T00:00:00Z.
    ///
    /// Years outside 0000 to 9999 have no RFC 3339 spelling and are drawn to the nearest end.
    pub fn from_unix_ms(unix_ms: i64) -> Self {
        Self(unix_ms.clamp(FIRST_MS, LAST_MS))
    }

    /// The present, by the system clock.
    pub fn now() -> Self {
        Self::from_unix_ms(jiff::Timestamp::now().as_millisecond())
    }

    /// Unix milliseconds.
    pub fn unix_ms(self) -> i64 {
        self.0
    }

    /// Reads ISO 8601: `T` or a space between date and time, any offset, `Z`, or no zone (which means UTC).
    ///
    /// A date without a time is none, and neither is what names its zone in brackets or lies outside the years 0000 to
    /// 9999: the moment that would come of it was not sent.
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(usual) = Self::parse_usual(text) {
            return Some(usual);
        }
        if !text.contains(['T', 't', ' ']) || text.contains('[') {
            return None;
        }
        let moment = text.parse::<jiff::Timestamp>();
        let unix_ms = moment.map(jiff::Timestamp::as_millisecond).ok();
        let unix_ms = unix_ms.or_else(|| written_ms(text))?;
        (FIRST_MS..=LAST_MS)
            .contains(&unix_ms)
            .then_some(Self(unix_ms))
    }

    /// Reads the spelling that nearly every time comes in, `2026-05-08T07:52:48.164Z`, of which a transcript has hundreds;
    /// `None` for every other one.
    pub fn parse_usual(text: &str) -> Option<Self> {
        let &[date, day_and_hour, second] = text.as_bytes().as_chunks().0 else {
            return None;
        };
        let [y1, _, y2, _, _, month, ..] = pairs(date, b"0000-00-")?;
        let [day, _, _, hour, _, _, minute, _] = pairs(day_and_hour, b"00T00:00")?;
        let [_, second, _, _, ms, _, last_digit, _] = pairs(second, b":00.000Z")?;
        let [month, day, hour, minute, second] = [month, day, hour, minute, second].map(u32::from);
        let year = u32::from(y1) * 100 + u32::from(y2);
        let ms = u32::from(ms) * 10 + u32::from(last_digit / 10);
        let date = (1..=12).contains(&month) && (1..=days_in(year, month)).contains(&day);
        if text.len() != 24 || !date || hour > 23 || minute > 59 || second > 59 {
            return None;
        }
        let ms = ((hour * 60 + minute) * 60 + second) * 1000 + ms;
        Some(Self(
            days_to(year, month, day) * DAY_MS as i64 + i64::from(ms),
        ))
    }

    /// RFC 3339 with three decimals.
    pub(crate) fn text(self) -> [u8; 24] {
        // By hand, since a general formatter takes most of an event's time.
        let since_0000 = self.0.abs_diff(FIRST_MS);
        let (days, ms) = (since_0000 / DAY_MS, (since_0000 % DAY_MS) as u32);
        let (year, month, day) = date_of(days as u32);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        let [y1, y2] = two_digits(year / 100);
        let [y3, y4] = two_digits(year % 100);
        let [[m1, m2], [d1, d2]] = [month, day].map(two_digits);
        let [[h1, h2], [i1, i2], [s1, s2]] = [hour, minute, second].map(two_digits);
        let [_, f1] = two_digits(ms % 1000 / 100);
        let [f2, f3] = two_digits(ms % 100);
        [
            y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2, b'T', h1, h2, b':', i1, i2, b':', s1, s2,
            b'.', f1, f2, f3, b'Z',
        ]
    }
}

/// At each place of a text that is like the pattern, where `0` is any digit, the number that begins there with two digits; all
/// eight at once.
#[inline]
fn pairs(text: [u8; 8], pattern: &[u8; 8]) -> Option<[u8; 8]> {
    let each = |byte: u8| u64::from_le_bytes([byte; 8]);
    let digits = u64::from_le_bytes(text) ^ u64::from_le_bytes(*pattern);
    let separators = u64::from_le_bytes(pattern.map(|b| if b == b'0' { 0 } else { 0xff }));
    let above_9 = (digits | digits.wrapping_add(each(0x80 - 10))) & each(0x80);
    let fits = above_9 | (digits & separators) == 0;
    fits.then(|| (digits * 10 + (digits >> 8)).to_le_bytes())
}

/// The digits of a number below 100.
#[inline]
fn two_digits(number: u32) -> [u8; 2] {
    *TWO_DIGITS.get(number as usize).unwrap_or(&[b'0'; 2])
}

#[expect(clippy::indexing_slicing, reason = "worked out when this is compiled")]
const TWO_DIGITS: [[u8; 2]; 100] = {
    let mut all = [*b"00"; 100];
    let mut number = 0;
    while number < 100 {
        all[number] = [b'0' + number as u8 / 10, b'0' + number as u8 % 10];
        number += 1;
    }
    all
};

/// Days from 1970-01-01 to a date of the Gregorian calendar from year 0 on; years are taken to begin in March, so that a leap
/// day is last.
fn days_to(year: u32, month: u32, day: u32) -> i64 {
    // 400 years later, so that nothing is below zero.
    let year = if month > 2 { year + 400 } else { year + 399 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = year * 365 + year / 4 - year / 100 + year / 400 + day_of_year;
    i64::from(days) - (TO_1970 + DAYS_IN_400_YEARS)
}

/// The date so many days after 0000-01-01: by Neri and Schneider, "Euclidean affine functions and their
/// application to calendar algorithms", who need but two divisions.
fn date_of(days: u32) -> (u32, u32, u32) {
    // From March 400 years before, so that nothing is below zero.
    let in_quarters = 4 * (days + FROM_MARCH) + 3;
    let (century, day) = (in_quarters / 146_097, in_quarters % 146_097 / 4);
    let in_years = 2_939_745 * u64::from(4 * day + 3);
    let day_of_year = (in_years & u64::from(u32::MAX)) / 2_939_745 / 4;
    let in_months = 2141 * day_of_year as u32 + 197_913;
    let (month, day) = (in_months >> 16, (in_months & 0xffff) / 2141 + 1);
    let year = 100 * century + (in_years >> 32) as u32;
    if day_of_year < 306 {
        (year - 400, month, day)
    } else {
        (year - 399, month - 12, day)
    }
}

fn days_in(year: u32, month: u32) -> u32 {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// A time by its clock and its zone: one without a zone, and one of the last hours that [`jiff::Timestamp`] leaves away.
fn written_ms(text: &str) -> Option<i64> {
    let written = jiff::fmt::temporal::Pieces::parse(text).ok()?;
    let clock = written.date().to_datetime(written.time()?);
    let east = written.to_numeric_offset();
    let unix_ms = clock.duration_since(EPOCH).as_millis()
        - i128::from(east.map_or(0, jiff::tz::Offset::seconds)) * 1000;
    let unix_ms = i64::try_from(unix_ms).ok()?;
    let is_late = unix_ms > jiff::Timestamp::MAX.as_millisecond();
    (east.is_none() || is_late).then_some(unix_ms)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.text()).unwrap_or_default())
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "examples": ["2026-05-08T07:52:48.164Z"] })
    }
}

const EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
const DAY_MS: u64 = 86_400_000;
const DAYS_IN_400_YEARS: i64 = 146_097;
/// From 0000-03-01.
const TO_1970: i64 = 719_468;
/// From 400 years before that to 0000-01-01.
const FROM_MARCH: u32 = 146_097 - 60;
const FIRST_MS: i64 = -62_167_219_200_000;
const LAST_MS: i64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn every_spelling_becomes_utc_milliseconds() {
        for (text, expected) in [
            ("2026-05-08T07:52:48.164Z", "2026-05-08T07:52:48.164Z"),
            ("2024-07-15T14:30:00Z", "2024-07-15T14:30:00.000Z"),
            ("2024-07-15T14:30:00", "2024-07-15T14:30:00.000Z"),
            ("2024-07-15 14:30:00", "2024-07-15T14:30:00.000Z"),
            ("2024-07-15T20:00:00.5+05:30", "2024-07-15T14:30:00.500Z"),
            ("2024-07-15T14:30:00.123456789Z", "2024-07-15T14:30:00.123Z"),
            ("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z"),
            ("9999-12-31T23:59:59.999999", "9999-12-31T23:59:59.999Z"),
            ("9999-12-31 20:00:00,5-03:00", "9999-12-31T23:00:00.500Z"),
            ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z"),
        ] {
            let read = Timestamp::parse(text).map(|t| t.to_string());
            assert_eq!(read.as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn every_moment_is_written_as_a_general_formatter_would() {
        for step in 0..10_000 {
            let unix_ms = FIRST_MS + (LAST_MS - FIRST_MS) / 9_999 * step;
            let clock = EPOCH + SignedDuration::from_millis(unix_ms);
            let text = Timestamp::from_unix_ms(unix_ms).to_string();
            assert_eq!(text, format!("{clock:.3}Z"));
            assert_eq!(Timestamp::parse(&text), Some(Timestamp(unix_ms)));
        }
    }

    #[test]
    fn the_usual_spelling_is_read_as_any_other() {
        let read = |text: &str| {
            text.parse::<jiff::Timestamp>()
                .ok()
                .map(|t| t.as_millisecond())
        };
        for step in 0..200_000 {
            // Every field beyond its ends too: days that a month does not have, hours, seconds.
            let (year, month, day) = (1896 + step / 1400, step / 33 % 14, step % 33);
            let text = format!(
                "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
                step % 25,
                step % 61,
                step % 59,
                step % 1000
            );
            assert_eq!(
                Timestamp::parse_usual(&text).map(Timestamp::unix_ms),
                read(&text),
                "{text}"
            );
        }
        for other in [
            "2026-05-08T07:52:48.164z",
            "2026-05-08T07:52:48,164Z",
            "2026-05-08T07:52:60.000Z",
            "+026-05-08T07:52:48.164Z",
        ] {
            assert_eq!(Timestamp::parse_usual(other), None, "{other}");
        }
        let last = Timestamp::parse_usual("9999-12-31T23:59:59.999Z");
        assert_eq!(last, Some(Timestamp(LAST_MS)));
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "...",
            "yesterday",
            "2024-13-01T00:00:00Z",
            "1720000000",
            "2024-07-15",
            "2024-07-15T14:30:00[Asia/Kolkata]",
            "2024-07-15T20:00:00+05:30[Asia/Kolkata]",
            "-000001-07-15T14:30:00Z",
            "9999-12-31T23:30:00-01:00",
            "10000-01-01T00:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
