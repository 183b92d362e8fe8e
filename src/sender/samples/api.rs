//! What the platform's API knows of a sample call: the same call in a third shape, as the contract has it.
//!
//! Times of answer and end are not in it, metric values are strings, and of the agent it says too much.

use serde_json::{Map, Value, json};

use super::scenarios::Way;
use super::{Dialect, Maker, Sample, call, members, text};
use crate::time::Timestamp;

/// A call as the API knows it when it is over, with the deliveries that tell of it.
#[derive(Debug, Clone)]
pub struct Recorded {
    /// The call.
    pub call_id: String,
    /// The agent that holds it.
    pub agent_id: String,
    /// The agent's name.
    pub agent_name: String,
    /// Its row in the list.
    pub row: Map<String, Value>,
    /// All that is known of it.
    pub detail: Map<String, Value>,
    /// Its deliveries, in order.
    pub deliveries: Vec<Sample>,
}

/// Call `number` in a dialect, and what the API knows of it.
pub fn recorded(dialect: Dialect, number: u64, now: Timestamp) -> Recorded {
    let maker = Maker::new(number, now);
    Recorded {
        call_id: maker.call_id.clone(),
        agent_id: maker.scenario.agent_id.to_owned(),
        agent_name: maker.scenario.agent_name.to_owned(),
        row: maker.row(),
        detail: maker.detail(),
        deliveries: call(dialect, number, now),
    }
}

/// The agents that hold sample calls, by id and name.
pub fn agents() -> impl Iterator<Item = (&'static str, &'static str)> {
    super::scenarios::agents()
}

impl Maker {
    fn row(&self) -> Map<String, Value> {
        let mut row = self.both();
        row.extend(members(json!({
            "agentId": self.scenario.agent_id,
            "createdAt": text(self.created),
            "disconnectionReason": if self.scenario.answered() { "user_hangup" } else { "dial_failed" },
            "isTest": false,
            "versionId": "6a01c0ffee0000000000000a",
            "versionNumber": 3,
            "retryCount": 0,
            "agentDispositionConfig": self.disposition_config(),
        })));
        row
    }

    fn detail(&self) -> Map<String, Value> {
        let mut detail = self.both();
        if self.scenario.answered() {
            let recording =
                |name: &str| format!("https://recordings.example.com/{}/{name}.wav", self.call_id);
            detail.insert("recordingUrl".into(), recording("composite").into());
            detail.insert("recordingDualUrl".into(), recording("dual").into());
        }
        detail.extend(members(json!({
            "transcript": self.transcript(),
            "variables": self.variables(),
            "postCallAnalytics": {
                "summary": self.scenario.summary,
                "dispositionMetrics": self.metrics_as_text(),
            },
            "agent": {
                "_id": self.scenario.agent_id,
                "name": self.scenario.agent_name,
                "globalPrompt": PROMPT,
                "toolCredentials": { "crm": CREDENTIAL },
            },
            "events": [{ "type": "llm_request", "prompt": PROMPT }],
            "voiceConfigUsed": { "voiceId": "emily", "speed": 1.2 },
            "slmModelUsed": "electron-v2",
        })));
        detail
    }

    /// What both row and detail say.
    fn both(&self) -> Map<String, Value> {
        let mut both = self.numbers("from", "to");
        both.extend(members(json!({
            "callId": self.call_id,
            "status": self.scenario.outcome.of_api(),
            "duration": self.duration_seconds(),
            "type": match self.scenario.way {
                Way::Inbound => "telephony_inbound",
                Way::Outbound => "telephony_outbound",
                Way::Web => "webcall",
            },
        })));
        both
    }

    fn metrics_as_text(&self) -> Value {
        let metrics = self.scenario.disposition_metrics();
        let as_text = |value: &Value| {
            let text = value.as_str().map(str::to_owned);
            text.unwrap_or_else(|| value.to_string())
        };
        let metric = |metric: &Value| {
            json!({
                "identifier": metric.get("identifier"),
                "value": metric.get("value").map(as_text),
                "confidence": metric.get("confidence"),
            })
        };
        metrics
            .as_array()
            .into_iter()
            .flatten()
            .map(metric)
            .collect()
    }

    fn disposition_config(&self) -> Value {
        let metrics = self.scenario.disposition_metrics();
        let row = |metric: &Value| json!({ "identifier": metric.get("identifier"), "type": metric.get("dispositionMetricType") });
        metrics.as_array().into_iter().flatten().map(row).collect()
    }
}

/// What no event and no log may ever show.
pub const PROMPT: &str = "You are Maya. SECRET-PROMPT: never offer more than 20 % off.";
/// The same.
pub const CREDENTIAL: &str = "SECRET-CREDENTIAL-4711";
