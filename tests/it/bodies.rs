//! Random bodies in every dialect, as raw JSON text: known names in their own and in wrong places, with fitting and wrong
//! values, among fields that nobody knows. Every text and number in a body is unique, so that a lost one cannot hide.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop where it stands"
)]

use proptest::prelude::*;
use proptest::sample::select;

/// A value that was sent.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Sent {
    Null,
    Bool(bool),
    /// The digits.
    Number(String),
    /// What stands between the quotes, and what it means.
    Text(Text),
    List(Vec<Sent>),
    Object(Vec<(Text, Sent)>),
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Text {
    pub(crate) raw: String,
    pub(crate) decoded: String,
    /// Whether half a surrogate pair is in it.
    pub(crate) is_broken: bool,
}

impl Text {
    pub(crate) fn plain(text: &str) -> Self {
        Self {
            raw: text.to_owned(),
            decoded: text.to_owned(),
            is_broken: false,
        }
    }
}

impl Sent {
    /// It as JSON text.
    pub(crate) fn json(&self) -> String {
        match self {
            Self::Null => "null".to_owned(),
            Self::Bool(value) => value.to_string(),
            Self::Number(digits) => digits.clone(),
            Self::Text(text) => format!("\"{}\"", text.raw),
            Self::List(elements) => {
                let elements: Vec<_> = elements.iter().map(Self::json).collect();
                format!("[{}]", elements.join(", "))
            }
            Self::Object(members) => {
                let member = |(key, value): &(Text, Self)| member_json(key, value);
                let members: Vec<_> = members.iter().map(member).collect();
                format!("{{ {} }}", members.join(",\n"))
            }
        }
    }

