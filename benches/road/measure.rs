//! One run of one load against the bridge or the floor, and what the system says that it took.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use crate::Load;
use crate::floor::Part;
use crate::harness::bridge::Bridge;
use crate::harness::http::Client;
use crate::harness::kafka::Broker;
use crate::harness::process::{Process, Usage};
use crate::harness::{ports, until};
use crate::load::{self, Sent};

/// What one run took.
pub(crate) struct Measured {
    pub(crate) answered: u64,
    pub(crate) per_second: f64,
    /// Of the answer.
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// From the last byte to the commit in Kafka; of the floor, none.
    pub(crate) kafka_p50_ms: f64,
    pub(crate) kafka_p99_ms: f64,
    pub(crate) cpu_us: f64,
    pub(crate) rss_mib: f64,
    pub(crate) written_bytes: f64,
}

/// The bridge under load.
pub(crate) struct Road(Bridge);

impl Road {
    pub(crate) fn start(broker: &Broker) -> Self {
        Self::start_under(broker, Vec::new())
    }

    fn start_under(broker: &Broker, wrapper: Vec<String>) -> Self {
        let prefix = format!("{}.", crate::harness::unique("road"));
        // Large bodies come faster than a broker on the same disk takes them.
        let mut bridge = Bridge::new(&broker.address())
            .with("TOPICS__PREFIX", &prefix)
            .with("JOURNAL__MAX_BYTES", "20GiB");
        bridge.set_wrapper(wrapper);
        let bridge = bridge.start();
        bridge.await_publishing();
        Self(bridge)
    }

    pub(crate) fn measure(&self, load: &Load, lasting: Duration) -> Measured {
        let before = (self.series(), self.0.usage(), written(self.0.pid()));
        let sent = load::run(
            self.0.webhooks_address(),
            load.connections,
            &load.templates,
            lasting,
        );
        until(
            "every event to be in Kafka",
            DRAINED_WITHIN,
            || match self.pending() {
                0 => Ok(()),
                pending => Err(format!("{pending} are pending")),
            },
        );
        let after = self.series();
        let events = |series: &Series| series.sum("atoms_bridge_events_total") as u64;
        assert_eq!(
            events(&after) - events(&before.0),
            sent.answered,
            "events in Kafka"
        );
        let (p50, p99) = after.quantiles_since(&before.0, "atoms_bridge_receipt_to_kafka_seconds");
        let mut measured = measured(
            &sent,
            (before.1, self.0.usage()),
            (before.2, written(self.0.pid())),
        );
        measured.kafka_p50_ms = p50 * 1000.0;
        measured.kafka_p99_ms = p99 * 1000.0;
        measured
    }

    /// Has perf record it until that is dropped.
    pub(crate) fn profile(&self, file: &str) -> Perf {
        let pid = self.0.pid().to_string();
        let words = ["record", "-q", "-F", "1999", "-g", "-o", file, "-p", &pid];
        Perf(
            Command::new("perf")
                .args(words)
                .spawn()
                .expect("perf is installed"),
        )
    }

    /// How many wait for Kafka, by the journal's file: asking the bridge would be work for it.
    fn pending(&self) -> i64 {
        let mode = OpenFlags::SQLITE_OPEN_READ_ONLY;
        let journal = Connection::open_with_flags(self.0.journal_path(), mode).expect("a journal");
        let pending = "SELECT next_out_seq - settled_out_seq FROM state";
        journal
            .query_row(pending, [], |row| row.get(0))
            .expect("a count")
    }

    fn series(&self) -> Series {
        let answer = self.0.health("/metrics").expect("the bridge answers");
        Series::read(&answer.text())
    }
}

/// A perf that records.
pub(crate) struct Perf(Child);

impl Drop for Perf {
    fn drop(&mut self) {
        // What it has is written when it is interrupted.
        let pid = self.0.id().to_string();
        let _ = Command::new("kill").args(["-s", "INT", &pid]).status();
        let _ = self.0.wait();
    }
}

/// The floor under load.
pub(crate) struct Floor {
    process: Process,
    address: SocketAddr,
    _dir: tempfile::TempDir,
}

impl Floor {
    pub(crate) fn start(broker: &Broker, part: Part) -> Self {
        let dir = tempfile::TempDir::with_prefix("floor-").expect("a temporary directory");
        let (address, topic) = (ports::free_address(), crate::harness::unique("floor"));
        broker.create_topic_with(&topic, 6, &[("max.message.bytes", "2000000")]);
        let own = std::env::current_exe().expect("this program");
        let arguments = [
            "floor",
            part.word(),
            &address.to_string(),
            &broker.address(),
            &topic,
        ];
        let process = Process::spawn(&own, arguments, dir.path(), |_| {});
        let floor = Self {
            process,
            address,
            _dir: dir,
        };
        until("the floor to answer", Duration::from_secs(10), || {
            floor.outstanding()
        });
        floor
    }

