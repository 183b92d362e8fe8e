//! How single values are written: sizes, durations, addresses, names.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// A kind of value: how it is read, and what to say when it cannot be.
pub(super) struct Kind<T> {
    pub(super) accepted: &'static str,
    pub(super) read: fn(&str) -> Option<T>,
}

pub(super) const ADDRESS: Kind<SocketAddr> = Kind {
    accepted: "an address and port such as 0.0.0.0:8080 or [::1]:8080 (port 0: any free one)",
    read: |text| text.parse().ok(),
};

pub(super) const SIZE: Kind<u64> = Kind {
    accepted: "a size above 0 such as 16MiB, 4GiB, 500KB or 1048576 (units B, KB, MB, GB, TB, KiB, MiB, GiB, TiB)",
    read: |text| parse_size(text).filter(|bytes| *bytes > 0),
};

/// SQLite holds no value of 1 GB or more, and a body lies in memory while it arrives.
pub(super) const BODY_SIZE: Kind<u64> = Kind {
    accepted: "a size from 1 B to 512MiB such as 16MiB or 500KB",
    read: |text| parse_size(text).filter(|bytes| (1..=512 << 20).contains(bytes)),
};

pub(super) const DURATION: Kind<Duration> = Kind {
    accepted: "a duration above 0 such as 500ms, 15s, 10m, 72h or 30d",
    read: |text| parse_duration(text).filter(|duration| !duration.is_zero()),
};

/// In milliseconds, as Kafka counts it.
pub(super) const RETENTION: Kind<i64> = Kind {
    accepted: "a duration above 0 such as 24h, 7d or 30d, or \"forever\"",
    read: |text| match text {
        "forever" => Some(-1),
        _ => {
            let duration = parse_duration(text).filter(|duration| !duration.is_zero())?;
            i64::try_from(duration.as_millis()).ok()
        }
    },
};

pub(super) const RETENTION_BYTES: Kind<i64> = Kind {
    accepted: "a size above 0 such as 10GiB, or \"unlimited\"",
    read: |text| match text {
        "unlimited" => Some(-1),
        _ => {
            let bytes = parse_size(text).filter(|bytes| *bytes > 0)?;
            i64::try_from(bytes).ok()
        }
    },
};

pub(super) const PATH: Kind<PathBuf> = Kind {
    accepted: "the path of a file",
    read: |text| (!text.is_empty()).then(|| PathBuf::from(text)),
};

pub(super) const PARTITIONS: Kind<u32> = Kind {
    accepted: "a whole number from 1 to 100000",
    read: |text| text.parse().ok().filter(|n| (1..=100_000).contains(n)),
};

pub(super) const REPLICATION: Kind<u16> = Kind {
    accepted: "a whole number from 1 to 1000",
    read: |text| text.parse().ok().filter(|n| (1..=1000).contains(n)),
};

pub(super) const TOPIC: Kind<String> = Kind {
    accepted: "a topic's name: 1 to 249 of a-z A-Z 0-9 . _ -, and neither . nor ..",
    read: |text| {
        let fits =
            (1..=249).contains(&text.len()) && is_topic_text(text) && text != "." && text != "..";
        fits.then(|| text.to_owned())
    },
};

/// The longest of the bridge's own names must fit behind it.
pub(super) const TOPIC_PREFIX: Kind<String> = Kind {
    accepted: "the beginning of topics' names: up to 200 of a-z A-Z 0-9 . _ -",
    read: |text| (text.len() <= 200 && is_topic_text(text)).then(|| text.to_owned()),
};

pub(super) const HEADER_NAME: Kind<String> = Kind {
    accepted: "a header's name such as x-api-key",
    read: |text| {
        let fits = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        (!text.is_empty() && text.bytes().all(fits)).then(|| text.to_ascii_lowercase())
    },
};

pub(super) const URL: Kind<String> = Kind {
    accepted: "an http:// or https:// address",
    read: |text| {
        let rest = text
            .strip_prefix("https://")
            .or(text.strip_prefix("http://"))?;
        (!rest.is_empty() && !rest.contains(char::is_whitespace)).then(|| text.to_owned())
    },
};

/// Reads a duration as the configuration and the command line spell it: `500ms`, `15s`, `10m`, `72h`, `30d`, `1h30m`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim();
    let mut total = Duration::ZERO;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = leading_number(rest)?;
        let end = after
            .find(|c: char| c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(end)?;
        let unit_ms = match unit.trim() {
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total = total.checked_add(Duration::from_millis(number.checked_mul(unit_ms)?))?;
        rest = after;
    }
    // Longer than anyone means, and still an i64 of milliseconds.
    (total <= Duration::from_secs(LONGEST_SECONDS)).then_some(total)
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = leading_number(text.trim())?;
    let unit_bytes: u64 = match unit.trim() {
        "" | "B" => 1,
        "KB" | "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "TB" => 1_000_000_000_000,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    // SQLite and the file system count in i64.
    let bytes = number.checked_mul(unit_bytes)?;
    i64::try_from(bytes).is_ok().then_some(bytes)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end)?;
    Some((number.parse().ok()?, rest))
}

fn is_topic_text(text: &str) -> bool {
    text.bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

const LONGEST_SECONDS: u64 = 100 * 366 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_in_every_unit() {
        for (text, expected) in [
            ("16MiB", Some(16 << 20)),
            ("4GiB", Some(4 << 30)),
            ("1048576", Some(1_048_576)),
            ("500KB", Some(500_000)),
            ("2 MB", Some(2_000_000)),
            ("16Mb", None),
            ("1.5GiB", None),
            ("-1", None),
            ("", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(parse_size(text), expected, "{text}");
        }
    }

    #[test]
    fn durations_are_read_in_every_unit() {
        for (text, expected_ms) in [
            ("500ms", Some(500)),
            ("15s", Some(15_000)),
            ("10m", Some(600_000)),
            ("72h", Some(259_200_000)),
            ("30d", Some(2_592_000_000)),
            ("1h30m", Some(5_400_000)),
            ("15", None),
            ("15 seconds", None),
            ("s", None),
            ("", None),
            ("-5s", None),
            ("1h30", None),
            ("99999999999999999d", None),
        ] {
            let read = parse_duration(text).map(|d| d.as_millis());
            assert_eq!(read, expected_ms, "{text}");
        }
    }

    #[test]
    fn retention_has_a_word_for_no_end() {
        for (text, ms) in [
            ("7d", Some(604_800_000)),
            ("forever", Some(-1)),
            ("-1", None),
            ("0s", None),
            ("604800000", None),
        ] {
            assert_eq!((RETENTION.read)(text), ms, "{text}");
        }
        for (text, bytes) in [
            ("10GiB", Some(10 << 30)),
            ("unlimited", Some(-1)),
            ("0", None),
            ("-1", None),
        ] {
            assert_eq!((RETENTION_BYTES.read)(text), bytes, "{text}");
        }
    }

    #[test]
    fn topic_names_are_kafkas() {
        let long = "a".repeat(250);
        for (text, fits) in [
            ("atoms.events", true),
            ("a-B_9", true),
            ("", false),
            (".", false),
            ("..", false),
            ("a b", false),
            ("ä", false),
            (&long, false),
        ] {
            assert_eq!((TOPIC.read)(text).is_some(), fits, "{text}");
        }
    }
}
