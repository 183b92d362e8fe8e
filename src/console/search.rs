//! Search by call, agent, type, webhook, state and time; the newest first, page by page.
//!
//! What waits for Kafka is looked up in the journal's own queue, everything else in the index, so that no question walks
//! through all there is.

use std::time::{Duration, Instant};

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};

use super::App;
use super::desk::{self, Content, Desk, Trouble};
use super::login::{Fields, fields, first};
use super::page::{moment, notice};
use super::rows::{self, Shown, Standing};
use crate::config::parse_duration;
use crate::journal::search::{Found, Page, Place, Query};
use crate::time::Timestamp;

pub(super) async fn search(State(shared): State<App>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    desk::page(shared, move |desk| {
        let fields = fields(query.as_bytes());
        let asked = Asked::read(&fields, desk.now);
        let body = html! {
            h1 { "Search" }
            (form(&fields))
            @match asked {
                Ok(asked) => (results(desk, &fields, &asked)?),
                Err(what) => (notice(what)),
            }
        };
        Ok(Content {
            title: "Search".to_owned(),
            body,
        })
    })
    .await
}

/// What is asked for.
struct Asked {
    query: Query,
    state: Option<Wanted>,
    behind: Option<Behind>,
}

/// The states that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Pending,
    Published,
    DeadLetter,
}

/// Where a page begins.
#[derive(Debug, Clone, Copy)]
enum Behind {
    Place(Place),
    OutSeq(u64),
}

impl Asked {
    fn read(fields: &Fields, now: Timestamp) -> Result<Self, &'static str> {
        let text = |name| first(fields, name).map(str::to_owned);
        let time = |name| {
            first(fields, name)
                .map(|text| time(text, now).ok_or(NO_TIME))
                .transpose()
        };
        let state = match first(fields, "state") {
            None => None,
            Some("pending") => Some(Wanted::Pending),
            Some("published") => Some(Wanted::Published),
            Some("dead-letter") => Some(Wanted::DeadLetter),
            Some(_) => return Err("A state is pending, published or dead-letter."),
        };
        Ok(Self {
            query: Query {
                call: text("call"),
                agent: text("agent"),
                event_type: text("type"),
                webhook: text("webhook"),
                faulty: state == Some(Wanted::DeadLetter),
                since: time("since")?,
                until: time("until")?,
            },
            state,
            behind: first(fields, "behind").and_then(Behind::read),
        })
    }

    fn fits(&self, found: &Found) -> bool {
        let fits = |wanted: &Option<String>, is: &Option<String>| wanted.is_none() || wanted == is;
        let Query {
            call,
            agent,
            event_type,
            webhook,
            faulty: _,
            since,
            until,
        } = &self.query;
        fits(call, &found.call_id)
            && fits(agent, &found.agent_id)
            && fits(event_type, &found.event_type)
            && webhook
                .as_ref()
                .is_none_or(|webhook| *webhook == found.webhook)
            && since.is_none_or(|since| found.received_at >= since)
            && until.is_none_or(|until| found.received_at < until)
    }
}

impl Behind {
    fn read(text: &str) -> Option<Self> {
        if let Some(out_seq) = text.strip_prefix('q') {
            return Some(Self::OutSeq(out_seq.parse().ok()?));
        }
        let (ms, seq) = text.split_once('.')?;
        Some(Self::Place(Place {
            received_at: Timestamp::from_unix_ms(ms.parse().ok()?),
            seq: seq.parse().ok()?,
        }))
    }

    fn write(self) -> String {
        match self {
            Self::Place(place) => format!("{}.{}", place.received_at.unix_ms(), place.seq),
            Self::OutSeq(out_seq) => format!("q{out_seq}"),
        }
    }
}

/// A page of what was found.
struct Results {
    shown: Vec<Shown>,
    next: Option<Behind>,
    /// How far it was looked, when that was not to the end and the page is not full.
    looked_to: Option<Timestamp>,
}

