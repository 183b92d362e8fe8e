//! What is exported is what was delivered, byte for byte.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::harness::bridge::{Bridge, post, post_with};
use crate::harness::{calls, ports};

#[test]
fn an_export_holds_every_delivery_as_it_came() {
    // Nothing listens there: what is exported need not be published.
    let bridge = Bridge::new(&ports::free_address().to_string()).start();
    let mut client = bridge.client();
    let mut bodies: Vec<Vec<u8>> = (0..40)
        .map(|n| calls::delivery(&format!("CALL-{}", n / 4), n % 4))
        .collect();
    bodies.push(b"\xff\xfe no text at all".to_vec());
    bodies.push("{\"a\":\"\u{1b}[2J\u{2028}\\ud800\"}\n".as_bytes().to_vec());
    for body in &bodies {
        let headers = [("user-agent", "a \"caller\"")];
        let answer = post_with(&mut client, "default", &headers, body).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let lines = export(&bridge, &[]);
    assert_eq!(lines.len(), bodies.len());
    for (number, (line, body)) in lines.iter().zip(&bodies).enumerate() {
        assert_eq!(line["seq"], number + 1);
        assert_eq!(line["outSeq"], number + 1);
        assert_eq!(
            (&line["webhook"], &line["state"]),
            (&"default".into(), &"pending".into())
        );
        assert_eq!(line["headers"]["user-agent"], "a \"caller\"");
        assert!(line["receivedAt"].is_string() && line["intact"] == true);
        let exported = match (&line["body"], &line["bodyHex"]) {
            (Value::String(text), Value::Null) => text.clone().into_bytes(),
            (Value::Null, Value::String(digits)) => hex::decode(digits).expect("hex"),
            other => panic!("{other:?}"),
        };
        assert_eq!(
            exported.escape_ascii().to_string(),
            body.escape_ascii().to_string()
        );
    }
    let ids = |lines: Vec<Value>| -> Vec<String> {
        lines
            .iter()
            .map(|l| l["id"].as_str().expect("an id").to_owned())
            .collect()
    };
    let call: Vec<_> = (0..4).map(|step| calls::id("CALL-7", step)).collect();
    assert_eq!(ids(export(&bridge, &["--call", "CALL-7"])), call);
    assert_eq!(ids(export(&bridge, &["--call", "CALL-7", "--json"])), call);
    let newest_first: Vec<_> = call.iter().rev().take(3).cloned().collect();
    let arguments = [
        "journal", "list", "--json", "--call", "CALL-7", "--limit", "3",
    ];
    assert_eq!(
        ids(json_lines(&bridge.run(&arguments).stdout)),
        newest_first
    );
    let typed = export(&bridge, &["--type", "pre-conversation", "--seq", "1..8"]);
    assert_eq!(ids(typed), [calls::id("CALL-0", 0), calls::id("CALL-1", 0)]);
    assert_eq!(export(&bridge, &["--state", "published"]).len(), 0);
    assert_eq!(export(&bridge, &["--seq", "40.."]).len(), 3);
}

#[test]
fn a_reader_that_has_enough_ends_an_export_without_a_complaint() {
    let bridge = Bridge::new(&ports::free_address().to_string()).start();
    let mut client = bridge.client();
    // More than a pipe holds.
    for call in 0..200 {
        let body = calls::delivery(&format!("CALL-{call}"), 0);
        assert_eq!(
            post(&mut client, "default", &body)
                .expect("an answer")
                .status,
            200
        );
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_atoms-kafka-bridge"));
    let mut export = command
        .args(["journal", "export"])
        .env("ATOMS_BRIDGE__JOURNAL__PATH", bridge.journal_path())
        .current_dir(bridge.dir())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the bridge is built");
    let mut line = String::new();
    let mut reader = BufReader::new(export.stdout.take().expect("stdout is piped"));
    reader.read_line(&mut line).expect("a line");
    drop(reader);
    let ended = export.wait_with_output().expect("it ends");
    assert!(line.starts_with("{\"seq\":1,"), "{line}");
    assert_eq!(ended.status.code(), Some(0), "{ended:?}");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

fn export(bridge: &Bridge, select: &[&str]) -> Vec<Value> {
    let output = bridge.run(&[&["journal", "export"], select].concat());
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    json_lines(&output.stdout)
}

fn json_lines(stdout: &[u8]) -> Vec<Value> {
    let lines = String::from_utf8_lossy(stdout);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}
