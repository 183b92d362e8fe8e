//! Logs name deliveries, never what is in them or what proves them: not even at the most talkative level.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::json;

use crate::harness::bridge::{Bridge, SECRET, post, post_with, signature};
use crate::harness::{ports, shared_broker, unique};

#[test]
fn no_log_line_holds_a_secret_or_what_somebody_said() {
    for format in ["--log-format=text", "--log-format=json"] {
        let prefix = format!("{}.", unique("secrets"));
        let mut bridge = start(&prefix, format);
        let said = [post_good(&bridge), post_bad(&bridge)].concat();
        bridge.await_published();
        assert_eq!(bridge.term(Duration::from_secs(10)), 0);
        // Once more with Kafka away, since errors talk most.
        let mut bridge = bridge.with(
            "KAFKA__BOOTSTRAP_SERVERS",
            &ports::free_address().to_string(),
        );
        bridge.resume();
        let said = [said, post_good(&bridge)].concat();
        assert_eq!(bridge.term(Duration::from_secs(10)), 0);

        let log = bridge.log();
        assert!(
            log.contains("CALL-logged") && log.contains("dead letter"),
            "the log tells what happened: {log}"
        );
        for word in PRIVATE.iter().map(|word| (*word).to_owned()).chain(said) {
            let found = log.lines().find(|line| line.contains(&word));
            assert_eq!(found, None, "{word} in the log");
        }
    }
}

fn start(prefix: &str, format: &'static str) -> Bridge {
    let broker = shared_broker().address();
    let file = format!(
        "[webhooks.default]\nsecrets = [\"env:ATOMS_WEBHOOK_SECRET\", \"literal:{OTHER_SECRET}\"]\n\
         header = {{ name = \"x-api-key\", value = \"literal:{FACTOR}\" }}\n"
    );
    Bridge::new(&broker)
        .with_file("bridge.toml", &file)
        .with_argument("-vv")
        .with_argument(format)
        .with("TOPICS__PREFIX", prefix)
        .with("TOPICS__PARTITIONS", "2")
        .with("KAFKA__SASL_PASSWORD", KAFKA_PASSWORD)
        .start()
}

/// A call with a bit of everything, twice: stored and duplicate. Returns its signatures.
fn post_good(bridge: &Bridge) -> Vec<String> {
    let good = json!({
        "url": "https://example.com/hook?token=url-token-4711", "event": "agent.post-conversation", "id": "delivery-logged",
        "metadata": {
            "agentId": "agent", "eventType": "post-conversation", "callId": "CALL-logged",
            "callData": {"fromNumber": "+918035317096", "toNumber": "+916296641821"},
            "transcript": [{"role": "user", "content": "My card number is four one one one."}],
            "variables": {"customer_name": "Rahul Sharma"},
        },
    });
    let body = good.to_string().into_bytes();
    let mut client = bridge.client();
    for _ in 0..2 {
        let answer =
            post_with(&mut client, "default", &[("x-api-key", FACTOR)], &body).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    vec![signature(SECRET, &body)]
}

/// Dead letters and refusals of all kinds. Returns their signatures.
fn post_bad(bridge: &Bridge) -> Vec<String> {
    let said = "My card number is four one one one.";
    let dead = [
        format!("{{\"event\":\"call.end\",\"transcript\":[{{\"content\":\"{said}\" +918035317096"),
        json!({"event": "call.end", "caller_phone": "+918035317096", "summary": said}).to_string(),
        format!("\"{said}\""),
    ];
    let mut client = bridge.client();
    let factor = ("x-api-key", FACTOR);
    for body in &dead {
        let answer =
            post_with(&mut client, "default", &[factor], body.as_bytes()).expect("an answer");
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
    bomb.write_all(said.as_bytes()).expect("memory takes it");
    let cut = &bomb.finish().expect("memory takes it")[..20];
    let encoded = [factor, ("content-encoding", "gzip")];
    assert_eq!(
        post_with(&mut client, "default", &encoded, cut)
            .expect("an answer")
            .status,
        200
    );

    let body = dead[1].as_bytes();
    assert_eq!(
        post(&mut client, "default", body)
            .expect("an answer")
            .status,
        401,
        "no second factor"
    );
    let mut refused = |path: &str, headers: &[(&str, &str)]| {
        client
            .request("POST", path, headers, body)
            .expect("an answer")
            .status
    };
    let wrong = signature("not the secret of this bridge", body);
    assert_eq!(
        refused("/webhooks/default", &[("x-signature", &wrong), factor]),
        401
    );
    assert_eq!(
        refused(
            "/webhooks/default",
            &[("x-signature", "no-hex-at-all-4712"), factor]
        ),
        401
    );
    assert_eq!(
        refused("/webhooks/nobody?token=url-token-4711", &[factor]),
        404
    );
    vec![wrong, signature(SECRET, body)]
}

const OTHER_SECRET: &str = "the other secret, long enough too";
const FACTOR: &str = "the second factor of this test";
const KAFKA_PASSWORD: &str = "the password for Kafka";
const PRIVATE: [&str; 12] = [
    SECRET,
    OTHER_SECRET,
    FACTOR,
    KAFKA_PASSWORD,
    "918035317096",
    "916296641821",
    "card number",
    "four one",
    "Rahul",
    "customer_name",
    "url-token-4711",
    "no-hex-at-all-4712",
];
