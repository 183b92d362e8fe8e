//! The console in real Chromium, and what it refuses from whoever is no browser of its own.

use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::bridge::{Bridge, SECRET, post};
use crate::harness::http::{Answer, Client};
use crate::harness::{foreign, kcat, ports, shared_broker, unique, until};

#[test]
fn what_arrives_is_shown_without_a_reload() {
    let bridge = bridge("console-live");
    let found = browse("arrivals", &bridge, json!({}));
    assert_eq!(found["rows"], 2);
}

#[test]
fn a_call_is_found_by_whatever_is_known_of_it_and_its_timeline_says_what_is_missing() {
    let bridge = bridge("console-search");
    for number in 0..60 {
        let body = json!({"id": format!("many-{number}"), "event": "call.start", "call_id": format!("CALL-many-{number}")});
        assert_eq!(send(&bridge, &body), 200);
    }
    let one = json!({"id": "one-1", "event": "call.start", "call_id": "CALL-one", "agent_id": "agent-one"});
    assert_eq!(send(&bridge, &one), 200);
    let three = json!({"id": "one-3", "event": "analytics.completed", "call_id": "CALL-one", "agent_id": "agent-one"});
    assert_eq!(send(&bridge, &three), 200);
    assert_eq!(bridge.post("default", b"not JSON").status, 200);
    bridge.await_published();
    await_found(&bridge, 63);
    let questions = [
        ("Call", "CALL-one"),
        ("Agent", "agent-one"),
        ("Type", "analytics-completed"),
        ("Since", "1m"),
        ("Until", "1m"),
        ("state", "published"),
        ("state", "dead-letter"),
        ("state", "pending"),
        ("Webhook", "other"),
    ];
    let found = browse(
        "search",
        &bridge,
        json!({"questions": questions, "call": "CALL-one"}),
    );
    let calls = |question: &str| {
        let calls = found["found"][question].as_array().unwrap();
        calls
            .iter()
            .map(|call| call.as_str().unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(calls("Call CALL-one"), ["CALL-one", "CALL-one"]);
    assert_eq!(calls("Agent agent-one"), ["CALL-one", "CALL-one"]);
    assert_eq!(calls("Type analytics-completed"), ["CALL-one"]);
    assert_eq!(calls("Since 1m").len(), 50, "a page");
    assert_eq!(calls("Until 1m").len(), 0);
    assert_eq!(calls("state published").len(), 50);
    assert_eq!(calls("state dead-letter"), [""], "which says no call");
    assert_eq!(calls("state pending").len(), 0);
    assert_eq!(calls("Webhook other").len(), 0);
    assert_eq!(
        found["events"],
        json!([
            "pre-conversation published",
            "analytics-completed published",
            "post-conversation missing"
        ])
    );
}

#[test]
fn what_waits_for_kafka_is_found_by_its_state() {
    let nowhere = ports::free_address().to_string();
    let bridge = Bridge::new(&nowhere).with_console().start();
    for number in 0..3 {
        let body =
            json!({"id": format!("waits-{number}"), "event": "call.end", "call_id": "CALL-waits"});
        assert_eq!(send(&bridge, &body), 200);
    }
    await_found(&bridge, 3);
    for query in [
        "state=pending",
        "state=pending&call=CALL-waits",
        "state=pending&type=post-conversation",
    ] {
        let page = get(&bridge, &format!("/search?{query}")).text();
        assert_eq!(page.matches("<td class=\"call\">").count(), 3, "{query}");
    }
    for query in [
        "state=published",
        "state=dead-letter",
        "state=pending&call=CALL-other",
    ] {
        let page = get(&bridge, &format!("/search?{query}")).text();
        assert!(page.contains("Nothing fits."), "{query}");
    }
    let overview = until("the overview to count them", LIMIT, || {
        let page = get(&bridge, "/").text();
        if page.contains("3 wait") {
            Ok(page)
        } else {
            Err(page)
        }
    });
    assert!(overview.contains("not publishing"), "{overview}");
}

#[test]
fn markup_that_was_sent_is_text_on_every_page() {
    let bridge = bridge("console-markup");
    let markup =
        "<img src=x onerror=\"window.broken=1\"><script>window.broken=1</script><b>bold</b>";
    let delivery = json!({
        "id": "markup-1", "event": "call.end", "call_id": format!("CALL-{markup}"), "agent_id": markup,
        "transcript": [{"role": markup, "content": markup}], "variables": {markup: markup}, markup: markup,
        "disposition": markup, "recordingUrl": "javascript:window.broken=1",
        "metrics": {markup: markup},
    });
    assert_eq!(send(&bridge, &delivery), 200);
    let unsigned = json!({"event": "call.end", "call_id": format!("CALL-{markup}")}).to_string();
    let answer = bridge
        .client()
        .request("POST", "/webhooks/default", &[], unsigned.as_bytes());
    assert_eq!(answer.unwrap().status, 401);
    bridge.await_published();
    await_found(&bridge, 1);
    await_quarantined(&bridge, 1);
    browse("markup", &bridge, json!({"markup": markup}));
}

#[test]
fn a_dead_letter_is_published_again_once_its_topic_takes_it() {
    let broker = shared_broker();
    let prefix = format!("{}.", unique("console-retry"));
    let topic = format!("{prefix}post-conversation");
    broker.create_topic_with(&topic, 2, &[("max.message.bytes", "20000")]);
    let bridge = Bridge::new(&broker.address())
        .with("TOPICS__PREFIX", &prefix)
        .with("TOPICS__PARTITIONS", "2")
        .with_console()
        .start();
    let large = json!({"id": "large", "event": "call.end", "call_id": "CALL-large", "disposition": "x".repeat(40_000)});
    assert_eq!(send(&bridge, &large), 200);
    let small = json!({"id": "small", "event": "call.end", "call_id": "CALL-small"});
    assert_eq!(send(&bridge, &small), 200);
    bridge.await_published();
    await_found(&bridge, 2);
    let altered = bridge.run(&["topics", "ensure", "--alter"]);
    assert!(altered.status.success(), "{altered:?}");
    let settings = json!({"call": "CALL-large", "reason": "too-large-for-kafka"});
    let found = browse("retry", &bridge, settings);
    assert_eq!(found["told"], "1 on their way to Kafka again.");
    let events = kcat::await_count(&broker.address(), &topic, 2, LIMIT);
    assert!(events.iter().any(|event| event.key() == "CALL-large"));
}

#[test]
fn what_was_refused_for_a_wrong_secret_is_verified_again_by_hand() {
    let mut bridge = bridge("console-verify");
    bridge.kill9();
    let mut bridge = bridge.with_variable("ATOMS_WEBHOOK_SECRET", "not the sender's secret at all");
    bridge.resume();
    for number in 0..3 {
        let body = json!({"id": format!("refused-{number}"), "event": "call.end", "call_id": "CALL-refused"});
        assert_eq!(send(&bridge, &body), 401);
    }
    await_quarantined(&bridge, 3);
    bridge.kill9();
    let mut bridge = bridge.with_variable("ATOMS_WEBHOOK_SECRET", SECRET);
    bridge.resume();
    let found = browse("verify", &bridge, json!({"count": 3}));
    assert_eq!(
        found["told"],
        "3 verified and stored, 0 stored before, 0 refused still."
    );
    bridge.await_published();
}

#[test]
fn the_token_is_asked_for() {
    let bridge = bridge_with("console-token", |bridge| {
        bridge
            .with("LISTEN__CONSOLE_TOKEN", "env:CONSOLE_TOKEN")
            .with_variable("CONSOLE_TOKEN", TOKEN)
    });
    browse("token", &bridge, json!({"token": TOKEN}));
    for (headers, status) in [
        (vec![], 303),
        (
            vec![("cookie", "atoms-bridge-console=99999999999-00".to_owned())],
            303,
        ),
        (
            vec![("authorization", "Bearer not the token, but long".to_owned())],
            303,
        ),
        (vec![("authorization", format!("Bearer {TOKEN}"))], 200),
    ] {
        let headers: Vec<_> = headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        assert_eq!(
            request(&bridge, "GET", "/deliveries/1/body", &headers).status == 303,
            status == 303,
            "{headers:?}"
        );
    }
    let log = bridge.log();
    assert!(
        log.contains("a wrong token was tried") && !log.contains(TOKEN),
        "{log}"
    );
}

#[test]
fn beyond_loopback_there_is_no_console_without_a_token() {
    for (console, token, starts) in [
        ("0.0.0.0:0", None, false),
        ("[::]:0", None, false),
        ("0.0.0.0:0", Some("literal:short"), false),
        ("0.0.0.0:0", Some("env:NOT_SET_FOR_THIS_TEST"), false),
        ("0.0.0.0:0", Some("literal:a token for the tests"), true),
        ("127.0.0.1:0", None, true),
    ] {
        let mut bridge = Bridge::new("127.0.0.1:1").with("LISTEN__CONSOLE", console);
        if let Some(token) = token {
            bridge.set("LISTEN__CONSOLE_TOKEN", token);
        }
        bridge.launch();
        if starts {
            bridge.await_ready();
        } else {
            assert_eq!(bridge.running().wait(LIMIT), 2, "{console} {token:?}");
            let log = bridge.log().to_lowercase().replace("__", ".");
            assert!(log.contains("listen.console"), "{log}");
        }
    }
}

#[test]
fn strangers_names_and_strangers_pages_are_refused() {
    let bridge = bridge("console-strangers");
    assert_eq!(bridge.post("default", b"not JSON").status, 200);
    await_found(&bridge, 1);
    let own = format!("http://{}", bridge.console_address());
    let retry = |headers: &[(&str, &str)]| {
        let form = [("content-type", "application/x-www-form-urlencoded")];
        let headers = [&form, headers].concat();
        let mut client = Client::new(bridge.console_address());
        let answer = client.request("POST", "/dead-letters/retry", &headers, b"seq=1");
        answer.unwrap().status
    };
    for headers in [
        &[][..],
        &[("origin", "null")],
        &[("origin", "http://evil.example.com")],
        &[("origin", &own), ("sec-fetch-site", "cross-site")],
    ] {
        assert_eq!(retry(headers), 403, "{headers:?}");
    }
    assert_eq!(retry(&[("origin", &own)]), 303);
    for path in ["/", "/live", "/login", "/console.css", "/deliveries/1/body"] {
        let answer = named(&bridge, "evil.example.com", path);
        assert!(answer.starts_with("HTTP/1.1 421 "), "{path}: {answer}");
        assert!(!answer.contains("delivery-1"), "{answer}");
    }
    assert!(named(&bridge, "localhost:8082", "/").starts_with("HTTP/1.1 200 "));
}

#[test]
fn every_answer_forbids_what_a_page_does_not_need() {
    let bridge = bridge("console-headers");
    assert_eq!(bridge.post("default", b"\xffnot JSON").status, 200);
    bridge.await_published();
    await_found(&bridge, 1);
    for path in [
        "/",
        "/search",
        "/deliveries/1",
        "/deliveries/1/body",
        "/console.js",
        "/nowhere",
        "/call",
    ] {
        let answer = get(&bridge, path);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"),
            "{policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("x-frame-options"), Some("DENY"));
    }
    let body = get(&bridge, "/deliveries/1/body");
    assert_eq!(body.body, b"\xffnot JSON");
    assert_eq!(
        body.header("content-type"),
        Some("application/octet-stream")
    );
    let page = get(&bridge, "/deliveries/1").text();
    assert!(
        page.contains("dead letter") && page.contains("not-json"),
        "{page}"
    );
    for (path, status) in [
        ("/deliveries/2", 404),
        ("/deliveries/18446744073709551615", 404),
        ("/deliveries/x", 404),
        ("/call?id=CALL-none", 404),
        ("/call", 400),
        ("/nowhere", 404),
    ] {
        assert_eq!(get(&bridge, path).status, status, "{path}");
    }
    assert_eq!(
        request(&bridge, "DELETE", "/", &[("authorization", "Bearer x")]).status,
        403
    );
}

#[test]
fn the_index_is_filled_anew_when_it_is_lost_and_goes_on_when_it_is_not() {
    let mut bridge = bridge("console-index");
    for number in 0..5 {
        let body =
            json!({"id": format!("kept-{number}"), "event": "call.end", "call_id": "CALL-kept"});
        assert_eq!(send(&bridge, &body), 200);
    }
    bridge.await_published();
    await_found(&bridge, 5);
    bridge.restart();
    await_found(&bridge, 5);
    bridge.kill9();
    for suffix in ["", "-wal", "-shm"] {
        let file = bridge
            .journal_path()
            .with_file_name(format!("journal.db.search.db{suffix}"));
        fs::remove_file(file).unwrap();
    }
    bridge.resume();
    await_found(&bridge, 5);
    bridge.kill9();
    fs::write(
        bridge.journal_path().with_file_name("journal.db.search.db"),
        "x".repeat(8192),
    )
    .unwrap();
    bridge.resume();
    await_found(&bridge, 5);
}

#[test]
fn an_open_live_page_does_not_hold_up_the_end() {
    use std::io::{Read, Write};
    let mut bridge = bridge("console-end");
    let mut stream = crate::harness::http::connect(bridge.console_address()).unwrap();
    write!(stream, "GET /live HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut first = [0; 12];
    stream.read_exact(&mut first).unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");
    assert_eq!(bridge.term(Duration::from_secs(5)), 0);
    stream.read_to_end(&mut Vec::new()).unwrap();
    assert!(
        !bridge.log().contains("did not end in time"),
        "{}",
        bridge.log()
    );
}

#[test]
fn a_taken_address_costs_the_console_and_nothing_else() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let bridge = Bridge::new("127.0.0.1:1")
        .with("LISTEN__CONSOLE", &address)
        .start();
    assert_eq!(bridge.post("default", b"{}").status, 200);
    assert!(
        bridge.log().contains("there is no console"),
        "{}",
        bridge.log()
    );
}

#[test]
fn everything_is_reached_by_keyboard() {
    let bridge = filled("console-keyboard");
    let counts = browse("keyboard", &bridge, json!({}));
    assert!(counts["/dead-letters"].as_u64() > Some(6), "{counts}");
}

#[test]
fn pages_fit_a_phone_and_can_be_read_in_both_colour_schemes() {
    let bridge = filled("console-looks");
    let pages = [
        ("overview", "/"),
        ("search", "/search?since=24h"),
        ("call", "/call?id=CALL-1778226705739-7e4c17"),
        ("delivery", "/deliveries/2"),
        ("dead-letters", "/dead-letters"),
        ("quarantine", "/quarantine"),
        ("not-found", "/nowhere"),
        ("log-in", "/login"),
    ];
    let shots = std::env::var("CONSOLE_SHOTS").ok();
    let contrasts = browse("looks", &bridge, json!({"pages": pages, "shots": shots}));
    for scheme in ["light", "dark"] {
        assert!(contrasts[scheme].as_f64() >= Some(4.5), "{contrasts}");
    }
}

/// A bridge with something on each page: recorded calls, dead letters, refused deliveries.
fn filled(name: &str) -> Bridge {
    let bridge = bridge(name);
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let cases = [
        "envelope/pre-conversation",
        "envelope/new-fields-everywhere",
        "envelope/post-conversation",
        "flat/call-end-hindi",
        "odd/test-button",
        "odd/not-utf-8",
    ];
    for case in cases {
        let body = fs::read(fixtures.join(case).join("body.json")).unwrap();
        assert_eq!(
            post(&mut bridge.client(), "default", &body).unwrap().status,
            200
        );
    }
    for signature in ["0".repeat(64), "no signature at all".to_owned()] {
        let body = br#"{"call_id":"CALL-1778226705739-7e4c17"}"#;
        let headers = [("x-signature", signature.as_str())];
        let answer = bridge
            .client()
            .request("POST", "/webhooks/default", &headers, body);
        assert_eq!(answer.unwrap().status, 401);
    }
    bridge.await_published();
    await_found(&bridge, cases.len());
    await_quarantined(&bridge, 2);
    bridge
}

fn bridge(name: &str) -> Bridge {
    bridge_with(name, |bridge| bridge)
}

fn bridge_with(name: &str, configure: impl FnOnce(Bridge) -> Bridge) -> Bridge {
    let prefix = format!("{}.", unique(name));
    let bridge = Bridge::new(&shared_broker().address())
        .with("TOPICS__PREFIX", &prefix)
        .with_console();
    configure(bridge).start()
}

fn browse(scenario: &str, bridge: &Bridge, mut settings: Value) -> Value {
    settings["console"] = format!("http://{}", bridge.console_address()).into();
    settings["webhooks"] = format!("http://{}", bridge.webhooks_address()).into();
    settings["secret"] = SECRET.into();
    settings["chromium"] = CHROMIUM.into();
    assert!(
        Path::new(CHROMIUM).is_file(),
        "no Chromium: apt-get install chromium"
    );
    let mut found = foreign::browser("browse", &[scenario, &settings.to_string()]);
    found.pop().expect("what was found")
}

fn send(bridge: &Bridge, body: &Value) -> u16 {
    bridge.post("default", body.to_string().as_bytes()).status
}

fn get(bridge: &Bridge, path: &str) -> Answer {
    request(bridge, "GET", path, &[])
}

fn request(bridge: &Bridge, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut client = Client::new(bridge.console_address());
    client.request(method, path, headers, b"").unwrap()
}

/// A request with a `Host` of one's own.
fn named(bridge: &Bridge, host: &str, path: &str) -> String {
    use std::io::{Read, Write};
    let mut stream = crate::harness::http::connect(bridge.console_address()).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// Waits until so many deliveries can be found.
fn await_found(bridge: &Bridge, count: usize) {
    let mut seen = 0;
    until("deliveries to be found", LIMIT, || {
        let page = get(bridge, "/search").text();
        seen = page.matches("<td class=\"call\">").count();
        if seen == count.min(50) && !page.contains("not in the index yet") {
            Ok(())
        } else {
            Err(format!("{seen} of {count}"))
        }
    });
}

fn await_quarantined(bridge: &Bridge, count: usize) {
    until("what was refused to be kept", LIMIT, || {
        let page = get(bridge, "/quarantine").text();
        let seen = page.matches("name=\"id\"").count();
        if seen == count {
            Ok(())
        } else {
            Err(format!("{seen} of {count}"))
        }
    });
}

const CHROMIUM: &str = "/usr/bin/chromium";
const TOKEN: &str = "a token for the tests";
const LIMIT: Duration = Duration::from_secs(30);
