//! What the reader of JSON takes, refuses and passes on.

use super::plain::plain_until;
use super::*;
use proptest::prelude::*;

fn compact(body: &str) -> (String, Vec<(String, String)>) {
    let document = Document::parse(body.as_bytes()).unwrap();
    let (mut out, mut broken) = (String::new(), Vec::new());
    document.root().write("", &mut out, &mut broken);
    (out, broken)
}

#[test]
fn numbers_and_escapes_are_passed_on_as_they_stand() {
    let body = "\u{feff} { \"a\" : [ 1.50 , -0 , 1E400, 123456789012345678901234567890 ],\n\"b\\n\":\"\\u00e9\\ud83d\\ude00\" }";
    let expected =
        r#"{"a":[1.50,-0,1E400,123456789012345678901234567890],"b\n":"\u00e9\ud83d\ude00"}"#;
    assert_eq!(compact(body), (expected.to_owned(), vec![]));
}

#[test]
fn of_repeated_keys_the_last_wins() {
    assert_eq!(
        compact(r#"{"a":1,"b":2,"\u0061":3}"#).0,
        r#"{"b":2,"\u0061":3}"#
    );
    let many: String = (0..100).map(|n| format!("\"k{}\":{n},", n % 50)).collect();
    let (out, _) = compact(&format!("{{{}\"z\":0}}", many));
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&out).unwrap()["k7"],
        57
    );
    assert_eq!(out.matches("\"k7\"").count(), 1);
}

#[test]
fn half_a_surrogate_pair_is_replaced_and_told() {
    let (out, broken) = compact(r#"{"a":["x","\ud800y"],"\udc00":1}"#);
    assert_eq!(out, "{\"a\":[\"x\",\"\u{fffd}y\"],\"\u{fffd}\":1}");
    assert_eq!(
        broken,
        [
            ("/a/1".to_owned(), r"\ud800y".to_owned()),
            ("/\u{fffd}#".to_owned(), r#""\udc00":1"#.to_owned())
        ]
    );
}

#[test]
fn nesting_is_unbounded() {
    let body = format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000));
    assert_eq!(compact(&body).0, body);
}

#[test]
fn an_error_names_the_place() {
    for (body, expected) in [
        ("", "unexpected end at line 1, column 1"),
        (
            "{\"a\":1,\n \"b\":x}",
            "unexpected character at line 2, column 6",
        ),
        ("{} {}", "text behind the value at line 1, column 4"),
        ("\"\\x\"", "unknown escape at line 1, column 2"),
        (
            "\"a\nb\"",
            "control character in a string at line 1, column 3",
        ),
        ("[1,]", "unexpected character at line 1, column 4"),
        ("01", "text behind the value at line 1, column 2"),
        ("\"abc", "unexpected end at line 1, column 5"),
    ] {
        assert_eq!(
            Document::parse(body.as_bytes()).unwrap_err().to_string(),
            expected,
            "{body}"
        );
    }
    let error = Document::parse(b"\"\xff\"").unwrap_err();
    assert_eq!(error.to_string(), "not UTF-8 at line 1, column 2");
}

#[test]
fn an_id_is_peeked_at_the_top_only() {
    for (body, id) in [
        (r#"{"metadata":{"id":"no"},"id":"69fd"}"#, Some("69fd")),
        (r#"{"id":"a","id":"b"}"#, Some("b")),
        (r#"{"id":7}"#, None),
        (r#"{"id":""}"#, None),
        (r#"{"id":"é"}"#, None),
        (r#"{"id":"ab"#, None),
        (r#"["id","x"]"#, None),
    ] {
        assert_eq!(peek_id(body.as_bytes()).as_deref(), id, "{body}");
    }
    assert_eq!(
        peek_id(format!(r#"{{"id":"{}"}}"#, "a".repeat(129)).as_bytes()),
        None
    );
}

#[test]
fn what_is_clean_is_what_is_written_as_it_stands() {
    for (body, is_clean) in [
        ("1.50", true),
        ("[]", true),
        ("{}", true),
        ("[[],{},[{}]]", true),
        (r#"{"a":[1,{"b":"c\n\u00e9"},""],"d":null}"#, true),
        (r#"{"a": 1}"#, false),
        ("[1 ,2]", false),
        ("[ ]", false),
        (r#"{"a":1,"b":2,"a":3}"#, false),
        (r#"[{"a":[{"b":1,"b":1}]}]"#, false),
        (r#""\ud800""#, false),
        (r#"[{"\ud800":1}]"#, false),
    ] {
        let document = Document::parse(body.as_bytes()).unwrap();
        assert_eq!(document.root().is_clean(), is_clean, "{body}");
        let as_it_stands = compact(body) == (body.to_owned(), Vec::new());
        assert_eq!(as_it_stands, is_clean, "{body}");
    }
}

proptest! {
    #[test]
    fn agrees_with_serde_json_on_what_is_json(body in r#"[\[\]{}:,"\\u0-9eE+. truefalsn-]{0,40}"#) {
        let theirs = serde_json::from_str::<&serde_json::value::RawValue>(&body);
        let ours = Document::parse(body.as_bytes());
        prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{} {:?} {:?}", body, ours.err(), theirs.err());
    }

    #[test]
    fn never_panics(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Document::parse(&body);
    }
}

#[test]
fn the_first_special_byte_is_found_wherever_it_stands() {
    let special = |byte: u8| byte < 0x20 || byte == b'"' || byte == b'\\';
    for byte in 0..=255 {
        for other in [b'a', b'!', 0x7f, 0x80, 0xff, b'#', b'[', b']', 0x20] {
            for at in 0..90 {
                let mut text = [other; 90];
                text[at] = byte;
                let expected = text.iter().position(|byte| special(*byte)).unwrap_or(90);
                for from in [0, 1, 74, 75, 90] {
                    let found = plain_until(&text, from.min(at));
                    assert_eq!(found, expected, "{byte} at {at} of {other}");
                }
            }
        }
    }
}
