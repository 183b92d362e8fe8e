//! A bridge with the sender's API behind it: calls whose deliveries get lost, and the judge who reads from the topics
//! whether each call has each event once.

use std::collections::BTreeMap;
use std::process::Output;
use std::time::Duration;

use atoms_kafka_bridge::event::Stage;
use atoms_kafka_bridge::sender::samples::Dialect;
use atoms_kafka_bridge::sender::samples::api::{Recorded, agents, recorded};
use atoms_kafka_bridge::sender::simulator::Outcome;
use atoms_kafka_bridge::time::Timestamp;
use serde_json::Value;

use super::bridge::Bridge;
use super::record::Record;
use super::simulator::Simulator;
use super::{kcat, until};

/// A bridge that is not started, and the simulator whose only webhook delivers to it.
#[derive(Debug)]
pub(crate) struct Healing {
    pub(crate) simulator: Simulator,
    pub(crate) bridge: Bridge,
    pub(crate) broker: String,
    pub(crate) prefix: String,
    pub(crate) webhook: String,
}

/// By which origin each event of each call came: `webhook` or `reconcile`.
pub(crate) type Origins = BTreeMap<(String, &'static str), Vec<String>>;

impl Healing {
    /// All agents of the samples subscribe to everything. Nothing is compared unless a command asks, and calls settle in an
    /// instant.
    pub(crate) fn new(broker: &str, prefix: &str) -> Self {
        let simulator = Simulator::start();
        for (id, name) in agents() {
            simulator.add_agent(id, name);
        }
        let bridge = simulator
            .known_to(Bridge::new(broker))
            .with("TOPICS__PREFIX", prefix)
            .with("ATOMS__RECONCILE_EVERY", "off")
            .with("ATOMS__SETTLING_TIME", "1ms")
            .with("ATOMS__REQUESTS_PER_SECOND", "100");
        let url = format!("http://{}/webhooks/default", bridge.webhooks_address());
        let webhook = simulator.add_webhook(&url, &everything());
        let secret = simulator.secret_of(&webhook).expect("it was just made");
        Self {
            bridge: bridge.with_variable("ATOMS_WEBHOOK_SECRET", &secret),
            simulator,
            broker: broker.to_owned(),
            prefix: prefix.to_owned(),
            webhook,
        }
    }

    /// Sets a configuration key for the next start.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.bridge.set(key, value);
        self
    }

    /// Starts the bridge.
    pub(crate) fn start(mut self) -> Self {
        self.bridge.resume();
        self.bridge.await_publishing();
        self
    }

    /// [`Healing::start`], and waits until it has compared: what ends from now on has ended after that.
    pub(crate) fn start_comparing(self) -> Self {
        let healing = self.start();
        healing.await_scans(1);
        healing
    }

    /// How many deliveries nobody took.
    pub(crate) fn lost(&self) -> usize {
        let delivered = self.simulator.delivered().into_iter();
        delivered
            .filter(|one| one.outcome != Outcome::Taken)
            .count()
    }

    /// Waits until all that was taken is on the topics, and reads it: a transaction is seen some moments after its end.
    pub(crate) fn await_taken(&self) -> Vec<Record> {
        let taken = self.simulator.delivered().len() - self.lost();
        until(
            "what was taken to be on the topics",
            Duration::from_secs(60),
            || {
                let records = self.records();
                if records.len() >= taken {
                    Ok(records)
                } else {
                    Err(format!("{} of {taken}", records.len()))
                }
            },
        )
    }

    /// Plays calls from beginning to end; their ids.
    pub(crate) fn play(&self, numbers: std::ops::Range<u64>) -> Vec<String> {
        let play = |number| {
            let call = call(number);
            let call_id = call.call_id.clone();
            self.simulator.play(call);
            call_id
        };
        numbers.map(play).collect()
    }

    /// Runs `reconcile` with `--json` and these arguments.
    pub(crate) fn reconcile(&self, arguments: &[&str]) -> Reconciled {
        let line = [&["reconcile", "--json"], arguments].concat();
        Reconciled::of(self.bridge.run(&line))
    }

    /// What is on the topics.
    pub(crate) fn records(&self) -> Vec<Record> {
        let read = |stage: Stage| {
            let topic = format!("{}{}", self.prefix, stage.name());
            kcat::try_read(&self.broker, &topic).unwrap_or_default()
        };
        Stage::ALL.into_iter().flat_map(read).collect()
    }

    /// Which events are on the topics, by call and type with the origins of each.
    pub(crate) fn origins(&self) -> Origins {
        origins(&self.records())
    }

    /// Waits until the task has compared so many times more.
    pub(crate) fn await_scans(&self, count: i64) {
        let completed = || self.ledger("SELECT completed_scan FROM state");
        let wanted = completed() + count;
        until(
            &format!("{count} more scans"),
            Duration::from_secs(60),
            || match completed() {
                done if done >= wanted => Ok(()),
                done => Err(format!(
                    "{done} of {wanted}; its log:\n{}",
                    self.bridge.log()
                )),
            },
        );
    }

    /// A number out of the bridge's ledger; 0 while there is none.
    pub(crate) fn ledger(&self, query: &str) -> i64 {
        ledger(&self.bridge, query)
    }

    /// Waits until each of these calls has each event, and judges that each is there once; how many came by reconciliation.
    pub(crate) fn await_whole(&self, calls: &[String], limit: Duration) -> usize {
        self.await_whole_of(calls, limit);
        self.judge_once(calls)
    }

    /// Waits until each of these calls has each event; there may be others.
    pub(crate) fn await_whole_of(&self, calls: &[String], limit: Duration) {
        until("every call to have its events", limit, || {
            let origins = self.origins();
            let lacks = |call: &&String| {
                let has = |stage: Stage| origins.contains_key(&((*call).clone(), stage.name()));
                !Stage::ALL.into_iter().all(has)
            };
            match calls.iter().filter(lacks).count() {
                0 => Ok(()),
                some => Err(format!("{some} of {} calls lack something", calls.len())),
            }
        });
    }

    /// Judges that each event of these calls is there once and nothing else is; how many came by reconciliation.
    pub(crate) fn judge_once(&self, calls: &[String]) -> usize {
        let origins = self.origins();
        let twice: Vec<_> = origins.iter().filter(|(_, by)| by.len() > 1).collect();
        assert!(twice.is_empty(), "twice: {twice:?}");
        let known: std::collections::BTreeSet<_> = calls.iter().collect();
        let others: Vec<_> = origins
            .keys()
            .filter(|(call, _)| !known.contains(call))
            .collect();
        assert!(others.is_empty(), "never played: {others:?}");
        let by_api = |by: &&Vec<String>| by[0] == "reconcile";
        origins.values().filter(by_api).count()
    }
}

