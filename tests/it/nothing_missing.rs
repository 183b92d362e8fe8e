//! Nothing sent is ever missing: each leaf of any body is found again in its event.
//!
//! The checker has its own table of names and its own foldings, written from the design and not from the reader. A leaf
//! counts as found when the one field that its name stands for carries it, or when `unmapped` holds it, at the pointer of
//! itself or of something around it. The query of `source.url` is the only exception.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop where it stands"
)]

use atoms_kafka_bridge::dialect::{self, Arrival};
use atoms_kafka_bridge::event::json::Document;
use atoms_kafka_bridge::event::{Origin, Stage, schema};
use atoms_kafka_bridge::time::Timestamp;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use crate::bodies::{CONTAINERS, Sent, Text, body, member_json};
use crate::tree::Tree;

#[test]
fn nothing_is_missing_from_the_current_platform() {
    prove('A');
}

#[test]
fn nothing_is_missing_from_the_two_event_page() {
    prove('B');
}

#[test]
fn nothing_is_missing_from_the_settings_page() {
    prove('C');
}

#[test]
fn nothing_is_missing_from_the_flat_page() {
    prove('D');
}

fn prove(dialect: char) {
    let validators: Vec<_> = schema::published()
        .into_iter()
        .map(|published| {
            let schema = serde_json::from_str(&published.text).unwrap();
            (published.topic, jsonschema::draft7::new(&schema).unwrap())
        })
        .collect();
    let config = Config {
        cases: 2500,
        failure_persistence: None,
        ..Config::default()
    };
    TestRunner::new(config)
        .run(&(body(dialect), any::<u64>()), |(sent, mut seed)| {
            let unique = sent.without_repeats();
            let event = parse(&unique.json());
            Check {
                event: &event,
                root: &unique,
                known_as: |names| names,
            }
            .value(&unique, &mut Vec::new())?;
            let shuffled = unique.shuffled(&mut seed).json();
            for same in [sent.json(), shuffled] {
                let other = without_quotes(parse(&same));
                prop_assert_eq!(other, without_quotes(event.clone()), "{}", same);
            }
            let topic = match &event.at("/type") {
                Some(Tree::Text(name)) if Stage::ALL.iter().any(|stage| stage.name() == name) => {
                    name
                }
                _ => schema::UNRECOGNIZED,
            };
            let (_, validator) = validators.iter().find(|(name, _)| *name == topic).unwrap();
            let errors: Vec<_> = validator
                .iter_errors(&event.to_value())
                .map(|e| e.to_string())
                .collect();
            prop_assert!(errors.is_empty(), "{errors:?}");
            Ok(())
        })
        .unwrap();
}

/// Without the text of members with broken keys, which is quoted as it stood, in whatever order.
pub(crate) fn without_quotes(mut event: Tree) -> Tree {
    if let Tree::Object(members) = &mut event
        && let Some(Tree::Object(unmapped)) = members.get_mut("unmapped")
    {
        unmapped.retain(|pointer, _| !pointer.ends_with('#'));
    }
    event
}

fn parse(body: &str) -> Tree {
    let arrival = Arrival {
        webhook: "default",
        id: "69fd96578d7c3809f58ce555",
        received_at: Timestamp::from_unix_ms(1_778_226_775_412),
        origin: Origin::Webhook,
    };
    let document = Document::parse(body.as_bytes()).unwrap_or_else(|e| panic!("{e}: {body}"));
    let event = dialect::parse(&document, &arrival).unwrap_or_else(|e| panic!("{e}: {body}"));
    Tree::read(&serde_json::to_string(&event).unwrap())
}

/// One body and what became of it.
pub(crate) struct Check<'t> {
    pub(crate) event: &'t Tree,
    pub(crate) root: &'t Sent,
    /// By which names of this table a path is known, `*` for a place in a list.
    pub(crate) known_as: for<'n> fn(Vec<&'n str>) -> Vec<&'n str>,
}

