//! What a line says, and that nothing in it steers the terminal.

use super::*;

fn record(topic: &str, value: &str) -> Followed {
    Followed {
        topic: topic.to_owned(),
        partition: 3,
        offset: 7,
        timestamp: Timestamp::parse("2026-05-08T07:52:48.164Z"),
        key: Some("CALL-1778226705739-7e4c17".to_owned()),
        headers: vec![("error.reason".to_owned(), "no-call-id".to_owned())],
        value: value.as_bytes().to_vec(),
    }
}

#[test]
fn a_line_says_what_matters_of_an_event() {
    let event = r#"{"type":"post-conversation","callId":"CALL-1778226705739-7e4c17",
        "call":{"direction":"outbound","fromNumber":"+1","toNumber":"+2","status":"completed","durationSeconds":49.350622},
        "transcript":[{"role":"agent","content":"hello"},{"role":"user","content":"नमस्ते"}],
        "analytics":{"metrics":[{}]},"unmapped":{"/x":1}}"#;
    assert_eq!(
        line(&record("atoms.post-conversation", event)),
        "2026-05-08T07:52:48.164Z  post       CALL-1778226705739-7e4c17  outbound  +1 → +2  completed  49.4 s  2 turns  1 metric  1 unmapped  \"नमस्ते\""
    );
}

#[test]
fn a_dead_letter_says_why() {
    assert_eq!(
        line(&record("atoms.dead-letter", "{\"a\":1}")),
        "2026-05-08T07:52:48.164Z  dead-letter  CALL-1778226705739-7e4c17  no-call-id  7 bytes"
    );
}

#[test]
fn nothing_steers_the_terminal() {
    let event = "{\"type\":\"x\u{9b}2J\",\"callId\":\"\\u001b[2J\",\"transcript\":[{\"role\":\"user\",\"content\":\"\\u0007\\n\u{202e}\"}]}";
    let steering = |c: char| c.is_control() || c == '\u{202e}';
    assert!(!line(&record("atoms.unrecognized", event)).contains(steering));
    let same = inert(event);
    assert!(!same.contains(steering));
    let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(value(&same), value(event));
}

#[test]
fn json_is_the_value_on_one_line() {
    let written = |record: &Followed| {
        let mut bytes = Vec::new();
        write(&mut Output::plain(&mut bytes), record, true).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    assert_eq!(
        written(&record("atoms.unrecognized", "{\"a\":\n1e400}")),
        "{\"a\": 1e400}\n"
    );
    let mut letter = record("atoms.dead-letter", "x\u{1b}");
    let json: serde_json::Value = serde_json::from_str(&written(&letter)).unwrap();
    assert_eq!(
        (&json["reason"], &json["body"]),
        (&"no-call-id".into(), &"x\u{1b}".into())
    );
    letter.value = vec![0xff];
    let json: serde_json::Value = serde_json::from_str(&written(&letter)).unwrap();
    assert_eq!(json["bodyHex"], "ff");
}

#[test]
fn types_are_known_and_in_order() {
    let named = |names: &[&str]| types(&names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>());
    assert_eq!(named(&[]).unwrap(), TOPIC_NAMES);
    assert_eq!(
        named(&["dead-letter", "pre-conversation"]).unwrap(),
        ["pre-conversation", "dead-letter"]
    );
    let error = named(&["start"]).unwrap_err().to_string();
    assert!(error.contains("analytics-completed"), "{error}");
}

#[test]
fn a_long_summary_is_cut_between_characters() {
    assert_eq!(beginning(&"é".repeat(61)), format!("{}…", "é".repeat(60)));
    assert_eq!(beginning("short"), "short");
}

#[test]
fn what_was_received_outside_of_the_time_is_left_away() {
    use clap::Parser;
    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }
    let args = |line: &[&str]| {
        let line = ["tail"].iter().chain(line);
        Line::try_parse_from(line).unwrap().args
    };
    let event = r#"{"receivedAt":"2026-05-08T09:00:00.000Z"}"#;
    let record = record("atoms.post-conversation", event);
    for (line, by_record, by_event) in [
        (&[][..], true, true),
        (&["--until", "2026-05-08T08:00:00Z"], true, false),
        (&["--until", "2026-05-08T07:52:48.164Z"], true, false),
        (&["--until", "2026-05-08T07:52:48.163Z"], false, false),
        (&["--since", "2026-05-08T08:00:00Z"], false, true),
        (&["--until", "1h"], true, true),
    ] {
        let args = args(line);
        assert_eq!(args.wants(&record, true), by_record, "{line:?}");
        assert_eq!(args.wants(&record, false), by_event, "{line:?}");
    }
    let now = Timestamp::parse("2026-05-08T12:00:00Z").unwrap();
    for (line, from, end) in [
        (&[][..], From::Now, Until::Forever),
        (&["-e"], From::Beginning, Until::End),
        (
            &["--until", "2026-05-08T11:00:00Z"],
            From::Beginning,
            Until::End,
        ),
        (
            &["--until", "2026-05-08T13:00:00Z"],
            From::Now,
            Until::Forever,
        ),
        (
            &["--until", "2026-05-08T13:00:00Z", "-e"],
            From::Beginning,
            Until::End,
        ),
    ] {
        let args = args(line);
        assert_eq!((args.from(now), args.end(now)), (from, end), "{line:?}");
    }
}
