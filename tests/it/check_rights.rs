//! `check` with a principal that lacks a right, against a broker that freezes, and with a clock that is wrong.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crate::check::{Checked, Expected};
use crate::harness::bridge::Bridge;
use crate::harness::kafka::Broker;
use crate::harness::{java, shared_broker, unique, until};
use crate::surroundings::{RIGHTS, acl};

#[test]
fn each_right_that_is_missing_is_told_and_a_broker_that_freezes() {
    let (mut broker, users) = Broker::start_with_user("bridge", "of iron");
    let admin = broker.address();
    for (resource, operations) in RIGHTS {
        acl(&admin, "--add", resource, operations);
    }
    acl(&admin, "--add", RIGHTS[0].0, &["DescribeConfigs"]);
    let bridge = Bridge::new(&users)
        .with("TOPICS__PARTITIONS", "2")
        .with("KAFKA__SECURITY_PROTOCOL", "SASL_PLAINTEXT")
        .with("KAFKA__SASL_MECHANISM", "PLAIN")
        .with("KAFKA__SASL_USERNAME", "bridge")
        .with("KAFKA__SASL_PASSWORD", "env:OUR_PASSWORD")
        .with_variable("OUR_PASSWORD", "of iron");
    until("the topics to be made", LIMIT, || {
        let ensured = bridge.run(&["topics", "ensure"]);
        ensured
            .status
            .success()
            .then_some(())
            .ok_or_else(|| format!("{ensured:?}"))
    });
    let all = await_lines(
        &bridge,
        "(all rights)",
        &[
            Expected::ok("rights", "writing to 5 topics"),
            Expected::ok("delivery", "read back"),
        ],
    );
    all.has(
        "(a password, by its length)",
        &Expected::ok("secrets", "kafka.sasl.password: 7 bytes"),
    );

    let transactional_ids = "Write and Describe on the transactional ids";
    for (name, resource, operation, lines) in [
        (
            "no Write on transactional ids",
            RIGHTS[2].0,
            "Write",
            [
                Expected::failure("rights", "cannot begin transactions", transactional_ids),
                Expected::waits("delivery", "rights"),
            ],
        ),
        (
            "no Read on groups",
            RIGHTS[1].0,
            "Read",
            [
                Expected::failure("rights", "cannot keep the mark", "Read on the groups"),
                Expected::waits("delivery", "rights"),
            ],
        ),
        (
            "no Read on topics",
            RIGHTS[0].0,
            "Read",
            [
                Expected::failure("rights", "cannot keep the mark", "Write, Read, Describe"),
                Expected::ok("topics", "all 5"),
            ],
        ),
        (
            "no Write on topics",
            RIGHTS[0].0,
            "Write",
            [
                Expected::failure(
                    "rights",
                    "cannot write to atoms.post-conversation",
                    "Write, Read, Describe",
                ),
                Expected::failure("rights", "cannot write to atoms.unrecognized", "Write"),
            ],
        ),
        (
            "no DescribeConfigs on topics",
            RIGHTS[0].0,
            "DescribeConfigs",
            [
                Expected::warning(
                    "topics",
                    "the settings of atoms.unrecognized cannot be read",
                    "DescribeConfigs",
                ),
                Expected::ok("delivery", "read back"),
            ],
        ),
    ] {
        acl(&admin, "--remove", resource, &[operation]);
        await_lines(&bridge, name, &lines);
        acl(&admin, "--add", resource, &[operation]);
    }

    let bridge = bridge.with_variable("OUR_PASSWORD", "of wood");
    let checked = Checked::of(&bridge);
    checked.has(
        "a wrong password",
        &Expected::failure(
            "kafka",
            "SASL authentication error",
            "sasl.username and sasl.password",
        ),
    );
    assert!(!format!("{checked:?}").contains("of wood"), "{checked:?}");
    assert_eq!(checked.code, Some(1));

    let bridge = bridge.with_variable("OUR_PASSWORD", "of iron");
    broker.stop_signal();
    let output = bridge.run(&["check"]);
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("waiting for kafka ("), "{told}");
    Checked::of(&bridge).has(
        "a frozen broker",
        &Expected::failure("kafka", "", "brokers of bootstrap.servers run"),
    );
    broker.cont_signal();
}

#[test]
fn a_clock_that_is_wrong_is_told_by_kafka_and_by_the_registry() {
    let prefix = unique("check-clock") + ".";
    let sound = || {
        Bridge::new(&shared_broker().address())
            .with("TOPICS__PREFIX", &prefix)
            .with("TOPICS__PARTITIONS", "2")
    };
    assert!(sound().run(&["topics", "ensure"]).status.success());
    let registry = stopped_clock();
    let checked = Checked::of(&sound().with("REGISTRY__URL", &registry));
    checked.has(
        "a clock that is not the registry's",
        &Expected::failure("clock", "ahead of the registry's clock", "set it"),
    );
    checked.has(
        "(the other lines)",
        &Expected::ok("registry", "all 4 schemas registered"),
    );

    // Whatever comes is older than a millisecond by then: as with a clock that is behind.
    let broker = shared_broker().address();
    let topic = format!("{prefix}unrecognized");
    let narrow = [
        "--alter",
        "--entity-type",
        "topics",
        "--entity-name",
        &topic,
        "--add-config",
        "message.timestamp.before.max.ms=0",
    ];
    java::tool(&broker, "kafka.admin.ConfigCommand", &narrow);
    let checked = Checked::of(&sound());
    checked.has(
        "a clock that Kafka does not accept",
        &Expected::failure("clock", "Kafka refuses records of now", "set it"),
    );
    checked.has(
        "(what follows from it)",
        &Expected::failure("delivery", "not on its topic", "the log above"),
    );
    assert_eq!(checked.code, Some(1));
}

/// A right is in force everywhere a moment after it was given or taken.
fn await_lines(bridge: &Bridge, name: &str, lines: &[Expected]) -> Checked {
    until(name, LIMIT, || {
        let checked = Checked::of(bridge);
        if lines.iter().all(|line| checked.find(line).is_some()) {
            for line in lines {
                checked.has(name, line);
            }
            Ok(checked)
        } else {
            Err(format!("{checked:#?}"))
        }
    })
}

/// A registry that knows every schema and lives in 1994.
fn stopped_clock() -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            // A client that goes away early is its own affair.
            let _ = answer(client);
        }
    });
    format!("http://{address}")
}

fn answer(client: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(client);
    let (mut line, mut length) = (String::new(), 0);
    while reader.read_line(&mut line)? > 2 {
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        line.clear();
    }
    reader.read_exact(&mut vec![0; length])?;
    let body = r#"{"id":1,"version":1}"#;
    write!(
        reader.get_mut(),
        "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

const LIMIT: Duration = Duration::from_secs(60);
