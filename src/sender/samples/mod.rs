//! Sample calls in every dialect of the sender, as its platform would deliver them now.
//!
//! A call is its deliveries in order. Every id is fresh and every time fits the others: the last delivery happens now. What a
//! sample says, the reader understands wholly; a test holds that. Nothing here is random: ids come from the call's number,
//! the clock and the process.

pub mod api;
mod scenarios;

use serde_json::{Map, Value, json};

use self::scenarios::{Scenario, Way};
use crate::event::Stage;
use crate::time::Timestamp;

/// One delivery of a sample call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// The format that it is in.
    pub dialect: Dialect,
    /// The moment that it tells of.
    pub stage: Stage,
    /// Its call.
    pub call_id: String,
    /// What is signed and posted.
    pub body: String,
}

/// A format of the sender's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Dialect {
    /// The current platform: three events in an envelope with `metadata`
    Envelope,
    /// The same envelope with two events; the second one carries everything
    TwoEvent,
    /// The settings page: Start, End, Analytics Completed
    Settings,
    /// Flat snake_case: call.start, call.end, analytics.completed
    Flat,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Envelope, Self::TwoEvent, Self::Settings, Self::Flat];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Envelope => "envelope",
            Self::TwoEvent => "two-event",
            Self::Settings => "settings",
            Self::Flat => "flat",
        }
    }

    /// The dialect of a call's number when all take turns.
    pub fn of(number: u64) -> Self {
        match number % 4 {
            0 => Self::Envelope,
            1 => Self::TwoEvent,
            2 => Self::Settings,
            _ => Self::Flat,
        }
    }
}

/// The deliveries of call `number` in a dialect, in order.
///
/// Numbers of one process make different ids, and so do other processes and other times.
pub fn call(dialect: Dialect, number: u64, now: Timestamp) -> Vec<Sample> {
    let maker = Maker::new(number, now);
    let bodies = match dialect {
        Dialect::Envelope => maker.envelope(),
        Dialect::TwoEvent => maker.two_event(),
        Dialect::Settings => maker.settings(),
        Dialect::Flat => maker.flat(),
    };
    bodies
        .into_iter()
        .map(|(stage, body)| Sample {
            dialect,
            stage,
            call_id: maker.call_id.clone(),
            body: body.to_string(),
        })
        .collect()
}

type Bodies = Vec<(Stage, Value)>;

/// What all deliveries of a call share.
struct Maker {
    scenario: &'static Scenario,
    number: u64,
    call_id: String,
    created: Timestamp,
    started: Timestamp,
    answered: Timestamp,
    ended: Timestamp,
    now: Timestamp,
}

impl Maker {
    fn new(number: u64, now: Timestamp) -> Self {
        let scenario = Scenario::of(number);
        let before = |later: Timestamp, ms: u64| {
            Timestamp::from_unix_ms(later.unix_ms() - i64::try_from(ms).unwrap_or_default())
        };
        let turns = u64::try_from(scenario.turns.len()).unwrap_or_default();
        let ended = before(now, 4_000 + number % 5 * 300);
        let answered = before(ended, turns * TURN_MS + number % 7 * 113);
        let started = before(answered, 9_000 + number % 11 * 250);
        let created = before(started, 1_500);
        // Odd factors keep different numbers apart; the process and the clock move all of them.
        let suffix = mix(&[u64::from(std::process::id()), now.unix_ms().unsigned_abs()])
            .wrapping_add(number.wrapping_mul(0x9e_3779))
            & 0xff_ffff;
        Self {
            scenario,
            number,
            call_id: format!("CALL-{:013}-{suffix:06x}", created.unix_ms()),
            created,
            started,
            answered,
            ended,
            now,
        }
    }

    fn envelope(&self) -> Bodies {
        let mut pre = self.metadata(Stage::PreConversation);
        pre.extend(self.numbers("fromPhone", "toPhone"));
        let mut post = self.metadata(Stage::PostConversation);
        post.insert(
            "callData".into(),
            self.call_data(self.scenario.outcome.of_guide()).into(),
        );
        post.extend(self.recording());
        post.insert("transcript".into(), self.transcript());
        post.insert("variables".into(), self.variables());
        let mut analytics = self.metadata(Stage::AnalyticsCompleted);
        analytics.insert(
            "callData".into(),
            self.call_data(self.scenario.outcome.of_guide()).into(),
        );
        analytics.insert("analytics".into(), self.analytics());
        vec![
            self.wrapped(Stage::PreConversation, pre),
            self.wrapped(Stage::PostConversation, post),
            self.wrapped(Stage::AnalyticsCompleted, analytics),
        ]
    }