fn results(desk: &Desk, fields: &Fields, asked: &Asked) -> Result<Markup, Trouble> {
    let Some(found) = find(desk, asked)? else {
        return Ok(notice("The index is being begun; try again in a moment."));
    };
    let further = found.next.map(|next| link(fields, next));
    Ok(html! {
        @if desk.seen.behind > 0 {
            p.muted { "The newest deliveries are not in the index yet." }
        }
        @if !found.shown.is_empty() {
            table.list { (rows::head()) tbody { @for shown in &found.shown { (rows::row(shown, desk)) } } }
        }
        @match (found.shown.is_empty(), found.looked_to, &further) {
            (_, Some(at), Some(further)) => {
                p { "That is all back to " (moment(at, desk.now)) ". " a href=(further) { "Look further back" } }
            }
            (true, None, Some(further)) => p { "Nothing so far. " a href=(further) { "Look further" } },
            (false, None, Some(further)) => p { a href=(further) rel="next" { "Older" } },
            (true, _, None) => p.muted { "Nothing fits." },
            (false, _, None) => {}
        }
    })
}

fn find(desk: &Desk, asked: &Asked) -> Result<Option<Results>, Trouble> {
    let Some(search) = &desk.search else {
        return Ok(None);
    };
    if asked.state == Some(Wanted::Pending) && asked.query.call.is_none() {
        return pending(desk, asked).map(Some);
    }
    let behind = match asked.behind {
        Some(Behind::Place(place)) => Some(place),
        Some(Behind::OutSeq(_)) | None => None,
    };
    let mut shown = Vec::new();
    let mut failed = None;
    let page = search.find(&asked.query, behind, PAGE, |found| {
        let Ok(one) = Shown::of(desk, found.clone()).map_err(|trouble| failed = Some(trouble))
        else {
            return false;
        };
        let fits = is_wanted(asked.state, one.standing());
        if fits {
            shown.push(one);
        }
        fits
    })?;
    if let Some(trouble) = failed {
        return Err(trouble);
    }
    let Page {
        next, cut_short, ..
    } = page;
    Ok(Some(Results {
        shown,
        next: next.map(Behind::Place),
        looked_to: next.filter(|_| cut_short).map(|place| place.received_at),
    }))
}

fn is_wanted(wanted: Option<Wanted>, standing: Standing) -> bool {
    match wanted {
        None => true,
        Some(Wanted::Pending) => standing == Standing::Pending,
        Some(Wanted::Published) => standing == Standing::Published,
        Some(Wanted::DeadLetter) => [Standing::DeadLetter, Standing::Dead].contains(&standing),
    }
}

/// What waits for Kafka, the last in the queue first.
fn pending(desk: &Desk, asked: &Asked) -> Result<Results, Trouble> {
    let below = match asked.behind {
        Some(Behind::OutSeq(out_seq)) => out_seq,
        Some(Behind::Place(_)) | None => u64::MAX,
    };
    let rows = desk.viewer.pending_before(below, MOST_PENDING)?;
    let (began, mut whole) = (Instant::now(), rows.len() < MOST_PENDING);
    let mut results = Results {
        shown: Vec::new(),
        next: None,
        looked_to: None,
    };
    for (out_seq, seq) in rows {
        let one = pending_one(desk, asked, seq)?;
        if one.is_some() && results.shown.len() >= PAGE {
            return Ok(results);
        }
        results.shown.extend(one);
        results.next = Some(Behind::OutSeq(out_seq));
        if began.elapsed() > PATIENCE {
            whole = false;
            break;
        }
    }
    if whole {
        results.next = None;
    } else {
        results.looked_to = results.shown.last().map(|one| one.found.received_at);
    }
    Ok(results)
}

