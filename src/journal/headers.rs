//! The kept headers as the journal stores them, and how the delivery came here: compact JSON, or nothing when there is
//! nothing to say.

use serde::{Deserialize, Serialize};

use crate::event::{Origin, Stage};
use crate::receive::delivery::KeptHeaders;

/// Short names on disk; they are part of the format.
#[derive(Serialize, Deserialize)]
struct Stored {
    /// Of a reconciled event its stage's number; absent of what a webhook brought.
    #[serde(rename = "rc", default, skip_serializing_if = "Option::is_none")]
    reconciled: Option<u8>,
    #[serde(rename = "ct", default, skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(rename = "ce", default, skip_serializing_if = "Option::is_none")]
    content_encoding: Option<String>,
    #[serde(rename = "tp", default, skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
    #[serde(rename = "ua", default, skip_serializing_if = "Option::is_none")]
    user_agent: Option<String>,
}

/// `None` when there is nothing to keep.
pub(super) fn write(headers: &KeptHeaders, origin: Origin) -> Option<String> {
    if *headers == KeptHeaders::default() && origin == Origin::Webhook {
        return None;
    }
    let KeptHeaders {
        content_type,
        content_encoding,
        traceparent,
        user_agent,
    } = headers.clone();
    let stored = Stored {
        reconciled: match origin {
            Origin::Webhook => None,
            Origin::Reconcile(stage) => Some(stage.number()),
        },
        content_type,
        content_encoding,
        traceparent,
        user_agent,
    };
    Some(serde_json::to_string(&stored).expect("optional strings and a number always serialize"))
}

/// `None` when the text is not what [`write`] made: the row is damaged.
pub(super) fn read(text: Option<&str>) -> Option<(KeptHeaders, Origin)> {
    let Some(text) = text else {
        return Some((KeptHeaders::default(), Origin::Webhook));
    };
    let Stored {
        reconciled,
        content_type,
        content_encoding,
        traceparent,
        user_agent,
    } = serde_json::from_str(text).ok()?;
    let origin = match reconciled {
        None => Origin::Webhook,
        Some(number) => Origin::Reconcile(Stage::of_number(number)?),
    };
    let headers = KeptHeaders {
        content_type,
        content_encoding,
        traceparent,
        user_agent,
    };
    Some((headers, origin))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_the_round_trip() {
        let some = KeptHeaders {
            content_type: Some("application/json".into()),
            user_agent: Some("a \"b\"".into()),
            ..KeptHeaders::default()
        };
        let text = write(&some, Origin::Webhook).unwrap();
        assert_eq!(text, r#"{"ct":"application/json","ua":"a \"b\""}"#);
        assert_eq!(read(Some(&text)), Some((some, Origin::Webhook)));
        let none = KeptHeaders::default();
        assert_eq!(write(&none, Origin::Webhook), None);
        assert_eq!(read(None), Some((none.clone(), Origin::Webhook)));
        assert_eq!(read(Some("{")), None);

        let reconciled = Origin::Reconcile(Stage::PostConversation);
        let text = write(&none, reconciled).unwrap();
        assert_eq!(text, r#"{"rc":2}"#);
        assert_eq!(read(Some(&text)), Some((none, reconciled)));
        assert_eq!(read(Some(r#"{"rc":4}"#)), None);
    }
}
