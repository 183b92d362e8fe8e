//! `--since` and `--until`: a duration back from now, or RFC 3339.

use crate::config::parse_duration;
use crate::time::Timestamp;

/// What is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "write a duration back from now such as 90s, 24h or 30d, or RFC 3339 such as 2026-05-08T07:52:48Z"
)]
pub struct NoTime;

/// Reads a moment as the command line spells it.
///
/// # Errors
///
/// The text is neither a duration nor a time.
pub fn parse_time_arg(text: &str, now: Timestamp) -> Result<Timestamp, NoTime> {
    if let Some(back) = parse_duration(text) {
        let back_ms = i64::try_from(back.as_millis()).map_err(|_| NoTime)?;
        return Ok(Timestamp::from_unix_ms(
            now.unix_ms().saturating_sub(back_ms),
        ));
    }
    Timestamp::parse(text).ok_or(NoTime)
}

/// As [`parse_time_arg`] with the system clock's present: a `value_parser` for clap.
///
/// # Errors
///
/// As [`parse_time_arg`].
pub fn time_arg(text: &str) -> Result<Timestamp, NoTime> {
    parse_time_arg(text, Timestamp::now())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_back_from_now() {
        let now = Timestamp::parse("2026-05-08T12:00:00Z").unwrap();
        for (text, expected) in [
            ("24h", "2026-05-07T12:00:00.000Z"),
            ("90s", "2026-05-08T11:58:30.000Z"),
            ("2026-05-01T00:00:00Z", "2026-05-01T00:00:00.000Z"),
            ("2026-05-01T05:30:00+05:30", "2026-05-01T00:00:00.000Z"),
        ] {
            assert_eq!(parse_time_arg(text, now).unwrap().to_string(), expected);
        }
    }

    #[test]
    fn what_is_neither_says_what_is_accepted() {
        let now = Timestamp::from_unix_ms(0);
        let error = parse_time_arg("yesterday", now).unwrap_err().to_string();
        assert!(
            error.contains("24h") && error.contains("RFC 3339"),
            "{error}"
        );
    }
}
