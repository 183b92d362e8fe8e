//! A moment in UTC, in milliseconds: how it is read from the sender's spellings and written in the canonical event.
//!
//! Pure: the present is always an argument.

use std::fmt;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use serde::{Serialize, Serializer};

/// A moment in UTC, as Unix milliseconds; written as RFC 3339 with three decimals and `Z`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Its clock in UTC.
    fn civil(self) -> DateTime {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => jiff::tz::Offset::UTC.to_datetime(moment),
            Err(_) => EPOCH.saturating_add(SignedDuration::from_millis(self.0)),
        }
    }

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
        // By hand, since a transcript has hundreds of them and a general formatter takes most of an event's time.
        let civil = self.civil();
        let mut text = *b"0000-00-00T00:00:00.000Z";
        for (end, width, number) in [
            (4, 4, i32::from(civil.year())),
            (7, 2, i32::from(civil.month())),
            (10, 2, i32::from(civil.day())),
            (13, 2, i32::from(civil.hour())),
            (16, 2, i32::from(civil.minute())),
            (19, 2, i32::from(civil.second())),
            (23, 3, i32::from(civil.millisecond())),
        ] {
            let digits = text.get_mut(end - width..end).unwrap_or_default();
            let mut rest = number.unsigned_abs();
            for digit in digits.iter_mut().rev() {
                *digit = b'0' + u8::try_from(rest % 10).unwrap_or_default();
                rest /= 10;
            }
        }
        f.write_str(std::str::from_utf8(&text).unwrap_or_default())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
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
const FIRST_MS: i64 = -62_167_219_200_000;
const LAST_MS: i64 = 253_402_300_799_999;

#[cfg(test)]
mod tests {
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