    /// Of repeated keys only the last, as the reader must see it.
    pub(crate) fn without_repeats(&self) -> Self {
        match self {
            Self::List(elements) => {
                Self::List(elements.iter().map(Self::without_repeats).collect())
            }
            Self::Object(members) => {
                let key = |text: &Text| match text.is_broken {
                    true => (true, text.raw.clone()),
                    false => (false, text.decoded.clone()),
                };
                let is_last = |at: usize| {
                    let later = members.iter().skip(at + 1);
                    !later
                        .into_iter()
                        .any(|(other, _)| key(other) == key(&members[at].0))
                };
                let last = members.iter().enumerate().filter(|(at, _)| is_last(*at));
                Self::Object(
                    last.map(|(_, (key, value))| (key.clone(), value.without_repeats()))
                        .collect(),
                )
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => self.clone(),
        }
    }

    /// The same with all members in another order; lists keep theirs.
    pub(crate) fn shuffled(&self, seed: &mut u64) -> Self {
        match self {
            Self::List(elements) => Self::List(
                elements
                    .iter()
                    .map(|element| element.shuffled(seed))
                    .collect(),
            ),
            Self::Object(members) => {
                let mut shuffled: Vec<_> = members
                    .iter()
                    .map(|(key, value)| (key.clone(), value.shuffled(seed)))
                    .collect();
                for at in (1..shuffled.len()).rev() {
                    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    let other = usize::try_from(*seed >> 33).unwrap() % (at + 1);
                    shuffled.swap(at, other);
                }
                Self::Object(shuffled)
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) => self.clone(),
        }
    }

    /// What stands at the end of these names, of repeated ones the last.
    pub(crate) fn below(&self, names: &[&str]) -> Option<&Self> {
        names.iter().try_fold(self, |value, name| match value {
            Self::Object(members) => {
                let mut members = members.iter().rev();
                let found = members.find(|(key, _)| !key.is_broken && key.decoded == *name);
                found.map(|(_, value)| value)
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::List(_) => None,
        })
    }

    /// Sends lists and objects of `metadata` and `data` a second time, at the root.
    fn repeat_containers(&mut self) {
        let mut repeated = Vec::new();
        for place in [&["metadata", "callData"][..], &["metadata"], &["data"]] {
            for name in CONTAINERS {
                let names: Vec<_> = place.iter().copied().chain([name]).collect();
                let found = self.below(&names).cloned();
                repeated.extend(found.map(|value| (Text::plain(name), value)));
            }
        }
        if let Self::Object(members) = self {
            // In front, so that what the root has under the same name wins.
            members.splice(0..0, repeated);
        }
    }

    /// Makes texts and numbers differ from all others in the body.
    fn number_leaves(&mut self, next: &mut u32) {
        match self {
            Self::Number(digits) => *digits = marked(digits, next),
            Self::Text(text) if is_number(&text.decoded) => {
                *text = Text::plain(&marked(&text.decoded, next));
            }
            Self::Text(text) if !is_word(&text.decoded) => {
                *next += 1;
                let mark = format!("{}§", *next + 1000);
                text.raw = format!("{mark}{}", text.raw);
                text.decoded = format!("{mark}{}", text.decoded);
            }
            Self::List(elements) => elements.iter_mut().for_each(|e| e.number_leaves(next)),
            Self::Object(members) => members.iter_mut().for_each(|(_, v)| v.number_leaves(next)),
            Self::Null | Self::Bool(_) | Self::Text(_) => {}
        }
    }
}

/// A member as JSON text.
pub(crate) fn member_json(key: &Text, value: &Sent) -> String {
    format!("\"{}\":{}", key.raw, value.json())
}

/// A body in the sender's dialect `A`, `B`, `C` or `D`, always with a call id.
pub(crate) fn body(dialect: char) -> impl Strategy<Value = Sent> {
    let known = prop::collection::vec(placed(dialect), 2..28);
    let extra = prop::collection::vec((key(), value()), 0..4);
    let call_id = select(vec!["callId", "call_id"]);
    let deep = prop::option::weighted(0.05, 20..90_usize);
    let twins = prop::bool::weighted(0.3);
    (known, extra, call_id, select(vec![0, 1, 2]), deep, twins).prop_map(
        move |(known, extra, call_id, place, deep, twins)| {
            let mut parts: [Vec<(Text, Sent)>; 5] = Default::default();
            for (place, name, value) in known {
                parts[place].push((Text::plain(name), value));
            }
            let place = if dialect == 'D' {
                [2, 3, 3][place]
            } else {
                [1, 1, 3][place]
            };
            let id = Text::plain("CALL-1778226705739-7e4c17");
            let id = (Text::plain(call_id), Sent::Text(id));
            let call_id_at_root = if place == 3 {
                Some(id)
            } else {
                parts[place].push(id);
                None
            };
            let [call_data, mut metadata, data, mut root, analytics] = parts;
            if !call_data.is_empty() {
                metadata.push((Text::plain("callData"), Sent::Object(call_data)));
            }
            if !analytics.is_empty() {
                let home = if dialect == 'D' {
                    &mut root
                } else {
                    &mut metadata
                };
                home.push((Text::plain("analytics"), Sent::Object(analytics)));
            }
            // Behind what might repeat their names, since of repeated keys the last one wins.
            root.extend(extra);
            for (name, members) in [("metadata", metadata), ("data", data)] {
                if !members.is_empty() {
                    root.push((Text::plain(name), Sent::Object(members)));
                }
            }
            root.extend(call_id_at_root);
            if let Some(depth) = deep {
                let nested =
                    (0..depth).fold(Sent::Number("7".into()), |inner, level| match level % 2 {
                        0 => Sent::List(vec![inner]),
                        _ => Sent::Object(vec![(Text::plain("d"), inner)]),
                    });
                root.push((Text::plain("deep"), nested));
            }
            let mut body = Sent::Object(root);
            body.number_leaves(&mut 0);
            if twins {
                body.repeat_containers();
            }
            body
        },
    )
}

/// What the API knows of a call, detail and row in one, always with a call id.
pub(crate) fn conversation() -> impl Strategy<Value = Sent> {
    let known = prop::collection::vec(of_conversation(), 2..20);
    let extra = prop::collection::vec((key(), value()), 0..4);
    (known, extra).prop_map(|(known, extra)| {
        let mut members: Vec<_> = known
            .into_iter()
            .map(|(name, value)| (Text::plain(name), value))
            .collect();
        members.extend(extra);
        let id = Text::plain("CALL-1778226705739-7e4c17");
        members.push((Text::plain("callId"), Sent::Text(id)));
        let mut body = Sent::Object(members);
        body.number_leaves(&mut 0);
        body
    })
}

fn of_conversation() -> impl Strategy<Value = (&'static str, Sent)> {
    (select(OF_CONVERSATION), prop::bool::weighted(0.2)).prop_flat_map(|(name, is_wrong)| {
        let metrics = || fitting("dispositionMetrics");
        let value = match name {
            _ if is_wrong => value(),
            "type" => fitting("conversationType"),
            "status" => fitting("callStatus"),
            "retryAttemptNumber" => fitting("retryAttempt"),
            "agent" | "agentId" => prop_oneof![
                3 => object(vec![("_id", text()), ("name", text())]),
                1 => text(),
            ]
            .boxed(),
            "postCallAnalytics" => object(vec![
                ("summary", text()),
                ("dispositionMetrics", metrics()),
                ("successMetrics", metrics()),
            ]),
            "agentDispositionConfig" => list(object(vec![
                ("identifier", text()),
                ("type", words(&WORDS[19..22])),
            ])),
            _ => fitting(name),
        };
        value.prop_map(move |value| (name, value))
    })
}

/// The names of the API, and some that it does not have but the webhooks do.
const OF_CONVERSATION: &[&str] = &[
    "from",
    "to",
    "type",
    "status",
    "duration",
    "agent",
    "agent",
    "agentId",
    "agentName",
    "createdAt",
    "recordingUrl",
    "recordingDualUrl",
    "transcript",
    "transcript",
    "variables",
    "postCallAnalytics",
    "postCallAnalytics",
    "agentDispositionConfig",
    "disconnectionReason",
    "isTest",
    "versionNumber",
    "retryAttemptNumber",
    "retryCount",
    "fromNumber",
    "callStatus",
    "metadata",
    "data",
    "id",
    "timestamp",
    "tags",
    "summary",
];

/// A known name somewhere (mostly where the dialect has it) with some value (mostly of its kind).
fn placed(dialect: char) -> impl Strategy<Value = (usize, &'static str, Sent)> {
    let home: Vec<usize> = match dialect {
        'A' => vec![0, 0, 1, 1, 1, 4],
        'B' => vec![0, 1, 1, 4, 4],
        'C' => vec![3, 3, 3, 1],
        _ => vec![3, 3, 3, 2],
    };
    let anywhere = vec![0, 1, 2, 3, 4];
    let place = prop_oneof![4 => select(home), 1 => select(anywhere)];
    (place, select(NAMES), prop::bool::weighted(0.2)).prop_flat_map(|(place, name, is_wrong)| {
        let value = if is_wrong {
            value().boxed()
        } else {
            fitting(name)
        };
        value.prop_map(move |value| (place, name, value))
    })
}

pub(crate) const NAMES: &[&str] = &[
    "callId",
    "call_id",
    "agentId",
    "agent_id",
    "agentName",
    "event",
    "eventType",
    "id",
    "url",
    "description",
    "timestamp",
    "conversationType",
    "callDirection",
    "call_direction",
    "direction",
    "fromPhone",
    "toPhone",
    "fromNumber",
    "toNumber",
    "caller_phone",
    "agent_phone",
    "callStatus",
    "call_status",
    "callDuration",
    "duration_seconds",
    "duration",
    "disposition",
    "outcome",
    "answerTime",
    "endTime",
    "createdAt",
    "recordingUrl",
    "recording_url",
    "recordingDualUrl",
    "endReason",
    "failureReason",
    "cost",
    "isTest",
    "retryCallId",
    "retryAttempt",
    "summary",
    "transcript",
    "variables",
    "tags",
    "metrics",
    "dispositionMetrics",
    "successMetrics",
    "analytics",
    "metadata",
    "data",
    "callData",
];

/// Names of lists and objects that a field carries.
pub(crate) const CONTAINERS: [&str; 7] = [
    "analytics",
    "dispositionMetrics",
    "successMetrics",
    "metrics",
    "tags",
    "transcript",
    "variables",
];

/// Words that mean something; they stay as they are.
const WORDS: &[&str] = &[
    "pre-conversation",
    "Start",
    "call.end",
    "CALL_ENDED",
    "Analytics Completed",
    "call.transferred",
    "inbound",
    "outbound",
    "telephonyOutbound",
    "telephony_inbound",
    "webcall",
    "chat",
    "completed",
    "no_answer",
    "no-answer",
    "NO ANSWER",
    "busy",
    "cancelled",
    "failed",
    "INTEGER",
    "BOOLEAN",
    "scale",
    "",
    "2024-07-15",
    "...",
    "69fc7dd072a0c1d28d948ace.post-conversation",
    "CALL-1778226705739-7e4c17",
];

/// A number that no other in the body is; the mark comes in front, where no sign, fraction or exponent swallows it.
fn marked(digits: &str, next: &mut u32) -> String {
    *next += 1;
    let (sign, digits) = match digits.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", digits),
    };
    format!("{sign}{}{digits}", *next + 1000)
}

fn is_number(text: &str) -> bool {
    !text.is_empty()
        && serde_json::from_str::<serde_json::Number>(text).is_ok()
        && text.trim() == text
}

fn is_word(text: &str) -> bool {
    WORDS.contains(&text) || text.contains("T0") || text.starts_with("https://")
}

fn words(words: &'static [&'static str]) -> BoxedStrategy<Sent> {
    select(words)
        .prop_map(|word| Sent::Text(Text::plain(word)))
        .boxed()
}