    fn two_event(&self) -> Bodies {
        let mut pre = self.metadata(Stage::PreConversation);
        pre.extend(self.numbers("fromPhone", "toPhone"));
        pre.insert("timestamp".into(), text(self.started));
        let mut analytics = self.metadata(Stage::AnalyticsCompleted);
        analytics.insert(
            "callData".into(),
            self.call_data(self.scenario.outcome.of_api()).into(),
        );
        analytics.insert("transcript".into(), self.transcript());
        analytics.insert("variables".into(), self.variables());
        analytics.insert("analytics".into(), self.analytics());
        analytics.insert("timestamp".into(), text(self.now));
        vec![
            self.wrapped(Stage::PreConversation, pre),
            self.wrapped(Stage::AnalyticsCompleted, analytics),
        ]
    }

    fn settings(&self) -> Bodies {
        let mut start = self.plain("Start", Stage::PreConversation, self.started);
        start.extend(self.numbers("fromNumber", "toNumber"));
        let mut end = self.plain("End", Stage::PostConversation, self.ended);
        end.extend(self.call_data(self.scenario.outcome.of_guide()));
        end.extend(self.recording());
        end.insert("transcript".into(), self.transcript());
        end.insert("variables".into(), self.variables());
        let mut analytics = self.plain("Analytics Completed", Stage::AnalyticsCompleted, self.now);
        analytics.insert("analytics".into(), self.analytics());
        vec![
            (Stage::PreConversation, start.into()),
            (Stage::PostConversation, end.into()),
            (Stage::AnalyticsCompleted, analytics.into()),
        ]
    }

    fn flat(&self) -> Bodies {
        let moment = |event: &str, at: Timestamp| {
            members(json!({
                "event": event,
                "timestamp": at,
                "agent_id": self.scenario.agent_id,
                "call_id": self.call_id,
            }))
        };
        let mut start = moment("call.start", self.started);
        start.insert("call_direction".into(), self.scenario.way.flat().into());
        if self.scenario.way != Way::Web {
            start.insert("caller_phone".into(), self.scenario.user_number.into());
            start.insert("agent_phone".into(), self.scenario.agent_number.into());
        }
        let mut end = moment("call.end", self.ended);
        end.insert("duration_seconds".into(), self.duration_seconds());
        end.insert("disposition".into(), self.scenario.outcome.of_api().into());
        end.insert("transcript".into(), self.transcript());
        end.insert("variables".into(), self.variables());
        let mut analytics = moment("analytics.completed", self.now);
        analytics.insert("metrics".into(), self.scenario.flat_metrics());
        vec![
            (Stage::PreConversation, start.into()),
            (Stage::PostConversation, end.into()),
            (Stage::AnalyticsCompleted, analytics.into()),
        ]
    }

    fn wrapped(&self, stage: Stage, metadata: Map<String, Value>) -> (Stage, Value) {
        let body = json!({
            "url": "https://hooks.example.com/webhooks/default",
            "description": self.scenario.agent_name,
            "event": format!("{}.{}", self.scenario.agent_id, stage.name()),
            "id": self.delivery_id(stage),
            "metadata": metadata,
        });
        (stage, body)
    }

    fn metadata(&self, stage: Stage) -> Map<String, Value> {
        members(json!({
            "agentId": self.scenario.agent_id,
            "eventType": stage.name(),
            "conversationType": self.scenario.way.conversation_type(),
            "callId": self.call_id,
        }))
    }

    fn plain(&self, event: &str, stage: Stage, at: Timestamp) -> Map<String, Value> {
        members(json!({
            "event": event,
            "id": self.delivery_id(stage),
            "timestamp": at,
            "agentId": self.scenario.agent_id,
            "agentName": self.scenario.agent_name,
            "callId": self.call_id,
            "conversationType": self.scenario.way.conversation_type(),
        }))
    }

    /// A web call has no numbers.
    fn numbers(&self, from: &str, to: &str) -> Map<String, Value> {
        let (user, agent) = (self.scenario.user_number, self.scenario.agent_number);
        let (caller, called) = match self.scenario.way {
            Way::Inbound => (user, agent),
            Way::Outbound => (agent, user),
            Way::Web => return Map::new(),
        };
        members(json!({ from: caller, to: called }))
    }

