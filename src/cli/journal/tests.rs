//! What people and programs read of the journal, and that no payload steers a terminal.

use super::*;
use crate::event::Origin;

fn entry() -> Entry {
    Entry {
        seq: 7,
        out_seq: 9,
        webhook: "default".into(),
        id: "69fd".into(),
        received_at: Timestamp::from_unix_ms(0),
        origin: Origin::Webhook,
        state: State::Dead,
        reason: Some("too large".into()),
        body_bytes: Some(2),
    }
}

fn headers() -> KeptHeaders {
    KeptHeaders {
        user_agent: Some("a\u{1b}[2J".into()),
        ..KeptHeaders::default()
    }
}

fn text(write: impl FnOnce(&mut Output<&mut Vec<u8>>) -> Result<(), OutputError>) -> String {
    let mut written = Vec::new();
    write(&mut Output::plain(&mut written)).unwrap();
    String::from_utf8(written).unwrap()
}

#[test]
fn the_list_is_a_row_a_delivery() {
    let expected = "SEQ  RECEIVED                  WEBHOOK  STATE  OUT_SEQ  BYTES  ID    REASON\n  \
                    7  1970-01-01T00:00:00.000Z  default  dead         9      2  69fd  too large\n";
    assert_eq!(text(|output| write_entries(output, &[entry()])), expected);
}

#[test]
fn a_shown_delivery_cannot_steer_the_terminal() {
    let body = "{\n\"a\": \"\u{1b}]0;x\"}".as_bytes();
    let shown = text(|output| write_shown(output, &entry(), &headers(), Some(body), true));
    assert!(!shown.contains('\u{1b}'), "{shown}");
    assert!(
        shown.ends_with("\n\n{\n\"a\": \"\\u{1b}]0;x\"}\n"),
        "{shown}"
    );
}

#[test]
fn a_body_that_is_damaged_binary_or_gone_says_so() {
    let damaged = text(|output| write_shown(output, &entry(), &headers(), Some(b"\xff"), false));
    assert!(damaged.contains("its checksum is wrong"), "{damaged}");
    assert!(
        damaged.contains("1 bytes that are no UTF-8 text"),
        "{damaged}"
    );
    let gone = text(|output| write_shown(output, &entry(), &headers(), None, true));
    assert!(gone.contains("no longer kept"), "{gone}");
}

#[test]
fn json_carries_a_binary_body_in_hex() {
    let (entry, headers) = (entry(), KeptHeaders::default());
    let line = ShownLine::new(&entry, &headers, Some(b"\xff"), true);
    let expected = r#"{"seq":7,"outSeq":9,"webhook":"default","id":"69fd","receivedAt":"1970-01-01T00:00:00.000Z","origin":"webhook","state":"dead","reason":"too large","bodyBytes":2,"headers":{},"intact":true,"bodyHex":"ff"}"#;
    assert_eq!(serde_json::to_string(&line).unwrap(), expected);
}

#[test]
fn the_status_says_how_long_the_oldest_waits() {
    let status = Status {
        uuid: uuid::Uuid::nil(),
        format_version: 1,
        rows: 3,
        pending: 1,
        published: 1,
        dead: 1,
        next_out_seq: 4,
        settled_out_seq: 3,
        oldest_pending: Some(Timestamp::from_unix_ms(0)),
        used_bytes: 4096,
        file_bytes: 8192,
    };
    let now = Timestamp::from_unix_ms(90_000);
    let shown = text(|output| write_status(output, &status, now));
    assert!(
        shown.contains("oldest pending  1970-01-01T00:00:00.000Z (1m 30s ago)"),
        "{shown}"
    );
}