/// A value such as the sender would put there.
fn fitting(name: &'static str) -> BoxedStrategy<Sent> {
    match name {
        "event" | "eventType" => {
            prop_oneof![words(&WORDS[..6]), words(&WORDS[25..26]), text()].boxed()
        }
        "conversationType" | "callDirection" | "call_direction" | "direction" => {
            prop_oneof![5 => words(&WORDS[6..12]), 1 => text()].boxed()
        }
        "callStatus" | "call_status" => {
            prop_oneof![5 => words(&WORDS[12..19]), 1 => text()].boxed()
        }
        "timestamp" | "answerTime" | "endTime" | "createdAt" => time(),
        "callDuration" | "duration_seconds" | "duration" | "cost" | "retryAttempt" => {
            prop_oneof![4 => number(), 1 => number().prop_map(quoted)].boxed()
        }
        "isTest" => any::<bool>().prop_map(Sent::Bool).boxed(),
        "url" | "recordingUrl" => (
            "[a-z]{1,6}",
            "(#[a-z?]{0,3})?(\\?[a-z=&?]{0,6})?(#[a-z#?]{0,6})?",
        )
            .prop_map(|(path, rest)| {
                let url = format!("https://{path}.example/{path}{rest}");
                Sent::Text(Text::plain(&url))
            })
            .boxed(),
        "transcript" => list(object(vec![
            ("role", text()),
            ("content", text()),
            ("timestamp", time()),
        ])),
        "tags" => list(text()),
        "dispositionMetrics" | "successMetrics" => list(object(vec![
            ("identifier", text()),
            ("value", value()),
            (
                "confidence",
                prop_oneof![number(), number().prop_map(quoted)].boxed(),
            ),
            ("reasoning", text()),
            ("dispositionMetricPrompt", text()),
            ("successMetricPrompt", text()),
            (
                "dispositionMetricType",
                prop_oneof![words(&WORDS[19..22]), text()].boxed(),
            ),
            ("successMetricType", words(&WORDS[19..22])),
        ])),
        "variables" | "metrics" | "analytics" | "metadata" | "data" | "callData" => {
            prop::collection::vec((key(), value()), 0..5)
                .prop_map(Sent::Object)
                .boxed()
        }
        _ => text(),
    }
}