/// A step down into a body.
#[derive(Debug, Clone)]
pub(crate) enum Step<'t> {
    Key(&'t Text, &'t Sent),
    At(usize),
}

impl<'t> Check<'t> {
    pub(crate) fn value(
        &self,
        value: &'t Sent,
        path: &mut Vec<Step<'t>>,
    ) -> Result<(), TestCaseError> {
        match value {
            Sent::List(_) | Sent::Object(_) if self.is_twin(value, path) => {}
            Sent::List(elements) if !elements.is_empty() => {
                for (at, element) in elements.iter().enumerate() {
                    path.push(Step::At(at));
                    self.value(element, path)?;
                    path.pop();
                }
            }
            Sent::Object(members) if !members.is_empty() => {
                for (key, member) in members {
                    path.push(Step::Key(key, member));
                    self.value(member, path)?;
                    path.pop();
                }
            }
            Sent::Null
            | Sent::Bool(_)
            | Sent::Number(_)
            | Sent::Text(_)
            | Sent::List(_)
            | Sent::Object(_) => {
                let found = self.is_told(value, path)
                    || (self.is_carried(value, path) && self.breaks_are_told(value, path));
                prop_assert!(
                    found,
                    "{} at {} is missing from\n{:?}\nsent as\n{}",
                    value.json(),
                    pointer(path),
                    self.event,
                    self.root.json()
                );
            }
        }
        Ok(())
    }

