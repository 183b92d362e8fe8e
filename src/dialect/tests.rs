//! The trickiest rules of the reader, as facts; the golden events in `tests/fixtures` show whole ones.

use serde_json::{Value, json};

use super::*;

/// The event that a body becomes, with an id whose second is 2026-05-08T07:52:55Z.
fn event(body: &str) -> Value {
    event_with_id(body, "69fd96578d7c3809f58ce555")
}

fn event_with_id(body: &str, id: &str) -> Value {
    let document = Document::parse(body.as_bytes()).unwrap();
    let arrival = Arrival {
        webhook: "default",
        id,
        received_at: Timestamp::parse("2026-05-08T07:53:00.412Z").unwrap(),
        origin: Origin::Webhook,
    };
    serde_json::to_value(parse(&document, &arrival).unwrap()).unwrap()
}

#[test]
fn an_events_own_time_is_the_first_that_is_known() {
    let (own, id) = (
        "2026-05-08T07:52:10.000Z",
        "69fd96578d7c3809f58ce555-0a1b2c3d",
    );
    for (body, id, expected) in [
        (
            r#"{"callId":"c","event":"End","timestamp":"2026-05-08T07:52:10Z","endTime":"2026-05-08T07:52:09Z"}"#,
            id,
            own,
        ),
        (
            r#"{"callId":"c","event":"End","endTime":"2026-05-08T07:52:10Z"}"#,
            id,
            own,
        ),
        (
            r#"{"callId":"c","event":"Start","endTime":"2026-05-08T07:52:10Z"}"#,
            id,
            "2026-05-08T07:52:55.000Z",
        ),
        (
            r#"{"callId":"c","event":"End"}"#,
            &id[..24],
            "2026-05-08T07:52:55.000Z",
        ),
        (
            r#"{"callId":"c","event":"End"}"#,
            "sha256-0a1b",
            "2026-05-08T07:53:00.412Z",
        ),
        (
            r#"{"callId":"CALL-1778226780000-ab","event":"End"}"#,
            id,
            "2026-05-08T07:53:00.000Z",
        ),
        (
            r#"{"callId":"CALL-1778226780000-ab","timestamp":"2026-05-08T07:52:10Z"}"#,
            id,
            "2026-05-08T07:53:00.000Z",
        ),
    ] {
        assert_eq!(event_with_id(body, id)["occurredAt"], expected, "{body}");
    }
}

