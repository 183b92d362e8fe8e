//! What every consumer reads: 300 calls of three events that come in any order, a replay of some, and a dead letter.
//!
//! A consumer that deduplicates finds every id once.

use std::collections::BTreeSet;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::bridge::Bridge;
use crate::harness::registry::shared_registry;
use crate::harness::{kcat, shared_broker, unique, until};

/// A bridge with its topics filled; the bridge runs on, for what a test sends later.
#[derive(Debug)]
pub(super) struct Load {
    /// Where the broker is.
    pub(super) broker: String,
    /// What the names of the topics begin with.
    pub(super) prefix: String,
    /// The bridge that published it.
    pub(super) bridge: Bridge,
}

impl Load {
    /// The load that is only read, shared by all who do so.
    pub(super) fn shared(framing: Framing) -> &'static Self {
        static LOADS: [OnceLock<Load>; 3] = [const { OnceLock::new() }; 3];
        LOADS[framing as usize].get_or_init(|| Self::publish("consumers", framing, |_| true))
    }

    /// A load of one's own, without the events that are not wanted.
    pub(super) fn publish(name: &str, framing: Framing, wanted: impl Fn(&Sent) -> bool) -> Self {
        let broker = shared_broker().address();
        let prefix = format!("{}.", unique(name));
        let bridge = Bridge::new(&broker)
            .with("TOPICS__PREFIX", &prefix)
            .with("TOPICS__PARTITIONS", "6");
        let load = Self {
            broker,
            prefix,
            bridge: framing.configure(bridge).start(),
        };
        load.post(&wanted);
        load.replay();
        load.await_committed(&wanted);
        load
    }

    /// A topic's whole name.
    pub(super) fn topic(&self, end: &str) -> String {
        format!("{}{end}", self.prefix)
    }

    /// Sends one event that was held back, and waits until readers see it.
    pub(super) fn send(&self, event: &Sent) {
        let topic = self.topic(TYPES[event.stage - 1]);
        let before = kcat::read_bytes(&self.broker, &topic).len();
        assert_eq!(self.bridge.post("default", &event.body()).status, 200);
        self.await_count(TYPES[event.stage - 1], before + 1);
    }

    fn post(&self, wanted: &impl Fn(&Sent) -> bool) {
        let mut lanes = vec![Vec::new(); LANES];
        for event in sent().filter(|event| wanted(event)) {
            // Stages of a call come by different lanes, so that chance has a say in their order too.
            lanes[(event.call + event.stage) % LANES].push(event.body());
        }
        lanes[0].push(DEAD_LETTER.to_vec());
        let answers = self.bridge.post_lanes("default", &lanes);
        for answer in answers.into_iter().flatten() {
            assert_eq!(answer.expect("an answer").status, 200);
        }
        self.bridge.await_published();
    }

    /// Publishes the events of the first calls once more.
    fn replay(&self) {
        for call in 0..REPLAYED_CALLS {
            let call = call_id(call);
            let output = self.bridge.run(&["journal", "replay", "--call", &call]);
            assert!(output.status.success(), "{output:?}");
        }
    }

    /// Waits until readers see it all: a transaction that was committed may be hidden for a moment still.
    fn await_committed(&self, wanted: &impl Fn(&Sent) -> bool) {
        for (index, end) in TYPES.iter().enumerate() {
            let of_type = sent().filter(|event| event.stage == index + 1 && wanted(event));
            let count = of_type.map(|event| event.times()).sum();
            self.await_count(end, count);
        }
        self.await_count("dead-letter", 1);
    }

    fn await_count(&self, end: &str, count: usize) {
        until(&format!("{count} records on {end}"), LIMIT, || {
            // An id before the value need not be UTF-8.
            match kcat::read_bytes(&self.broker, &self.topic(end)).len() {
                found if found == count => Ok(()),
                found => Err(format!("{found} records")),
            }
        });
    }
}

/// Where a record says which schema it was written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// Nowhere: no registry is configured.
    Plain,
    /// In a header; the value is plain JSON all the same.
    Header,
    /// In five bytes before the value.
    Prefix,
}

impl Framing {
    /// Every framing.
    pub(super) const ALL: [Self; 3] = [Self::Plain, Self::Header, Self::Prefix];

