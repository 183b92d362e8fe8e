//! The dialect of reconciled events: what the platform's API knows of a call, as the events that were missed.
//!
//! Pure. [`merged`] makes one body of a call's detail and its row in the list, without what is no part of a delivery: the
//! agent's prompts and credentials never reach the journal. `parse` makes any of the three events of that body:
//! pre-conversation has the numbers, post-conversation the call, the transcript, the variables and whatever no field
//! carries, analytics-completed the call and its evaluation. Together nothing of the body is missing.

mod glance;

use std::borrow::Cow;

pub use self::glance::Glance;
use super::fit::{Fitted, filled, metric_type, text};
use super::reader::Reader;
use super::{
    Arrival, CALL_ID, Headline, Unreadable, analytics, call, fit, made_at, tags, transcript,
};
use crate::event::json::{Document, Kind, Value};
use crate::event::{Analytics, Call, Event, Origin, Source, Stage, Turn};
use crate::time::Timestamp;

/// The id of a reconciled event: the same however often it is fetched.
pub fn id(call_id: &str, stage: Stage) -> String {
    format!("reconcile-{call_id}-{}", stage.name())
}

/// One body of a call's detail and its row in the list; of what both say, the detail's word counts. `None` when the
/// detail is no JSON object.
///
/// Of `agent`, and of `agentId` where that is an object, only `_id` and `name` are taken, `events` not at all.
pub fn merged(detail: &str, row: Option<&str>) -> Option<String> {
    let detail = Document::parse(detail.as_bytes()).ok()?;
    let row = row
        .map(|row| Document::parse(row.as_bytes()))
        .transpose()
        .ok()?;
    let own = detail.root();
    if own.kind() != Kind::Object {
        return None;
    }
    let mut members = own.last_members();
    let further = row.as_ref().map(|row| row.root().last_members());
    for member in further.unwrap_or_default() {
        if !members.iter().any(|known| same_key(known.1, member.1)) {
            members.push(member);
        }
    }
    let members: Vec<String> = members
        .into_iter()
        .filter_map(|(name, key, value)| {
            let value = match name.as_ref() {
                "events" => return None,
                "agent" | "agentId" => of_agent(value)?,
                _ => value.raw().to_owned(),
            };
            Some(format!("{}:{value}", key.raw()))
        })
        .collect();
    Some(format!("{{{}}}", members.join(",")))
}

fn same_key(one: Value<'_>, other: Value<'_>) -> bool {
    let broken = [one.kind(), other.kind()].contains(&Kind::BrokenString);
    one.raw() == other.raw() || (!broken && one.text() == other.text())
}

/// An agent is told whole, with prompts and credentials: its id and its name are part of a delivery.
fn of_agent(agent: Value<'_>) -> Option<String> {
    if agent.kind() != Kind::Object {
        return is_plain(agent).then(|| agent.raw().to_owned());
    }
    let members: Vec<String> = agent
        .last_members()
        .into_iter()
        .filter(|(name, _, value)| AGENT.contains(&name.as_ref()) && is_plain(*value))
        .map(|(_, key, value)| format!("{}:{}", key.raw(), value.raw()))
        .collect();
    (!members.is_empty()).then(|| format!("{{{}}}", members.join(",")))
}

fn is_plain(value: Value<'_>) -> bool {
    !matches!(value.kind(), Kind::Array | Kind::Object)
}

/// What a body that [`merged`] made says of itself, without reading all of it.
pub(super) fn headline(document: &Document<'_>, stage: Stage) -> Result<Headline, Unreadable> {
    let mut reader = Reader::at_root(document, &ALSO_KNOWN).ok_or(Unreadable::NotAnObject)?;
    let call_id = reader
        .take(&CALL_ID, fit::call_id)
        .ok_or(Unreadable::NoCallId)?;
    Ok(Headline {
        call_id: call_id.into_owned(),
        agent_id: Agent::read(&mut reader).id.map(Cow::into_owned),
        event_type: stage.name().to_owned(),
    })
}

/// Reads a body that [`merged`] made as the event of one stage.
///
/// # Errors
///
/// When it is not an object or says nowhere which call it is.
pub(super) fn parse<'d>(
    document: &'d Document<'d>,
    arrival: &Arrival<'d>,
    stage: Stage,
) -> Result<Event<'d>, Unreadable> {
    let mut reader = Reader::at_root(document, &ALSO_KNOWN).ok_or(Unreadable::NotAnObject)?;
    let call_id = reader
        .take(&CALL_ID, fit::call_id)
        .ok_or(Unreadable::NoCallId)?;
    let made_at = made_at(&call_id);
    let agent = Agent::read(&mut reader);
    let variables = reader.take_object("variables");
    let mut analytics = analytics::read(&mut reader);
    types_of_metrics(&mut reader, analytics.as_mut());
    let call = call::read(&mut reader, variables, made_at);
    let transcript = transcript::read(&mut reader);
    let created_at = call.as_ref().and_then(|call| call.created_at);
    let mut event = Event {
        id: Cow::Borrowed(arrival.id),
        event_type: Cow::Borrowed(stage.name()),
        schema_version: Event::SCHEMA_VERSION,
        call_id,
        agent_id: agent.id,
        agent_name: agent.name,
        stage: Some(stage.number()),
        occurred_at: occurred_at(transcript.as_deref(), created_at, made_at, arrival),
        received_at: arrival.received_at,
        source: Source {
            webhook: Cow::Borrowed(arrival.webhook),
            dialect: "api",
            origin: Origin::Reconcile(stage).name(),
            event: None,
            replaces: None,
            url: None,
            description: None,
        },
        call,
        transcript,
        variables: variables.map(|value| reader.raw("variables", value)),
        analytics,
        tags: tags(&mut reader),
        unmapped: reader.finish(),
    };
    keep_part(&mut event, stage);
    Ok(event)
}