#[test]
fn a_name_tells_agent_and_type() {
    let agent = "69fc7dd072a0c1d28d948ace";
    for (body, event_type, agent_id) in [
        (
            format!(r#""event":"{agent}.post-conversation""#),
            "post-conversation",
            json!(agent),
        ),
        (
            format!(r#""event":"{agent}.call.transferred""#),
            "call.transferred",
            json!(agent),
        ),
        (
            r#""event":"call.transferred""#.into(),
            "call.transferred",
            Value::Null,
        ),
        (
            r#""event":"call.end""#.into(),
            "post-conversation",
            Value::Null,
        ),
        (
            r#""event":"my.agent.new-thing","agentId":"my.agent""#.into(),
            "new-thing",
            json!("my.agent"),
        ),
        (
            r#""event":"my.agent.call ended","agentId":"my.agent""#.into(),
            "post-conversation",
            json!("my.agent"),
        ),
        (
            format!(r#""event":"{agent}.analytics.completed""#),
            "analytics-completed",
            json!(agent),
        ),
        (
            r#""event":"my.agent.Post-Conversation""#.into(),
            "post-conversation",
            json!("my.agent"),
        ),
        (
            r#""event":"agent_abc.analytics-completed""#.into(),
            "analytics-completed",
            json!("agent_abc"),
        ),
        (
            r#""event":"Start","metadata":{"eventType":"call_ended"}"#.into(),
            "post-conversation",
            Value::Null,
        ),
        (
            r#""eventType":"","event":"end""#.into(),
            "post-conversation",
            Value::Null,
        ),
        (r#""event":"""#.into(), "unnamed", Value::Null),
    ] {
        let event = event(&format!(r#"{{"callId":"c",{body}}}"#));
        assert_eq!(event["type"], event_type, "{body}");
        assert_eq!(event["agentId"], agent_id, "{body}");
    }
}

#[test]
fn what_only_ends_like_a_known_type_is_a_type_of_its_own() {
    for name in [
        "recording.start",
        "voicemail.end",
        "transfer.end",
        "bot.call.started",
        "session.analytics_completed",
        "call.analytics_completed",
        "call.analytics.completed",
        "agent_abc.post_conversation",
        ".post-conversation",
    ] {
        let event = event(&format!(r#"{{"callId":"c","event":"{name}"}}"#));
        assert_eq!(event["type"], name);
        assert_eq!(event["stage"], Value::Null, "{name}");
        assert_eq!(event["agentId"], Value::Null, "{name}");
    }
}

#[test]
fn a_url_loses_its_query_and_nothing_else() {
    for (sent, told) in [
        ("https://a/b", "https://a/b"),
        ("https://a/b?x=1&y=?", "https://a/b"),
        ("https://a/b?x=1#part", "https://a/b#part"),
        ("https://a/b#part?no=query", "https://a/b#part?no=query"),
        ("https://a/b?x=1#part?no=query", "https://a/b#part?no=query"),
    ] {
        let event = event(&format!(r#"{{"callId":"c","url":"{sent}"}}"#));
        assert_eq!(event["source"]["url"], told);
    }
}

#[test]
fn numbers_follow_the_direction() {
    let flat = r#""caller_phone":"P","agent_phone":"A""#;
    let sided = r#""fromPhone":"F","toPhone":"T""#;
    let variables = r#""variables":{"user_number":"U","agent_number":""}"#;
    for (body, expected) in [
        (
            format!(r#""direction":"inbound",{flat}"#),
            json!(["P", "A", "P", "A"]),
        ),
        (
            format!(r#""direction":"outbound",{flat}"#),
            json!(["A", "P", "P", "A"]),
        ),
        (flat.to_owned(), json!([null, null, "P", "A"])),
        (
            format!(r#""direction":"inbound",{sided}"#),
            json!(["F", "T", "F", "T"]),
        ),
        (
            format!(r#""direction":"outbound",{sided}"#),
            json!(["F", "T", "T", "F"]),
        ),
        (format!("{sided},{variables}"), json!(["F", "T", "U", null])),
        (
            format!(r#""direction":"inbound",{variables}"#),
            json!([null, null, "U", null]),
        ),
    ] {
        let event = event(&format!(r#"{{"callId":"c",{body}}}"#));
        let call = &event["call"];
        let numbers =
            ["fromNumber", "toNumber", "userNumber", "agentNumber"].map(|name| &call[name]);
        assert_eq!(json!(numbers), expected, "{body}");
    }
}

#[test]
fn the_way_of_a_call_comes_from_the_first_name_that_tells_it() {
    for (body, channel, direction, unmapped) in [
        (
            r#""conversationType":"telephonyInbound""#,
            json!("telephony"),
            json!("inbound"),
            json!(null),
        ),
        (
            r#""callDirection":"telephony_outbound","conversationType":"webcall""#,
            json!("telephony"),
            json!("outbound"),
            json!({"/conversationType": "webcall"}),
        ),
        (
            r#""call_direction":"inbound","conversationType":"webcall""#,
            json!("web"),
            json!("inbound"),
            json!(null),
        ),
        (
            r#""direction":"sideways""#,
            json!(null),
            json!(null),
            json!({"/direction": "sideways"}),
        ),
        (
            r#""conversationType":"chat""#,
            json!("chat"),
            json!(null),
            json!(null),
        ),
        (
            r#""variables":{"conversation_type":"telephonyOutbound"},"conversationType":null"#,
            json!("telephony"),
            json!("outbound"),
            json!({"/conversationType": null}),
        ),
    ] {
        let event = event(&format!(r#"{{"callId":"c",{body}}}"#));
        assert_eq!(event["call"]["channel"], channel, "{body}");
        assert_eq!(event["call"]["direction"], direction, "{body}");
        assert_eq!(event["unmapped"], unmapped, "{body}");
    }
}

#[test]
fn of_names_that_disagree_the_loser_is_kept() {
    for (body, unmapped) in [
        (
            r#""duration":2,"duration_seconds":1"#,
            json!({"/duration": 2}),
        ),
        (
            r#""duration":1.0,"duration_seconds":1"#,
            json!({"/duration": 1.0}),
        ),
        (
            r#""duration":"1","duration_seconds":1"#,
            json!({"/duration": "1"}),
        ),
        (r#""duration":1,"duration_seconds":1"#, json!(null)),
        (
            r#""duration":1,"duration_seconds":null"#,
            json!({"/duration_seconds": null}),
        ),
        (
            r#""callStatus":"no_answer","call_status":"No Answer""#,
            json!(null),
        ),
        (
            r#""tags":["a"],"data":{"tags":["b"]}"#,
            json!({"/tags": ["a"]}),
        ),
        (
            r#""variables":{"a":1,"b":2},"data":{"variables":{"b":2,"a":1}}"#,
            json!(null),
        ),
        (
            r#""metrics":{"a":[1]},"data":{"metrics":{"a":[1]}}"#,
            json!({"/data/metrics/a": [1]}),
        ),
        (
            r#""metrics":{"a":[1]},"data":{"metrics":{"a":[2]}}"#,
            json!({"/data/metrics/a": [2], "/metrics": {"a": [1]}}),
        ),
        (
            r#""transcript":[{"role":"user","content":"x"}],"data":{"transcript":[{"content":"x","role":"user"}]}"#,
            json!(null),
        ),
        (
            r#""analytics":{"summary":"s","new":1},"metadata":{"analytics":{"summary":"s","new":1}}"#,
            json!({"/metadata/analytics/new": 1}),
        ),
        (
            r#""metrics":{"a":"\ud800","a":null},"data":{"metrics":{"a":null}}"#,
            json!({"/data/metrics/a": null}),
        ),
        (
            r#""tags":["\ud800"],"data":{"tags":["\ud800"]}"#,
            json!({"/data/tags/0": "\\ud800", "/tags": ["\u{fffd}"], "/tags/0": "\\ud800"}),
        ),
        (
            r#""variables":{"a":1.0},"data":{"variables":{"a":1}}"#,
            json!({"/variables": {"a": 1.0}}),
        ),
    ] {
        let event = event(&format!(r#"{{"callId":"c",{body}}}"#));
        assert_eq!(event["unmapped"], unmapped, "{body}");
    }
}

#[test]
fn broken_halves_lose_no_neighbour() {
    for (body, unmapped) in [
        (
            r#""agentName":"\ud800","agent_id":"a""#,
            json!({"/agentName": "\\ud800"}),
        ),
        (
            "\"\u{fffd}\":5,\"\\ud800\":6",
            json!({"/\u{fffd}": 5, "/\u{fffd}#": "\"\\ud800\":6"}),
        ),
        (
            "\"\\udc00\":7,\"\\ud800\":6",
            json!({"/\u{fffd}": 6, "/\u{fffd}#": "\"\\ud800\":6", "/\u{fffd}##": "\"\\udc00\":7"}),
        ),
        (
            "\"x\":{\"\\ud800\":6,\"\u{fffd}\":5}",
            json!({"/x": {"\u{fffd}": 5}, "/x/\u{fffd}#": "\"\\ud800\":6"}),
        ),
        (
            r#""url":"https://a\ud800/?token=secret""#,
            json!({"/url": "https://a\\ud800/"}),
        ),
        (
            r#""url":"https://a\ud800/\u003Ftoken=secret""#,
            json!({"/url": "https://a\\ud800/"}),
        ),
        (
            r#""url":"https://a\ud800/?token=secret\u0023b?c""#,
            json!({"/url": "https://a\\ud800/\\u0023b?c"}),
        ),
    ] {
        let event = event(&format!(r#"{{"callId":"c",{body}}}"#));
        assert_eq!(event["unmapped"], unmapped, "{body}");
    }
}

#[test]
fn broken_halves_take_no_more_than_some_times_their_body() {
    let halves = [r#""\ud800""#; 20_000].join(",");
    let opening = format!(r#"{{"\ud800{}":"#, "k".repeat(1000));
    let nested = format!("{}1{}", opening.repeat(100), "}".repeat(100));
    for value in [
        format!("[{halves}]"),
        format!(r#"{{"{}":[{halves}]}}"#, "k".repeat(16_000)),
        nested,
    ] {
        let event = event(&format!(r#"{{"callId":"c","new":{value}}}"#));
        let told = event["unmapped"].as_object().unwrap();
        let bytes: usize = told
            .iter()
            .map(|(at, it)| at.len() + it.to_string().len())
            .sum();
        assert!(bytes < 12 * value.len(), "{bytes} of {}", value.len());
        let is_told = told.get("/new") == Some(&json!(value)) || told.len() == 20_001;
        assert!(is_told, "{:?}", told.keys().take(3).collect::<Vec<_>>());
    }
}

#[test]
fn a_time_that_says_more_than_milliseconds_is_kept_too() {
    for (time, is_kept) in [
        ("2026-05-08T07:52:48Z", false),
        ("2026-05-08 13:22:48,5+05:30", false),
        ("2026-05-08T07:52:48.164000000Z", false),
        ("2026-05-08T07:52:48.164001Z", true),
        ("2026-05-08T07:52:60Z", true),
        ("2026-05-08", true),
    ] {
        let event = event(&format!(r#"{{"callId":"c","answerTime":"{time}"}}"#));
        assert_eq!(event["unmapped"]["/answerTime"] == time, is_kept, "{time}");
    }
}

#[test]
fn nesting_is_unbounded() {
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let body = format!(r#"{{"callId":"c","variables":{{"v":{deep}}},"new":{deep}}}"#);
    let document = Document::parse(body.as_bytes()).unwrap();
    let arrival = Arrival {
        webhook: "default",
        id: "id",
        received_at: Timestamp::from_unix_ms(0),
        origin: Origin::Webhook,
    };
    let json = serde_json::to_string(&parse(&document, &arrival).unwrap()).unwrap();
    assert_eq!(json.matches(&deep).count(), 2);
}