fn quoted(number: Sent) -> Sent {
    Sent::Text(Text::plain(&number.json()))
}

fn list(element: BoxedStrategy<Sent>) -> BoxedStrategy<Sent> {
    let element = prop_oneof![6 => element, 1 => value()];
    prop::collection::vec(element, 0..4)
        .prop_map(Sent::List)
        .boxed()
}

/// An object with some of these members, each mostly of its kind, and now and then one that nobody knows.
fn object(members: Vec<(&'static str, BoxedStrategy<Sent>)>) -> BoxedStrategy<Sent> {
    let some = members.into_iter().map(|(name, fits)| {
        let value = prop_oneof![5 => fits, 1 => value()];
        prop::option::weighted(0.7, value)
            .prop_map(move |value| value.map(|value| (Text::plain(name), value)))
            .boxed()
    });
    let extra = prop::option::weighted(0.2, (key(), value())).boxed();
    some.chain([extra])
        .collect::<Vec<_>>()
        .prop_map(|members| Sent::Object(members.into_iter().flatten().collect()))
        .boxed()
}

/// Anything.
fn value() -> BoxedStrategy<Sent> {
    let leaf = prop_oneof![
        2 => Just(Sent::Null),
        2 => any::<bool>().prop_map(Sent::Bool),
        3 => number(),
        1 => number().prop_map(quoted),
        4 => text(),
        1 => words(WORDS),
        1 => time(),
        1 => Just(Sent::List(vec![])),
        1 => Just(Sent::Object(vec![])),
    ];
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Sent::List),
            prop::collection::vec((key(), inner), 0..4).prop_map(Sent::Object),
        ]
    })
    .boxed()
}

