//! A moment in UTC, in milliseconds: how it is read from the sender's spellings and written in the canonical event.
//!
//! Pure: the present is always an argument.

use std::fmt;

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
        if !text.contains(['T', 't', ' ']) || text.contains('[') {
            return None;
        }
        let moment = text.parse::<jiff::Timestamp>().ok().or_else(|| {
            let civil: jiff::civil::DateTime = text.parse().ok()?;
            let zoned = civil.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
            Some(zoned.timestamp())
        })?;
        let unix_ms = moment.as_millisecond();
        (FIRST_MS..=LAST_MS)
            .contains(&unix_ms)
            .then_some(Self(unix_ms))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(moment) => write!(f, "{moment:.3}"),
            Err(_) => f.write_str("1970-01-01T00:00:00.000Z"),
        }
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
        ] {
            let read = Timestamp::parse(text).map(|t| t.to_string());
            assert_eq!(read.as_deref(), Some(expected), "{text}");
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
        ] {
            assert_eq!(Timestamp::parse(text), None, "{text}");
        }
    }
}