    fn call_data(&self, status: &str) -> Map<String, Value> {
        let mut data = self.numbers("fromNumber", "toNumber");
        data.insert("callDuration".into(), self.duration_seconds());
        data.insert("callStatus".into(), status.into());
        data.insert(
            "callDirection".into(),
            self.scenario.way.call_direction().into(),
        );
        if self.scenario.answered() {
            data.insert("answerTime".into(), text(self.answered));
        }
        data.insert("endTime".into(), text(self.ended));
        data
    }

    fn recording(&self) -> Map<String, Value> {
        if !self.scenario.answered() {
            return Map::new();
        }
        let url = format!(
            "https://recordings.example.com/{}/composite.wav",
            self.call_id
        );
        members(json!({ "recordingUrl": url }))
    }

    fn transcript(&self) -> Value {
        let turns = self.scenario.turns.iter().zip(0_i64..);
        turns
            .map(|(content, number)| {
                let role = if number % 2 == 0 { "agent" } else { "user" };
                let said = self.answered.unix_ms() + 500 + number * i64::try_from(TURN_MS).unwrap_or_default();
                json!({ "role": role, "content": content, "timestamp": Timestamp::from_unix_ms(said) })
            })
            .collect()
    }

    /// The platform's own variables, then the agent's.
    fn variables(&self) -> Value {
        let started = self.started.to_string();
        let (date, time) = started.split_once('T').unwrap_or((&started, ""));
        let mut variables = members(json!({
            "call_id": self.call_id,
            "user_number": self.scenario.user_number,
            "agent_number": self.scenario.agent_number,
            "conversation_type": self.scenario.way.conversation_type(),
            "agent_gender": "female",
            "default_language": self.scenario.language,
            "supported_languages": self.scenario.languages,
            "current_date": date,
            "current_time": time.get(..8).unwrap_or_default(),
            "current_day": weekday(self.started),
            "timezone": self.scenario.timezone,
        }));
        let own = self.scenario.variables.iter();
        variables.extend(own.map(|(name, value)| ((*name).to_owned(), Value::from(*value))));
        variables.into()
    }

    fn analytics(&self) -> Value {
        json!({
            "summary": self.scenario.summary,
            "dispositionMetrics": self.scenario.disposition_metrics(),
            "successMetrics": self.scenario.success_metrics(),
        })
    }

    /// Seconds with a fraction, as the sender's telephony measures them; 0 for a call that nobody answered.
    fn duration_seconds(&self) -> Value {
        if !self.scenario.answered() {
            return json!(0);
        }
        let ms = self.ended.unix_ms() - self.answered.unix_ms();
        serde_json::from_str(&format!("{}.{:03}622", ms / 1000, ms % 1000)).unwrap_or_default()
    }

    /// 24 hex digits of which the first 8 are the Unix second.
    fn delivery_id(&self, stage: Stage) -> String {
        let at = match stage {
            Stage::PreConversation => self.started,
            Stage::PostConversation => self.ended,
            Stage::AnalyticsCompleted => self.now,
        };
        let rest = mix(&[
            u64::from(std::process::id()),
            self.now.unix_ms().unsigned_abs(),
            self.created.unix_ms().unsigned_abs(),
            self.number,
            u64::from(stage.number()),
        ]);
        format!("{:08x}{rest:016x}", at.unix_ms().div_euclid(1000))
    }
}

fn text(at: Timestamp) -> Value {
    at.to_string().into()
}

fn members(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(members) => members,
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Map::new()
        }
    }
}

/// Day 0 of Unix time was a Thursday.
fn weekday(at: Timestamp) -> &'static str {
    match at.unix_ms().div_euclid(86_400_000).rem_euclid(7) {
        0 => "Thursday",
        1 => "Friday",
        2 => "Saturday",
        3 => "Sunday",
        4 => "Monday",
        5 => "Tuesday",
        _ => "Wednesday",
    }
}

/// Spreads numbers over 64 bits (the finalizer of SplitMix64, which loses nothing).
fn mix(parts: &[u64]) -> u64 {
    parts.iter().fold(0, |mixed, part| {
        let z = (mixed ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    })
}

/// How long one side speaks.
const TURN_MS: u64 = 6_250;

#[cfg(test)]
mod tests;
