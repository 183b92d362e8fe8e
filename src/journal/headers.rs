//! The kept headers as the journal stores them: compact JSON, or nothing when all are absent.

use serde::{Deserialize, Serialize};

use crate::receive::delivery::KeptHeaders;

/// Short names on disk; they are part of the format.
#[derive(Serialize, Deserialize)]
struct Stored {
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
pub(super) fn write(headers: &KeptHeaders) -> Option<String> {
    if *headers == KeptHeaders::default() {
        return None;
    }
    let KeptHeaders {
        content_type,
        content_encoding,
        traceparent,
        user_agent,
    } = headers.clone();
    let stored = Stored {
        content_type,
        content_encoding,
        traceparent,
        user_agent,
    };
    Some(serde_json::to_string(&stored).expect("four optional strings always serialize"))
}

/// `None` when the text is not what [`write`] made: the row is damaged.
pub(super) fn read(text: Option<&str>) -> Option<KeptHeaders> {
    let Some(text) = text else {
        return Some(KeptHeaders::default());
    };
    let Stored {
        content_type,
        content_encoding,
        traceparent,
        user_agent,
    } = serde_json::from_str(text).ok()?;
    Some(KeptHeaders {
        content_type,
        content_encoding,
        traceparent,
        user_agent,
    })
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
        let text = write(&some).unwrap();
        assert_eq!(text, r#"{"ct":"application/json","ua":"a \"b\""}"#);
        assert_eq!(read(Some(&text)), Some(some));
        assert_eq!(write(&KeptHeaders::default()), None);
        assert_eq!(read(None), Some(KeptHeaders::default()));
        assert_eq!(read(Some("{")), None);
    }
}
