//! What the spans of a request say of it: names, sizes and what became of it, nothing of its body but the id.

use super::delivery::WebhookName;
use crate::journal::{AppendError, Appended};
use crate::traces::Span;

/// The journal has it, or does not.
pub(super) fn end_append(mut span: Span, appended: &Result<Appended, AppendError>) {
    match appended {
        Ok(appended) => {
            span.say("bridge.seq", appended.out_seq.cast_signed());
            span.end();
        }
        Err(_) => span.fail(NOT_STORED),
    }
}

/// The request is answered.
pub(super) fn end_request(
    mut span: Span,
    (webhook, bytes): (&WebhookName, usize),
    appended: &Result<Appended, AppendError>,
) {
    span.say("http.request.method", "POST");
    span.say("http.route", "/webhooks/{name}");
    span.say(
        "http.request.body.size",
        i64::try_from(bytes).unwrap_or(i64::MAX),
    );
    span.say("bridge.webhook", webhook.as_str().to_owned());
    match appended {
        Ok(Appended { kind, id, .. }) => {
            span.say("http.response.status_code", 200_i64);
            span.say("messaging.message.id", id.clone());
            span.say(OUTCOME, kind.word());
            span.end();
        }
        Err(_) => {
            span.say("http.response.status_code", 503_i64);
            span.say(OUTCOME, NOT_STORED);
            span.fail(NOT_STORED);
        }
    }
}

const OUTCOME: &str = "bridge.outcome";
const NOT_STORED: &str = "not-stored";