/// A number out of a bridge's ledger; 0 while there is none.
pub(crate) fn ledger(bridge: &Bridge, query: &str) -> i64 {
    let path = bridge.journal_path().with_extension("db.ledger.db");
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let asked = rusqlite::Connection::open_with_flags(path, flags)
        .and_then(|conn| conn.query_row(query, [], |row| row.get(0)));
    asked.unwrap_or_default()
}

/// All agents' events.
pub(crate) fn everything() -> Vec<(&'static str, Stage)> {
    agents()
        .flat_map(|(id, _)| Stage::ALL.map(|stage| (id, stage)))
        .collect()
}

/// A sample call with three deliveries.
pub(crate) fn call(number: u64) -> Recorded {
    recorded(Dialect::Envelope, number, Timestamp::now())
}

/// By which origin each event came.
pub(crate) fn origins(records: &[Record]) -> Origins {
    let mut origins = Origins::new();
    for record in records {
        let event = record.json();
        let stage = Stage::ALL
            .into_iter()
            .find(|stage| event["type"] == stage.name())
            .expect("one of the three");
        let origin = event["source"]["origin"].as_str().expect("an origin");
        let key = (record.key().to_owned(), stage.name());
        origins.entry(key).or_default().push(origin.to_owned());
    }
    origins
}

/// What a run of `reconcile` said.
#[derive(Debug)]
pub(crate) struct Reconciled {
    pub(crate) code: i32,
    pub(crate) outcomes: Vec<Value>,
    pub(crate) sum: Value,
    pub(crate) log: String,
}

impl Reconciled {
    fn of(output: Output) -> Self {
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        let mut outcomes: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
            .collect();
        Self {
            code: output.status.code().expect("it ended by itself"),
            sum: outcomes.pop().unwrap_or_default(),
            outcomes,
            log,
        }
    }

    /// A number of the sum.
    pub(crate) fn count(&self, name: &str) -> u64 {
        self.sum[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name} in {self:?}"))
    }

    /// How many calls had this become of something.
    pub(crate) fn outcomes(&self, what: &str) -> usize {
        let is = |outcome: &&Value| outcome["what"] == what;
        self.outcomes.iter().filter(is).count()
    }
}