    pub(crate) fn measure(&self, load: &Load, lasting: Duration) -> Measured {
        let before = (self.process.usage(), written(self.process.pid()));
        let sent = load::run(self.address, load.connections, &load.templates, lasting);
        until(
            "every record to be in Kafka",
            DRAINED_WITHIN,
            || match self.outstanding()? {
                0 => Ok(()),
                left => Err(format!("{left} are left")),
            },
        );
        let after = (self.process.usage(), written(self.process.pid()));
        measured(&sent, (before.0, after.0), (before.1, after.1))
    }

    fn outstanding(&self) -> Result<u64, String> {
        let answer = Client::new(self.address).get("/outstanding");
        let answer = answer.map_err(|error| error.to_string())?;
        answer.text().parse().map_err(|_| answer.text())
    }
}

fn measured(sent: &Sent, usage: (Usage, Usage), written: (u64, u64)) -> Measured {
    let events = sent.answered as f64;
    Measured {
        answered: sent.answered,
        per_second: events / sent.took.as_secs_f64(),
        p50_ms: sent.answer_ms(0.5),
        p99_ms: sent.answer_ms(0.99),
        kafka_p50_ms: f64::NAN,
        kafka_p99_ms: f64::NAN,
        cpu_us: (usage.1.cpu - usage.0.cpu).as_secs_f64() * 1e6 / events,
        rss_mib: usage.1.rss_bytes as f64 / 1_048_576.0,
        written_bytes: (written.1 - written.0) as f64 / events,
    }
}

/// What a process has had written to disk so far.
fn written(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).expect("the process runs");
    let line = io
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|bytes| bytes.parse().ok())
        .expect("a number of bytes")
}

/// How many fsyncs an event takes under each load: of a bridge of its own, under strace, which slows down nothing else.
pub(crate) fn fsyncs<'l>(broker: &Broker, loads: &'l [Load]) -> Vec<(&'l Load, f64)> {
    let counted = |load| {
        let dir = tempfile::TempDir::with_prefix("strace-").expect("a temporary directory");
        let log = dir.path().join("log");
        let road = Road::start_under(broker, strace(&log));
        let lines =
            || fs::read(&log).map_or(0, |log| log.iter().filter(|byte| **byte == b'\n').count());
        let before = lines();
        let measured = road.measure(load, Duration::from_secs(3));
        (load, (lines() - before) as f64 / measured.answered as f64)
    };
    loads.iter().map(counted).collect()
}

/// A line for each fsync; other calls are not stopped.
fn strace(log: &Path) -> Vec<String> {
    let log = log.to_str().expect("temporary paths are UTF-8");
    let words = [
        "strace",
        "-D",
        "-f",
        "-qq",
        "--seccomp-bpf",
        "-o",
        log,
        "-e",
        "trace=fsync,fdatasync",
        "-e",
        "signal=none",
    ];
    words.map(str::to_owned).to_vec()
}

/// What `/metrics` says.
struct Series(BTreeMap<String, f64>);

impl Series {
    fn read(text: &str) -> Self {
        let line = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Self(
            text.lines()
                .filter(|line| !line.starts_with('#'))
                .filter_map(line)
                .collect(),
        )
    }

    fn sum(&self, name: &str) -> f64 {
        self.0
            .iter()
            .filter(|(it, _)| it.starts_with(name))
            .map(|(_, value)| value)
            .sum()
    }

    /// Median and 99th percentile of what a histogram has had since then, straight between its buckets' ends.
    fn quantiles_since(&self, before: &Self, name: &str) -> (f64, f64) {
        let begin = format!("{name}_bucket{{le=\"");
        let bucket = |(key, value): (&String, &f64)| {
            let end = key.strip_prefix(&begin)?.strip_suffix("\"}")?;
            let end: f64 = end.parse().ok()?;
            Some((end, value - before.0.get(key).copied().unwrap_or_default()))
        };
        let mut buckets: Vec<(f64, f64)> = self.0.iter().filter_map(bucket).collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let total = buckets.last().map_or(0.0, |bucket| bucket.1);
        let quantile = |part: f64| {
            let mut below = (0.0, 0.0);
            for (end, count) in &buckets {
                if *count >= total * part {
                    let within = (total * part - below.1) / (count - below.1);
                    return below.0 + (end - below.0) * within;
                }
                below = (*end, *count);
            }
            f64::NAN
        };
        (quantile(0.5), quantile(0.99))
    }
}

const DRAINED_WITHIN: Duration = Duration::from_secs(300);