fn number() -> BoxedStrategy<Sent> {
    "-?[1-9][0-9]{0,24}(\\.[0-9]{1,24})?([eE][+-]?[0-9]{1,3})?"
        .prop_map(Sent::Number)
        .boxed()
}

/// A time of day in one of the spellings that mean a moment, or nearly do.
fn time() -> BoxedStrategy<Sent> {
    let zone = select(vec!["Z", "", "+05:30", "-08:00", "[Asia/Kolkata]"]);
    let fraction = select(vec!["", ".5", ".123", ".123456", ".120000"]);
    (0..60_u32, 0..60_u32, fraction, zone)
        .prop_map(|(minute, second, fraction, zone)| {
            let time = format!("2026-05-08T09:{minute:02}:{second:02}{fraction}{zone}");
            Sent::Text(Text::plain(&time))
        })
        .boxed()
}

fn text() -> BoxedStrategy<Sent> {
    characters().prop_map(Sent::Text).boxed()
}

fn key() -> BoxedStrategy<Text> {
    prop_oneof![
        3 => select(NAMES).prop_map(Text::plain),
        3 => characters(),
        1 => select(vec!["", "/", "~", "~1", "a/b", "#", "\u{fffd}", "\u{fffd}#"]).prop_map(Text::plain),
    ]
    .boxed()
}

/// Any Unicode, some of it escaped, now and then with half a surrogate pair.
fn characters() -> BoxedStrategy<Text> {
    let piece = prop_oneof![
        8 => (any::<char>(), any::<bool>()).prop_map(|(c, escape)| spelled(c, escape)),
        4 => "[ -~]{1,8}".prop_map(|s| s.chars().map(|c| spelled(c, false)).collect::<Pieces>().0),
        1 => select(vec![r"\ud800", r"\udbff", r"\udc00", r"\uDFFF"])
            .prop_map(|half| (half.to_owned(), "\u{fffd}".to_owned(), true)),
    ];
    prop::collection::vec(piece, 0..5)
        .prop_map(|pieces| {
            let mut raw = String::new();
            let mut decoded = String::new();
            let mut is_broken = false;
            let mut was_broken = false;
            for (piece_raw, piece_decoded, piece_is_broken) in pieces {
                // Two halves side by side might be a pair.
                if piece_is_broken && was_broken {
                    continue;
                }
                raw.push_str(&piece_raw);
                decoded.push_str(&piece_decoded);
                is_broken |= piece_is_broken;
                was_broken = piece_is_broken
                    || piece_raw.starts_with(r"\ud")
                    || piece_raw.starts_with(r"\uD");
            }
            Text {
                raw,
                decoded,
                is_broken,
            }
        })
        .boxed()
}

/// Pieces of a text, put together.
struct Pieces((String, String, bool));

impl FromIterator<(String, String, bool)> for Pieces {
    fn from_iter<I: IntoIterator<Item = (String, String, bool)>>(pieces: I) -> Self {
        let mut whole = (String::new(), String::new(), false);
        for (raw, decoded, _) in pieces {
            whole.0.push_str(&raw);
            whole.1.push_str(&decoded);
        }
        Self(whole)
    }
}

fn spelled(c: char, escape: bool) -> (String, String, bool) {
    let must = c < ' ' || c == '"' || c == '\\';
    let raw = if escape || must {
        let mut units = [0; 2];
        let units = c.encode_utf16(&mut units);
        units.iter().map(|unit| format!("\\u{unit:04x}")).collect()
    } else {
        c.to_string()
    };
    (raw, c.to_string(), false)
}
