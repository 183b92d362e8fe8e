//! The table of requests and answers tells each departure from itself by its place.

use super::*;

fn exchange<'a>(
    method: &'a str,
    path: &'a str,
    sent: &'a [u8],
    status: u16,
    answered: &'a [u8],
) -> Exchange<'a> {
    Exchange {
        method,
        path,
        query: &[],
        sent,
        status,
        answered,
    }
}

#[test]
fn a_path_leads_to_one_call() {
    for (method, path, expected) in [
        ("GET", "/webhook", Some(WEBHOOKS.path)),
        ("PATCH", "/webhook/69fc", Some(UPDATE_WEBHOOK.path)),
        ("GET", "/conversation/CALL-1-a", Some(CALL.path)),
        ("POST", "/conversation/search", Some(SEARCH_CALLS.path)),
        ("GET", "/conversation/CALL-1-a/retries", Some(RETRIES.path)),
        ("PUT", "/webhook", None),
        ("GET", "/webhook/", None),
        ("GET", "/conversation/..", None),
        ("GET", "/conversation/a/b", None),
    ] {
        assert_eq!(
            find(method, path).map(|call| call.path),
            expected,
            "{method} {path}"
        );
    }
    for call in ALL {
        let path = call.path.replace(['{', '}'], "");
        let leading = ALL
            .iter()
            .filter(|other| other.method == call.method && other.ids(&path).is_some());
        assert_eq!(leading.count(), 1, "{} {}", call.method, call.path);
    }
}

#[test]
fn an_id_leads_nowhere_else() {
    for id in ["CALL-1778226705739-7e4c17", "69fc7dd072a0c1d28d948ace"] {
        assert!(is_id(id), "{id}");
    }
    for text in ["", ".", "..", "a/b", "a?b", "a b", "a%2f", "ä"] {
        assert!(!is_id(text), "{text}");
    }
}

#[test]
fn departures_of_request_and_answer_are_told() {
    let made = br#"{"status":true,"data":"69fc"}"#;
    let wants = br#"{"endpoint":"https://x","description":"x","events":[{"agentId":"a","eventType":"pre-conversation"}]}"#;
    assert_eq!(
        judge(&exchange("POST", "/webhook", wants, 201, made)),
        Vec::<String>::new()
    );
    for (sent, status, answered, expected) in [
        (&b"{"[..], 201, &made[..], "what was sent is not JSON"),
        (wants, 200, made, "the status is 200 in place of 201"),
        (wants, 201, br#"{"status":true,"data":7}"#, "data is not a string"),
        (wants, 201, b"<html>", "the answer is not JSON"),
        (wants, 500, b"[]", "answer is not an object"),
        (
            br#"{"endpoint":"https://x","description":"x","events":[{"agentId":"a","eventType":"end"}]}"#,
            201,
            made,
            "sent/events/0/eventType is not one of pre-conversation, post-conversation, analytics-completed",
        ),
    ] {
        assert_eq!(judge(&exchange("POST", "/webhook", sent, status, answered)), [expected]);
    }
    let query = [
        ("sortBy".to_owned(), "createdAt".to_owned()),
        ("limit".to_owned(), "501".to_owned()),
    ];
    let page = br#"{"status":true,"data":{"logs":[],"pagination":{"hasMore":false}}}"#;
    let asked = Exchange {
        query: &query,
        ..exchange("GET", "/conversation", b"", 200, page)
    };
    assert_eq!(judge(&asked).len(), 2, "{:?}", judge(&asked));
    assert_eq!(
        judge(&exchange("GET", "/nothing", b"", 200, page)),
        ["no such call"]
    );
}