/// Lets go of what is another event's part.
fn keep_part(event: &mut Event<'_>, stage: Stage) {
    match stage {
        Stage::PreConversation => {
            event.call = event.call.take().map(before_it_began);
            event.transcript = None;
            event.variables = None;
            event.analytics = None;
            event.tags = None;
            event.unmapped.clear();
        }
        Stage::PostConversation => event.analytics = None,
        Stage::AnalyticsCompleted => {
            event.transcript = None;
            event.variables = None;
            event.tags = None;
            // An evaluation comes later than the call's end, often when that is long published.
            let own = |pointer: &String| {
                let behind = pointer.strip_prefix("/postCallAnalytics");
                behind.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '#']))
            };
            event.unmapped.retain(|pointer, _| own(pointer));
        }
    }
}

/// What is known of a call that is about to start.
fn before_it_began(call: Call<'_>) -> Call<'_> {
    Call {
        channel: call.channel,
        direction: call.direction,
        from_number: call.from_number,
        to_number: call.to_number,
        user_number: call.user_number,
        agent_number: call.agent_number,
        created_at: call.created_at,
        ..Call::default()
    }
}

/// The API tells no end: the last that was said, else when the call was made. Nothing of a call happens before that.
fn occurred_at(
    transcript: Option<&[Turn<'_>]>,
    created_at: Option<Timestamp>,
    made_at: Option<Timestamp>,
    arrival: &Arrival<'_>,
) -> Timestamp {
    let turns = transcript.unwrap_or_default().iter().rev();
    let last = turns.filter_map(|turn| turn.timestamp).next();
    let own = last.or(created_at).unwrap_or(arrival.received_at);
    made_at.map_or(own, |made_at| own.max(made_at))
}

/// The agent, by whichever of two names and forms tells it first.
#[derive(Default)]
struct Agent<'d> {
    id: Option<Cow<'d, str>>,
    name: Option<Cow<'d, str>>,
}

impl<'d> Agent<'d> {
    fn read(reader: &mut Reader<'d>) -> Self {
        let mut agent = Self::default();
        for name in ["agent", "agentId"] {
            agent.add(reader, name);
        }
        let name = reader.take(&["agentName"], agreeing(text, &agent.name));
        agent.name = agent.name.or(name);
        agent
    }

    fn add(&mut self, reader: &mut Reader<'d>, name: &str) {
        if let Some(id) = reader.take(&[name], agreeing(filled, &self.id)) {
            self.id.get_or_insert(id);
            return;
        }
        let is_filled = |(_, value): &(_, Value<'d>)| value.members().next().is_some();
        if reader
            .untaken(name)
            .next()
            .as_ref()
            .is_none_or(|of| !is_filled(of))
        {
            return;
        }
        let Some(mut members) = reader.take_members(name) else {
            return;
        };
        let id = members.take("_id", agreeing(filled, &self.id));
        let own_name = members.take("name", agreeing(text, &self.name));
        members.only(&AGENT);
        members.finish(reader);
        self.id = self.id.take().or(id);
        self.name = self.name.take().or(own_name);
    }
}

/// A fitting that also wants what is known already.
fn agreeing<'d, 'k>(
    fit: impl Fn(Value<'d>) -> Option<Fitted<Cow<'d, str>>> + 'k,
    known: &'k Option<Cow<'d, str>>,
) -> impl Fn(Value<'d>) -> Option<Fitted<Cow<'d, str>>> + 'k {
    move |value| {
        let agrees = |fitted: &Fitted<Cow<'d, str>>| {
            known.as_ref().is_none_or(|known| *known == fitted.value)
        };
        fit(value).filter(agrees)
    }
}

/// The API gives metrics without their types, and the types in the row of the list, by the metrics' names.
fn types_of_metrics<'d>(reader: &mut Reader<'d>, analytics: Option<&mut Analytics<'d>>) {
    let Some(metrics) = analytics.and_then(|analytics| analytics.metrics.as_mut()) else {
        return;
    };
    let is_filled = |(_, value): &(_, Value<'d>)| value.elements().next().is_some();
    if reader
        .untaken(TYPES)
        .next()
        .as_ref()
        .is_none_or(|of| !is_filled(of))
    {
        return;
    }
    let Some((pointer, list)) = reader.take_array(TYPES) else {
        return;
    };
    for (position, element) in list.elements().enumerate() {
        let Some(mut members) = reader.members(&pointer, position, element) else {
            continue;
        };
        let named = super::member(element, "identifier").and_then(Value::text);
        let told = super::member(element, "type").and_then(metric_type);
        let metric = metrics.iter_mut().find(|metric| {
            let typed = metric.metric_type.as_ref();
            named.is_some()
                && metric.identifier == named
                && told
                    .as_ref()
                    .is_some_and(|told| typed.is_none_or(|typed| *typed == told.value))
        });
        if let (Some(metric), Some(told)) = (metric, told) {
            metric.metric_type = Some(told.value);
            members.take("identifier", text);
            members.take("type", metric_type);
        }
        if element.members().next().is_none() {
            reader.keep(format!("{pointer}/{position}"), element);
        }
        members.finish(reader);
    }
}

/// The API's names, and those by which the readers of all dialects know the same.
const ALSO_KNOWN: [(&str, &str); 7] = [
    ("from", "fromNumber"),
    ("to", "toNumber"),
    ("type", "conversationType"),
    ("status", "callStatus"),
    ("disconnectionReason", "endReason"),
    ("retryAttemptNumber", "retryAttempt"),
    ("postCallAnalytics", "analytics"),
];
const AGENT: [&str; 2] = ["_id", "name"];
const TYPES: &str = "agentDispositionConfig";