    /// Whether the same list or object stands in a place that goes before, where it is judged.
    fn is_twin(&self, value: &Sent, path: &[Step<'t>]) -> bool {
        let Some(Step::Key(key, _)) = path.last() else {
            return false;
        };
        let name = key.decoded.as_str();
        let kind = std::mem::discriminant(value);
        let first = |name: &str| {
            let found = PLACES.iter().filter_map(move |place| {
                let names: Vec<_> = place.iter().copied().chain([name]).collect();
                self.root.below(&names)
            });
            found.collect::<Vec<_>>()
        };
        let analytics = first("analytics");
        let mut analytics = analytics.iter().filter(|v| matches!(v, Sent::Object(_)));
        let is_of_analytics = name.to_lowercase().contains("metrics");
        let within = analytics.next().filter(|_| is_of_analytics);
        let within = within.and_then(|first| first.below(&[name]));
        let mut named: Vec<_> = within.into_iter().chain(first(name)).collect();
        named.retain(|other| std::mem::discriminant(*other) == kind);
        let is_there = named.iter().any(|other| std::ptr::eq(*other, value));
        let winner = named.first().copied().filter(|_| is_there);
        CONTAINERS.contains(&name)
            && winner.is_some_and(|won| !std::ptr::eq(won, value) && is_same(won, value))
    }

    /// Whether `unmapped` holds it, at its own pointer, at that of something around it, or as part of a member whose key
    /// is broken.
    fn is_told(&self, value: &Sent, path: &[Step<'t>]) -> bool {
        let Some(Tree::Object(unmapped)) = self.event.at("/unmapped") else {
            return false;
        };
        let within_broken_key = path.iter().enumerate().any(|(at, step)| match step {
            Step::Key(key, member) if key.is_broken => {
                let name = format!("{}#", pointer(&path[..=at]));
                let sent = Tree::Text(member_json(key, member));
                unmapped.iter().any(|(key, told)| {
                    key.trim_end_matches('#') == name.trim_end_matches('#') && *told == sent
                })
            }
            Step::Key(..) | Step::At(_) => false,
        });
        let around = (1..=path.len()).any(|length| {
            let inside = &pointer(path)[pointer(&path[..length]).len()..];
            let told = unmapped.get(&pointer(&path[..length]));
            told.and_then(|told| told.at(inside))
                .is_some_and(|told| says(told, value))
        });
        let has_broken_key = path
            .iter()
            .any(|step| matches!(step, Step::Key(key, _) if key.is_broken));
        match (has_broken_key, value) {
            (true, _) => within_broken_key,
            (false, Sent::Text(text)) if text.is_broken => self.breaks_are_told(value, path),
            (false, _) => around,
        }
    }

    /// Whether the raw escapes of a broken text stand in `unmapped` at its own pointer.
    fn breaks_are_told(&self, value: &Sent, path: &[Step<'t>]) -> bool {
        let Sent::Text(text) = value else { return true };
        let Some(Tree::Object(unmapped)) = self.event.at("/unmapped") else {
            return !text.is_broken;
        };
        // Another member's broken key may have taken the name with one `#`.
        let here = pointer(path);
        let told = |(key, told): (&String, &Tree)| {
            let is_here = *key == here || (here.ends_with('#') && key.starts_with(&here));
            let Tree::Text(told) = told else { return false };
            let behind = text.raw.strip_prefix(told.as_str());
            let is_whole = behind.is_some_and(str::is_empty);
            is_here && (is_whole || (here == "/url" && *told == without_query(&text.raw)))
        };
        !text.is_broken || unmapped.iter().any(told)
    }

    fn is_carried(&self, value: &Sent, path: &[Step<'t>]) -> bool {
        let names: Option<Vec<_>> = path
            .iter()
            .map(|step| match step {
                Step::Key(key, _) if key.is_broken => None,
                Step::Key(key, _) => Some(key.decoded.as_str()),
                Step::At(_) => Some("*"),
            })
            .collect();
        let Some(names) = names else { return false };
        let names = (self.known_as)(names);
        let names = match names.as_slice() {
            ["metadata", "callData", rest @ ..] if !rest.is_empty() => rest,
            ["metadata" | "data", rest @ ..] if !rest.is_empty() => rest,
            rest => rest,
        };
        let names = match names {
            [
                "analytics",
                rest @ ("summary" | "metrics" | "dispositionMetrics" | "successMetrics"),
                ..,
            ] => {
                let _ = rest;
                &names[1..]
            }
            _ => names,
        };
        let is_root = path.len() == 1;
        match names {
            [] => false,
            ["callData"] => *value == Sent::Object(vec![]) && self.has("/call"),
            ["analytics"] => *value == Sent::Object(vec![]) && self.has("/analytics"),
            ["variables", ..] => {
                let inner = pointer(&path[path.len() - names.len() + 1..]);
                self.event
                    .at(&format!("/variables{inner}"))
                    .is_some_and(|carried| says(carried, value))
            }
            ["transcript", "*", rest @ ..] => self.turn(value, path, rest),
            ["dispositionMetrics", "*", rest @ ..] => self.metric(value, path, rest, "disposition"),
            ["successMetrics", "*", rest @ ..] => self.metric(value, path, rest, "success"),
            ["agentDispositionConfig", "*", "identifier" | "type"] => self.type_of_a_metric(path),
            ["metrics", identifier] => self.plain_metric(value, identifier),
            ["tags", "*"] => self.texts_at("/tags").iter().any(|tag| says(tag, value)),
            ["transcript"] => *value == Sent::List(vec![]) && self.has("/transcript"),
            ["tags"] => *value == Sent::List(vec![]) && self.has("/tags"),
            ["dispositionMetrics" | "successMetrics"] => {
                *value == Sent::List(vec![]) && self.has("/analytics/metrics")
            }
            ["metrics"] => *value == Sent::Object(vec![]) && self.has("/analytics/metrics"),
            ["id"] if is_root => self.carries("/id", value),
            ["event"] if is_root => self.carries("/source/event", value),
            ["description"] if is_root => self.carries("/source/description", value),
            ["url"] if is_root => self.url(value),
            [name] => self.named(name, value),
            _ => false,
        }
    }

    fn has(&self, pointer: &str) -> bool {
        self.event.at(pointer).is_some()
    }

    fn carries(&self, pointer: &str, value: &Sent) -> bool {
        self.event
            .at(pointer)
            .is_some_and(|carried| says(carried, value))
    }

    fn texts_at(&self, pointer: &str) -> &[Tree] {
        match self.event.at(pointer) {
            Some(Tree::List(elements)) => elements,
            _ => &[],
        }
    }

    fn url(&self, value: &Sent) -> bool {
        let Sent::Text(text) = value else {
            return false;
        };
        let told = without_query(&text.decoded);
        self.carries("/source/url", &Sent::Text(Text::plain(&told)))
    }

    /// A field that goes by one name in any of the four places.
    fn named(&self, name: &str, value: &Sent) -> bool {
        let field = match name {
            "callId" | "call_id" => "/callId",
            "agentId" | "agent_id" => "/agentId",
            "agentName" => "/agentName",
            "eventType" => return self.event_type(value),
            "timestamp" => return self.time("/occurredAt", value),
            "answerTime" => return self.time("/call/answeredAt", value),
            "endTime" => return self.time("/call/endedAt", value),
            "createdAt" => return self.time("/call/createdAt", value),
            "callStatus" | "call_status" => return self.status(value),
            "conversationType" | "callDirection" | "call_direction" | "direction" => {
                return self.way(value);
            }
            "fromPhone" | "fromNumber" => "/call/fromNumber",
            "toPhone" | "toNumber" => "/call/toNumber",
            "caller_phone" => "/call/userNumber",
            "agent_phone" => "/call/agentNumber",
            "callDuration" | "duration_seconds" | "duration" => "/call/durationSeconds",
            "disposition" | "outcome" => "/call/disposition",
            "recordingUrl" | "recording_url" => "/call/recordingUrl",
            "summary" => "/analytics/summary",
            "recordingDualUrl" => "/call/recordingDualUrl",
            "endReason" => "/call/endReason",
            "failureReason" => "/call/failureReason",
            "cost" => "/call/cost",
            "isTest" => "/call/isTest",
            "retryCallId" => "/call/retryCallId",
            "retryAttempt" => "/call/retryAttempt",
            _ => return false,
        };
        self.carries(field, value)
    }

    fn event_type(&self, value: &Sent) -> bool {
        let Sent::Text(text) = value else {
            return false;
        };
        let canonical = match text.decoded.as_str() {
            "pre-conversation" | "Start" => "pre-conversation",
            "call.end" | "CALL_ENDED" => "post-conversation",
            "Analytics Completed" => "analytics-completed",
            other => other,
        };
        !text.decoded.is_empty() && self.carries("/type", &Sent::Text(Text::plain(canonical)))
    }

    fn status(&self, value: &Sent) -> bool {
        let Sent::Text(text) = value else {
            return false;
        };
        let canonical = match text.decoded.as_str() {
            "no_answer" | "NO ANSWER" => "no-answer",
            "cancelled" => "canceled",
            other => other,
        };
        self.carries("/call/status", &Sent::Text(Text::plain(canonical)))
    }

    fn way(&self, value: &Sent) -> bool {
        let Sent::Text(text) = value else {
            return false;
        };
        let (channel, direction) = match text.decoded.as_str() {
            "inbound" => (None, Some("inbound")),
            "outbound" => (None, Some("outbound")),
            "telephonyOutbound" => (Some("telephony"), Some("outbound")),
            "telephony_inbound" => (Some("telephony"), Some("inbound")),
            "webcall" => (Some("web"), None),
            "" => return false,
            other => (Some(other), None),
        };
        let is = |pointer, word: Option<&str>| {
            word.is_none_or(|word| self.carries(pointer, &Sent::Text(Text::plain(word))))
        };
        is("/call/channel", channel) && is("/call/direction", direction)
    }

    fn time(&self, field: &str, value: &Sent) -> bool {
        self.event
            .at(field)
            .is_some_and(|carried| is_moment(carried, value))
    }

    fn turn(&self, value: &Sent, path: &[Step<'t>], rest: &[&str]) -> bool {
        let turns = self.texts_at("/transcript");
        let Some(turn) = place_among_objects(path, rest.len()).and_then(|at| turns.get(at)) else {
            return false;
        };
        let field = |name: &str| turn.at(&format!("/{name}"));
        match rest {
            [] => *value == Sent::Object(vec![]),
            [name @ ("role" | "content")] => {
                field(name).is_some_and(|carried| says(carried, value))
            }
            ["timestamp"] => field("timestamp").is_some_and(|carried| is_moment(carried, value)),
            _ => false,
        }
    }

    /// Losers of one list cannot be metrics, so that the place in the list is the place among its category.
    fn metric(&self, value: &Sent, path: &[Step<'t>], rest: &[&str], category: &str) -> bool {
        let of_category =
            |metric: &&Tree| metric.at("/category") == Some(&Tree::Text(category.to_owned()));
        let metrics: Vec<_> = self
            .texts_at("/analytics/metrics")
            .iter()
            .filter(of_category)
            .collect();
        let Some(metric) = place_among_objects(path, rest.len()).and_then(|at| metrics.get(at))
        else {
            return false;
        };
        let field = |name: &str| metric.at(&format!("/{name}")).cloned();
        let carried = match rest {
            [] => return *value == Sent::Object(vec![]),
            [name @ ("identifier" | "value" | "confidence" | "reasoning")] => field(name),
            ["dispositionMetricPrompt" | "successMetricPrompt"] => field("prompt"),
            ["dispositionMetricType" | "successMetricType"] => {
                let Sent::Text(text) = value else {
                    return false;
                };
                return field("type") == Some(Tree::Text(text.decoded.to_lowercase()));
            }
            _ => return false,
        };
        let valued = rest != ["value"] || field("valueText") == Some(Tree::Text(as_text(value)));
        valued && carried.is_some_and(|carried| says(&carried, value))
    }

    /// A metric's name and its type, which stand apart from the metric, are carried together or not at all.
    fn type_of_a_metric(&self, path: &[Step<'t>]) -> bool {
        let [Step::Key(_, Sent::List(list)), Step::At(at), ..] = path else {
            return false;
        };
        let Some(Sent::Object(members)) = list.get(*at) else {
            return false;
        };
        let told = |name: &str| match members.iter().find(|(key, _)| key.decoded == name) {
            Some((_, Sent::Text(text))) => Some(text.decoded.clone()),
            _ => None,
        };
        let (Some(identifier), Some(kind)) = (told("identifier"), told("type")) else {
            return false;
        };
        self.texts_at("/analytics/metrics").iter().any(|metric| {
            metric.at("/identifier") == Some(&Tree::Text(identifier.clone()))
                && metric.at("/type") == Some(&Tree::Text(kind.to_lowercase()))
        })
    }

    fn plain_metric(&self, value: &Sent, identifier: &str) -> bool {
        let identifier = Tree::Text(identifier.to_owned());
        self.texts_at("/analytics/metrics").iter().any(|metric| {
            metric.at("/identifier") == Some(&identifier)
                && metric.at("/category").is_none()
                && metric
                    .at("/value")
                    .is_some_and(|carried| says(carried, value))
                && metric.at("/valueText") == Some(&Tree::Text(as_text(value)))
        })
    }
}

/// Where a field is looked for, in order.
const PLACES: [&[&str]; 4] = [&["metadata", "callData"], &["metadata"], &["data"], &[]];

/// Whether both are one JSON value; what is broken is never.
fn is_same(one: &Sent, other: &Sent) -> bool {
    match (one, other) {
        (Sent::List(one), Sent::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b))
        }
        (Sent::Object(one), Sent::Object(other)) => {
            let has = |key: &Text, value: &Sent| {
                let mut others = other.iter();
                others.any(|(k, v)| !k.is_broken && k.decoded == key.decoded && is_same(v, value))
            };
            one.len() == other.len() && one.iter().all(|(k, v)| !k.is_broken && has(k, v))
        }
        (Sent::Text(one), Sent::Text(other)) => {
            !one.is_broken && !other.is_broken && one.decoded == other.decoded
        }
        _ => one == other,
    }
}

/// A URL, or its escapes, without what stands between the first `?` and the fragment.
fn without_query(url: &str) -> String {
    let url = url.replace("\\u003f", "?").replace("\\u0023", "#");
    let (address, fragment) = match url.split_once('#') {
        Some((address, fragment)) => (address, format!("#{fragment}")),
        None => (url.as_str(), String::new()),
    };
    let address = address.split('?').next().unwrap();
    format!("{address}{fragment}")
}

fn as_text(value: &Sent) -> String {
    match value {
        Sent::Text(text) => text.decoded.clone(),
        Sent::Null | Sent::Bool(_) | Sent::Number(_) | Sent::List(_) | Sent::Object(_) => {
            value.json()
        }
    }
}

/// Whether a value in the event is the identical one that was sent.
fn says(carried: &Tree, sent: &Sent) -> bool {
    match (carried, sent) {
        (Tree::Null, Sent::Null) => true,
        (Tree::Bool(one), Sent::Bool(other)) => one == other,
        (Tree::Number(one), Sent::Number(other)) => one == other,
        (Tree::Text(one), Sent::Text(other)) => *one == other.decoded,
        (Tree::List(one), Sent::List(other)) => one.is_empty() && other.is_empty(),
        (Tree::Object(one), Sent::Object(other)) => one.is_empty() && other.is_empty(),
        (
            Tree::Null
            | Tree::Bool(_)
            | Tree::Number(_)
            | Tree::Text(_)
            | Tree::List(_)
            | Tree::Object(_),
            _,
        ) => false,
    }
}

/// Whether a canonical time is the moment that was sent, and that had no more to say.
fn is_moment(carried: &Tree, sent: &Sent) -> bool {
    let (Tree::Text(carried), Sent::Text(sent)) = (carried, sent) else {
        return false;
    };
    let sent = sent.decoded.as_str();
    let (Some(clock), Some(rest)) = (sent.get(11..19), sent.get(19..)) else {
        return false;
    };
    let zone = rest.trim_start_matches(|c: char| c == '.' || c.is_ascii_digit());
    let fraction = rest.strip_suffix(zone).unwrap().trim_start_matches('.');
    let fraction = format!("{:0<3}", fraction.trim_end_matches('0'));
    let numbers: Option<Vec<i32>> = clock.split(':').map(|part| part.parse().ok()).collect();
    let Some([hour, minute, second]) = numbers.as_deref() else {
        return false;
    };
    let east = match zone {
        "" | "Z" => 0,
        "+05:30" => 330,
        "-08:00" => -480,
        _ => return false,
    };
    let minutes = hour * 60 + minute - east;
    let clock = format!(
        "{:02}:{:02}:{second:02}.{fraction}Z",
        minutes / 60,
        minutes % 60
    );
    *carried == format!("2026-05-08T{clock}")
}

/// The place of a list's element among those elements that are objects; the element stands `below` steps above the end.
fn place_among_objects(path: &[Step<'_>], below: usize) -> Option<usize> {
    let element = path.len() - below - 1;
    let (Some(Step::At(at)), Some(Step::Key(_, Sent::List(list)))) =
        (path.get(element), path.get(element.checked_sub(1)?))
    else {
        return None;
    };
    let is_object = |sent: &&Sent| matches!(sent, Sent::Object(_));
    is_object(&list.get(*at)?).then(|| list.iter().take(*at).filter(is_object).count())
}

fn pointer(path: &[Step<'_>]) -> String {
    path.iter()
        .map(|step| match step {
            Step::Key(key, _) => format!("/{}", key.decoded.replace('~', "~0").replace('/', "~1")),
            Step::At(at) => format!("/{at}"),
        })
        .collect()
}
