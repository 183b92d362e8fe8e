//! The circumstances of a call: its way, numbers, status and times.

use std::borrow::Cow;

use super::fit::{Way, boolean, filled, number, open_way, status, text, time, way};
use super::member;
use super::reader::Reader;
use crate::event::json::Value;
use crate::event::{Call, Raw};
use crate::time::Timestamp;

/// Reads what there is; `None` when there is nothing.
pub(super) fn read<'d>(
    reader: &mut Reader<'d>,
    variables: Option<Value<'d>>,
    made_at: Option<Timestamp>,
) -> Option<Call<'d>> {
    let way = read_way(reader, variables);
    let numbers = Numbers::read(reader, way.direction, variables);
    let call = Call {
        channel: way.channel,
        direction: way.direction,
        from_number: numbers.from,
        to_number: numbers.to,
        user_number: numbers.user,
        agent_number: numbers.agent,
        status: reader.take(&["callStatus", "call_status"], status),
        disposition: reader.take(&["disposition", "outcome"], text),
        duration_seconds: reader
            .take(&["callDuration", "duration_seconds", "duration"], number)
            .map(Raw::of),
        created_at: reader.take(&["createdAt"], time).or(made_at),
        answered_at: reader.take(&["answerTime"], time),
        ended_at: reader.take(&["endTime"], time),
        recording_url: reader.take(&["recordingUrl", "recording_url"], filled),
        recording_dual_url: reader.take(&["recordingDualUrl"], filled),
        end_reason: reader.take(&["endReason"], text),
        failure_reason: reader.take(&["failureReason"], text),
        cost: reader.take(&["cost"], number).map(Raw::of),
        is_test: reader.take(&["isTest"], boolean),
        retry_call_id: reader.take(&["retryCallId"], text),
        retry_attempt: reader.take(&["retryAttempt"], number).map(Raw::of),
    };
    (reader.has_call_data() || !is_empty(&call)).then_some(call)
}

type ReadWay = fn(Cow<'_, str>) -> Option<Way<'_>>;

/// Names that say which way a call went, and whether another word in one of them is a channel.
const WAYS: [(&str, ReadWay); 4] = [
    ("callDirection", known_way),
    ("conversationType", open_way),
    ("call_direction", known_way),
    ("direction", known_way),
];

fn known_way(sent: Cow<'_, str>) -> Option<Way<'_>> {
    way(&sent)
}

/// Channel and direction, each from the first name that tells it; a name is carried when all that it tells is so.
fn read_way<'d>(reader: &mut Reader<'d>, variables: Option<Value<'d>>) -> Way<'d> {
    let mut told = Vec::new();
    for (name, read) in WAYS {
        told.extend(
            reader
                .untaken(name)
                .filter_map(|(place, value)| Some((place, read(value.text()?)?))),
        );
    }
    let mut result = Way {
        channel: told.iter().find_map(|(_, way)| way.channel.clone()),
        direction: told.iter().find_map(|(_, way)| way.direction),
    };
    for (place, way) in told {
        let agrees = way
            .channel
            .is_none_or(|channel| Some(channel) == result.channel)
            && way
                .direction
                .is_none_or(|direction| Some(direction) == result.direction);
        if agrees {
            reader.carry(place);
        }
    }
    let variable = variables.and_then(|object| member(object, "conversation_type")?.text());
    if let Some(variable) = variable.and_then(open_way) {
        result.channel = result.channel.or(variable.channel);
        result.direction = result.direction.or(variable.direction);
    }
    result
}

/// The four numbers: who called whom, and which of them is the person's.
struct Numbers<'d> {
    from: Option<Cow<'d, str>>,
    to: Option<Cow<'d, str>>,
    user: Option<Cow<'d, str>>,
    agent: Option<Cow<'d, str>>,
}

impl<'d> Numbers<'d> {
    fn read(
        reader: &mut Reader<'d>,
        direction: Option<&str>,
        variables: Option<Value<'d>>,
    ) -> Self {
        let from = reader.take(&["fromPhone", "fromNumber"], filled);
        let to = reader.take(&["toPhone", "toNumber"], filled);
        let user = reader.take(&["caller_phone", "userNumber"], filled);
        let agent = reader.take(&["agent_phone", "agentNumber"], filled);
        let variable = |name: &str| {
            let number = member(variables?, name)?.text()?;
            Some(number).filter(|number| !number.is_empty())
        };
        let (caller, called) = match direction {
            Some("inbound") => (user.clone(), agent.clone()),
            Some(_) => (agent.clone(), user.clone()),
            None => (None, None),
        };
        let (of_user, of_agent) = match direction {
            Some("inbound") => (from.clone(), to.clone()),
            Some(_) => (to.clone(), from.clone()),
            None => (None, None),
        };
        Self {
            from: from.or(caller),
            to: to.or(called),
            user: user.or(of_user).or_else(|| variable("user_number")),
            agent: agent.or(of_agent).or_else(|| variable("agent_number")),
        }
    }
}

/// Whether nothing is known of a call.
fn is_empty(call: &Call<'_>) -> bool {
    *call == Call::default()
}
