//! Whether a value that was sent fits a field, and what of it the field then carries.
//!
//! Every folding that the canonical event makes on a single value is here.

use std::borrow::Cow;

use crate::event::fold;
use crate::event::json::{Document, Kind, Value};
use crate::time::Timestamp;

/// A value that fits a field.
pub(super) struct Fitted<T> {
    /// What the field gets.
    pub(super) value: T,
    /// Whether the field says all that was sent; otherwise the raw value goes to `unmapped` as well.
    pub(super) whole: bool,
}

fn whole<T>(value: T) -> Option<Fitted<T>> {
    Some(Fitted { value, whole: true })
}

/// Any string.
pub(super) fn text(value: Value<'_>) -> Option<Fitted<Cow<'_, str>>> {
    whole(value.text()?)
}

/// A string with something in it: URLs, phone numbers, and words that name something.
pub(super) fn filled(value: Value<'_>) -> Option<Fitted<Cow<'_, str>>> {
    whole(value.text().filter(|text| !text.is_empty())?)
}

/// A call id; digits without quotes are taken too, since no type may cost an event its call.
pub(super) fn call_id(value: Value<'_>) -> Option<Fitted<Cow<'_, str>>> {
    if value.kind() == Kind::Number {
        return Some(Fitted {
            value: Cow::Borrowed(value.raw()),
            whole: false,
        });
    }
    filled(value)
}

/// A URL without its query: owners put secrets there.
pub(super) fn url(value: Value<'_>) -> Option<Fitted<Cow<'_, str>>> {
    let url = filled(value)?.value;
    if memchr::memchr(b'?', url.as_bytes()).is_none() {
        return whole(url);
    }
    match without_query(&url, &["?"], &["#"]) {
        Cow::Owned(without) => whole(Cow::Owned(without)),
        Cow::Borrowed(_) => whole(url),
    }
}

/// Leaves away what stands between the first question mark and the fragment, in which one is no more than a character;
/// both may be spelled in several ways.
pub(super) fn without_query<'u>(url: &'u str, marks: &[&str], hashes: &[&str]) -> Cow<'u, str> {
    let first = |spellings: &[&str]| spellings.iter().filter_map(|s| url.find(s)).min();
    let fragment_at = first(hashes).unwrap_or(url.len());
    let query_at = first(marks).filter(|query_at| *query_at < fragment_at);
    match query_at.map(|query_at| (url.get(..query_at), url.get(fragment_at..))) {
        Some((Some(address), Some(fragment))) => Cow::Owned(format!("{address}{fragment}")),
        Some(_) | None => Cow::Borrowed(url),
    }
}

/// A time in any spelling of ISO 8601; one that says more than milliseconds can is kept too.
pub(super) fn time(value: Value<'_>) -> Option<Fitted<Timestamp>> {
    let sent = value.text()?;
    if let Some(usual) = Timestamp::parse_usual(&sent) {
        return whole(usual);
    }
    Some(Fitted {
        value: Timestamp::parse(&sent)?,
        whole: fits_milliseconds(&sent),
    })
}

/// Whether nothing is lost of a time: no digit below the millisecond but zeros, no leap second.
fn fits_milliseconds(time: &str) -> bool {
    let fraction = time.split_once(['.', ',']).map_or("", |(_, behind)| behind);
    let mut finer = fraction.bytes().take_while(u8::is_ascii_digit).skip(3);
    finer.all(|digit| digit == b'0') && !time.contains(":60")
}

/// `true` or `false`.
pub(super) fn boolean(value: Value<'_>) -> Option<Fitted<bool>> {
    if value.kind() == Kind::Boolean {
        whole(value.raw() == "true")
    } else {
        None
    }
}

/// A number digit for digit; also one in quotes, whose string is then kept too.
pub(super) fn number(value: Value<'_>) -> Option<Fitted<Cow<'_, str>>> {
    if value.kind() == Kind::Number {
        return whole(Cow::Borrowed(value.raw()));
    }
    let text = value.text()?;
    let document = Document::parse(text.as_bytes()).ok()?;
    let exact = document.root().kind() == Kind::Number && document.root().raw() == text;
    exact.then_some(Fitted {
        value: text,
        whole: false,
    })
}

/// The status of a call: every known spelling folded, another word as sent.
pub(super) fn status(value: Value<'_>) -> Option<Fitted<Cow<'_, str>>> {
    let sent = text(value)?.value;
    if CANONICAL_STATUSES.contains(&sent.as_ref()) {
        return whole(sent);
    }
    let known = match squeeze(&sent).as_str() {
        "completed" => "completed",
        "noanswer" => "no-answer",
        "busy" => "busy",
        "failed" => "failed",
        "canceled" | "cancelled" => "canceled",
        _ => return whole(sent),
    };
    whole(Cow::Borrowed(known))
}

const CANONICAL_STATUSES: [&str; 5] = ["completed", "no-answer", "busy", "failed", "canceled"];

/// The type of a metric, in lower case.
pub(super) fn metric_type(value: Value<'_>) -> Option<Fitted<Cow<'_, str>>> {
    let sent = text(value)?.value;
    let lower = sent.to_lowercase();
    whole(if lower == sent {
        sent
    } else {
        Cow::Owned(lower)
    })
}

/// What a word says about a call's way.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Way<'d> {
    /// `telephony`, `web`, or as sent.
    pub(super) channel: Option<Cow<'d, str>>,
    /// `inbound` or `outbound`.
    pub(super) direction: Option<&'static str>,
}

/// Reads `telephonyOutbound`, `telephony_inbound`, `inbound`, `webcall` and the like; `None` for any other word.
pub(super) fn way(sent: &str) -> Option<Way<'static>> {
    let telephony = |direction| Way {
        channel: Some(Cow::Borrowed("telephony")),
        direction: Some(direction),
    };
    match sent {
        "telephonyOutbound" | "telephony_outbound" => return Some(telephony("outbound")),
        "telephonyInbound" | "telephony_inbound" => return Some(telephony("inbound")),
        _ => {}
    }
    let word = squeeze(sent);
    let (rest, direction) = split_direction(&word);
    let channel = match rest {
        "" => None,
        "telephony" => Some("telephony"),
        "web" | "webcall" => Some("web"),
        _ => return None,
    };
    (channel.is_some() || direction.is_some()).then_some(Way {
        channel: channel.map(Cow::Borrowed),
        direction,
    })
}

/// As [`way`], with any other word as the channel.
pub(super) fn open_way(sent: Cow<'_, str>) -> Option<Way<'_>> {
    if sent.is_empty() {
        return None;
    }
    way(&sent).or_else(|| {
        let direction = split_direction(&squeeze(&sent)).1;
        Some(Way {
            channel: Some(sent),
            direction,
        })
    })
}

fn split_direction(word: &str) -> (&str, Option<&'static str>) {
    if let Some(rest) = word.strip_suffix("inbound") {
        (rest, Some("inbound"))
    } else if let Some(rest) = word.strip_suffix("outbound") {
        (rest, Some("outbound"))
    } else {
        (word, None)
    }
}

/// A word in lower case without anything between its parts.
fn squeeze(word: &str) -> String {
    let mut squeezed = String::with_capacity(word.len());
    squeezed.extend(word.chars().map(fold).filter(|c| *c != '-'));
    squeezed
}