/// A delivery of the queue, if it fits. What is not in the index yet is shown by what the journal knows.
fn pending_one(desk: &Desk, asked: &Asked, seq: u64) -> Result<Option<Shown>, Trouble> {
    let indexed = match &desk.search {
        Some(search) => search.one(seq)?,
        None => None,
    };
    // Most do not fit, and cost the journal nothing.
    if indexed.as_ref().is_some_and(|found| !asked.fits(found)) {
        return Ok(None);
    }
    let Some(entry) = desk.viewer.entry(seq)? else {
        return Ok(None);
    };
    let found = indexed.unwrap_or_else(|| Found {
        seq,
        received_at: entry.received_at,
        webhook: entry.webhook.clone(),
        event_type: None,
        agent_id: None,
        call_id: None,
        fault: None,
    });
    let fits = asked.fits(&found);
    let entry = Some(entry);
    Ok(fits.then_some(Shown { found, entry }))
}

/// The same question, further on.
fn link(fields: &Fields, next: Behind) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, _) in INPUTS {
        if let Some(value) = first(fields, name) {
            query.append_pair(name, value);
        }
    }
    query.append_pair("behind", &next.write());
    format!("/search?{}", query.finish())
}

fn form(fields: &Fields) -> Markup {
    let value = |name| first(fields, name).unwrap_or_default();
    let state = value("state");
    html! {
        form.search method="get" action="/search" role="search" {
            @for (name, label) in INPUTS {
                div {
                    label for=(name) { (label) }
                    @match name {
                        "state" => select id="state" name="state" {
                            @for (word, shown) in STATES {
                                option value=(word) selected[state == word] { (shown) }
                            }
                        },
                        "type" => {
                            input id="type" name="type" value=(value(name)) list="types" autocomplete="off";
                            datalist id="types" { @for known in TYPES { option value=(known) {} } }
                        }
                        "since" | "until" => {
                            input id=(name) name=(name) value=(value(name)) placeholder="24h or 2026-05-08T07:30" autocomplete="off";
                        }
                        _ => input id=(name) name=(name) value=(value(name)) autocomplete="off" spellcheck="false";,
                    }
                }
            }
            button { "Search" }
        }
    }
}

/// `24h` back from now, or RFC 3339; without seconds, too.
fn time(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(back) = parse_duration(text) {
        let ms = i64::try_from(back.as_millis()).ok()?;
        return Some(Timestamp::from_unix_ms(now.unix_ms().saturating_sub(ms)));
    }
    Timestamp::parse(text)
}

const INPUTS: [(&str, &str); 7] = [
    ("call", "Call"),
    ("agent", "Agent"),
    ("type", "Type"),
    ("state", "State"),
    ("webhook", "Webhook"),
    ("since", "Since"),
    ("until", "Until"),
];
const STATES: [(&str, &str); 4] = [
    ("", "any"),
    ("pending", "pending"),
    ("published", "published"),
    ("dead-letter", "dead letter"),
];
const TYPES: [&str; 3] = [
    "pre-conversation",
    "post-conversation",
    "analytics-completed",
];
const NO_TIME: &str =
    "A time is a span back from now such as 24h, or a moment such as 2026-05-08T07:30.";
const PAGE: usize = 50;
/// How many of the queue are looked at for a page, and how long.
const MOST_PENDING: usize = 5000;
const PATIENCE: Duration = Duration::from_millis(40);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_is_written() {
        for text in ["1700000000000.42", "q7"] {
            assert_eq!(Behind::read(text).unwrap().write(), text);
        }
        for odd in ["", "q", "7", "a.b", "1.2.3"] {
            assert!(Behind::read(odd).is_none(), "{odd}");
        }
    }

    #[test]
    fn times_are_spans_back_or_moments() {
        let now = Timestamp::parse("2026-05-08T12:00:00Z").unwrap();
        let told = |text| time(text, now).map(|at| at.to_string());
        assert_eq!(told("2h").as_deref(), Some("2026-05-08T10:00:00.000Z"));
        assert_eq!(
            told("2026-05-08T07:30").as_deref(),
            Some("2026-05-08T07:30:00.000Z")
        );
        assert_eq!(told("yesterday"), None);
    }
}