    /// As the configuration spells it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain => "none",
            Self::Header => "header",
            Self::Prefix => "prefix",
        }
    }

    /// Registers the schemas and tells the bridge where.
    fn configure(self, bridge: Bridge) -> Bridge {
        if self == Self::Plain {
            return bridge;
        }
        let bridge = bridge
            .with("REGISTRY__URL", &shared_registry().url())
            .with("REGISTRY__SCHEMA_ID", self.name());
        let output = bridge.run(&["schemas", "register"]);
        assert!(output.status.success(), "{output:?}");
        bridge
    }
}

/// One event of the load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// Which call, from 0.
    pub(super) call: usize,
    /// 1, 2 or 3.
    pub(super) stage: usize,
}

impl Sent {
    /// The event's id.
    pub(super) fn id(&self) -> String {
        format!("{}.{}", call_id(self.call), self.stage)
    }

    /// How often it is on its topic.
    fn times(&self) -> usize {
        if self.call < REPLAYED_CALLS { 2 } else { 1 }
    }

    fn body(&self) -> Vec<u8> {
        let event_type = TYPES[self.stage - 1];
        let mut metadata = json!({
            "agentId": "69fc7dd072a0c1d28d948ace", "eventType": event_type, "callId": call_id(self.call),
            "conversationType": "telephonyOutbound",
        });
        let more = match self.stage {
            1 => json!({"toPhone": "+916296641821", "fromPhone": "+918035317096"}),
            2 => json!({
                "callData": call_data(self.call),
                "transcript": [{"role": "user", "content": "Ja, das passt. ठीक है। 好的。", "timestamp": "2026-05-08T07:52:05.123Z"}],
                "variables": {"customer_name": "Rahul Sharma"},
            }),
            _ => json!({
                "callData": call_data(self.call),
                "analytics": {"summary": format!("Call {}: he said \"ठीक है\".", self.call), "dispositionMetrics": [], "successMetrics": []},
            }),
        };
        metadata
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        let body = json!({
            "url": "https://example.com/webhook", "description": "Collections",
            "event": format!("69fc7dd072a0c1d28d948ace.{event_type}"), "id": self.id(), "metadata": metadata,
        });
        body.to_string().into_bytes()
    }
}

/// Every event, in an order in which no stage always comes first.
pub(super) fn sent() -> impl Iterator<Item = Sent> {
    (0..CALLS * 3).map(|number| {
        // 7 shares no factor with 3: each call's stages are taken in one of the three turns.
        let call = number / 3;
        let stage = (number * 7 + call) % 3 + 1;
        Sent { call, stage }
    })
}

/// The ids that must be found by who deduplicates.
pub(super) fn ids() -> BTreeSet<String> {
    sent().map(|event| event.id()).collect()
}

/// The id of a call of the load.
pub(super) fn call_id(call: usize) -> String {
    format!("CALL-17782267{call:05}-7e4c17")
}

/// How a call ended.
pub(super) fn status(call: usize) -> &'static str {
    STATUSES[call % STATUSES.len()]
}

fn call_data(call: usize) -> Value {
    json!({
        "fromNumber": "+918035317096", "toNumber": "+916296641821", "callDuration": 49.5, "callStatus": status(call),
        "callDirection": "telephony_outbound", "endTime": "2026-05-08T07:52:48.164Z",
    })
}

/// How many calls a load has.
pub(super) const CALLS: usize = 300;
/// How many of them were replayed, the first ones.
pub(super) const REPLAYED_CALLS: usize = 10;
/// How many records the topics of calls hold.
pub(super) const RECORDS: usize = (CALLS + REPLAYED_CALLS) * 3;
/// By stage, and the ends of the topics' names.
pub(super) const TYPES: [&str; 3] = [
    "pre-conversation",
    "post-conversation",
    "analytics-completed",
];
/// For whatever waits on a consumer; none needs a tenth of it on an idle machine.
pub(super) const LIMIT: Duration = Duration::from_secs(180);

/// Signed, and no JSON.
pub(super) const DEAD_LETTER: &[u8] = b"this is no JSON {";
const STATUSES: [&str; 3] = ["completed", "no-answer", "busy"];
const LANES: usize = 4;
