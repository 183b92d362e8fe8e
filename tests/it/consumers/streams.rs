//! `examples/streams`: Kafka Streams joins the three topics by call id without repartitioning, which works only while the
//! bridge places keys as Java does; and decides for calls whose rest is late.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::load::{self, CALLS, Framing, LIMIT, Load, RECORDS, Sent, TYPES};
use super::table::{Row, WITHOUT};
use super::{example, fetched};
use crate::harness::process::Process;
use crate::harness::record::Record;
use crate::harness::{java, kcat, shared_broker, until};

#[test]
fn streams_joins_300_calls_into_300_records_whatever_was_replayed_and_in_each_framing() {
    for framing in Framing::ALL {
        joins_every_call(framing);
    }
}

fn joins_every_call(framing: Framing) {
    let load = Load::shared(framing);
    let started = Instant::now();
    let app = JoinCalls::start(load, "joined", "PT1H");
    app.await_records(CALLS);
    app.await_read_to_the_end();
    let joined = app.records();
    assert_eq!(
        joined.len(),
        CALLS,
        "each call once, also behind the replay"
    );
    let row = Row {
        consumer: "Java, Kafka Streams 4.3.1".to_owned(),
        registry: WITHOUT,
        framing,
        read: format!("{RECORDS} records, {} calls joined", joined.len()),
    };
    row.write(started);

    let partitions: BTreeMap<String, i32> = kcat::read_bytes(&load.broker, &load.topic(TYPES[0]))
        .into_iter()
        .map(|record| (record.key().to_owned(), record.partition))
        .collect();
    let joined: BTreeMap<&str, &Record> = joined.iter().map(|it| (it.key(), it)).collect();
    assert_eq!(joined.len(), CALLS);
    for call in 0..CALLS {
        let key = load::call_id(call);
        let record = joined[key.as_str()];
        assert_eq!(summary(record), whole(call));
        assert_eq!(
            record.partition, partitions[&key],
            "Java puts {key} there too"
        );
    }
}

#[test]
fn streams_decides_for_a_call_after_its_grace_and_corrects_it_when_the_rest_comes() {
    let late = Sent { call: 4, stage: 3 };
    let load = Load::publish("streams-late", Framing::Plain, |event| {
        event.call < 10 && *event != late
    });
    let app = JoinCalls::start(&load, "joined-late", "PT3S");
    let newest = |records: Vec<Record>| {
        let calls = records.iter().map(|it| (it.key().to_owned(), summary(it)));
        calls.collect::<BTreeMap<String, Value>>()
    };
    let of_call = load::call_id(late.call);
    let await_call = |wanted: &Value| {
        until("the call to go out", LIMIT, || {
            let calls = newest(app.records());
            let found = calls.get(&of_call).cloned();
            if found.as_ref() == Some(wanted) && calls.len() == 10 {
                Ok(())
            } else {
                Err(format!("{found:?}, {} calls", calls.len()))
            }
        });
    };
    let first_two = [1, 2].map(|stage| (TYPES[stage - 1], Sent { call: 4, stage }.id()));
    await_call(&json!({"complete": false, "events": BTreeMap::from(first_two)}));

    load.send(&late);
    await_call(&whole(late.call));
}

/// The example, running.
struct JoinCalls<'l> {
    load: &'l Load,
    output: String,
    process: Process,
    _dir: TempDir,
}

impl<'l> JoinCalls<'l> {
    fn start(load: &'l Load, name: &str, grace: &str) -> Self {
        let output = load.topic(name);
        shared_broker().create_topic(&output, 6);
        let dir = TempDir::with_prefix("streams-").expect("a temporary directory");
        let temporary = format!("-Djava.io.tmpdir={}", dir.path().display());
        let jars = format!("{}/*", fetched("streams/jars").display());
        let program = example("streams/JoinCalls.java");
        let mut arguments = vec!["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
        arguments.extend(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", &temporary]);
        arguments.extend(["-cp", &jars, program.to_str().expect("UTF-8")]);
        // The application takes the name of its output, which no other has.
        arguments.extend([&load.broker, &load.prefix, &output, grace, &output]);
        let process = Process::spawn(Path::new("java"), arguments, dir.path(), |_| {});
        Self {
            load,
            output,
            process,
            _dir: dir,
        }
    }

    /// What it has joined so far, each partition in its order.
    fn records(&self) -> Vec<Record> {
        kcat::read(&self.load.broker, &self.output)
    }

    fn await_records(&self, count: usize) {
        until(&format!("{count} calls joined"), LIMIT, || {
            // A topic that was made a moment ago may not be known to the broker that is asked.
            let found = kcat::try_read(&self.load.broker, &self.output)?.len();
            if found >= count {
                return Ok(());
            }
            let log = self.process.log_tail();
            Err(format!("{found} calls; its log:\n{log}"))
        });
    }

    /// Waits until the application has nothing left to read, by Kafka's own tool.
    fn await_read_to_the_end(&self) {
        let tool = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";
        until("the topics' end", LIMIT, || {
            let told = java::tool(
                &self.load.broker,
                tool,
                &["--describe", "--group", &self.output],
            );
            let rows = told.lines().filter(|row| row.contains(&self.load.prefix));
            let lags: Vec<&str> = rows
                .filter_map(|row| row.split_whitespace().nth(5))
                .collect();
            if lags.len() == 6 * TYPES.len() && lags.iter().all(|lag| *lag == "0") {
                Ok(())
            } else {
                Err(told)
            }
        });
    }
}

/// Of a joined record, whether it is complete and the id of each event.
fn summary(record: &Record) -> Value {
    let joined = record.json();
    assert_eq!(joined["callId"], record.key());
    let events = joined["events"].as_object().expect("an object");
    let ids: BTreeMap<&str, &Value> = events
        .iter()
        .map(|(event_type, event)| (event_type.as_str(), &event["id"]))
        .collect();
    json!({"complete": joined["complete"], "events": ids})
}

/// [`summary`] of a call with all its events.
fn whole(call: usize) -> Value {
    let id = |stage: usize| (TYPES[stage - 1], Sent { call, stage }.id());
    json!({"complete": true, "events": BTreeMap::from([1, 2, 3].map(id))})
}
