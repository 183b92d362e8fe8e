//! How the cost of an event grows with what there is already: `tests/run bench scale`.
//!
//! With the backlog, with the ids that are kept, with the partitions; how long a start with a backlog takes, how fast it
//! drains; and whether memory is flat over hours of ordinary load. Each figure is the bridge's own processor time or clock
//! time, of a bridge of its own with the journal that it is about.

#[path = "../road/body.rs"]
#[allow(dead_code, reason = "the other benchmark uses more of it")]
mod body;
mod fill;
#[path = "../../tests/it/harness/mod.rs"]
#[allow(
    dead_code,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the tests' harness, of which a benchmark needs a part"
)]
mod harness;
#[path = "../road/load.rs"]
#[allow(dead_code, reason = "the other benchmark uses more of it")]
mod load;

use std::time::{Duration, Instant};

use atoms_kafka_bridge::event::Stage;
use body::Template;
use harness::bridge::Bridge;
use harness::http::Client;
use harness::kafka::Broker;
use harness::until;
use rusqlite::{Connection, OpenFlags};

/// The program's memory is the bridge's kind.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| it != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => {
            backlog(&BACKLOGS);
            ids(&IDS);
            partitions(&PARTITIONS);
        }
        ["backlog", counts @ ..] => backlog(&numbers(counts, &BACKLOGS)),
        ["ids", counts @ ..] => ids(&numbers(counts, &IDS)),
        ["partitions", counts @ ..] => partitions(&numbers(counts, &PARTITIONS)),
        ["console", counts @ ..] => console(&numbers(counts, &CONSOLE)),
        ["soak", rest @ ..] => soak(numbers(rest, &[20]).first().copied().unwrap_or(20)),
        _ => print!("{USAGE}"),
    }
}

fn numbers(words: &[&str], otherwise: &[u64]) -> Vec<u64> {
    if words.is_empty() {
        return otherwise.to_vec();
    }
    words
        .iter()
        .map(|word| word.parse().expect(USAGE))
        .collect()
}

/// Rows that wait: what the start takes with them, what a delivery costs beside them, what draining costs.
fn backlog(counts: &[u64]) {
    let broker = Broker::start();
    println!(
        "| pending rows of 0.5 KiB | start, s | a delivery meanwhile: CPU µs | p99 ms | drained a second | CPU µs a row | MiB |"
    );
    println!("|---|---|---|---|---|---|---|");
    for count in counts {
        let mut bridge = new(NOWHERE);
        fill::pending(&bridge.journal_path(), *count);
        let start = started(&mut bridge);
        let (accepting, p99_ms) = accept(&bridge);
        bridge.term(STOP);
        bridge.set("KAFKA__BOOTSTRAP_SERVERS", &broker.address());
        let waiting = pending(&bridge);
        bridge.resume();
        let (before, began) = (bridge.usage(), Instant::now());
        drained(&bridge);
        let (after, took) = (bridge.usage(), began.elapsed());
        let rows = waiting as f64;
        println!(
            "| {count} | {start:.2} | {accepting:.1} | {p99_ms:.1} | {:.0} | {:.1} | {} |",
            rows / took.as_secs_f64(),
            (after.cpu - before.cpu).as_secs_f64() * 1e6 / rows,
            after.rss_bytes >> 20,
        );
    }
}

/// Ids of deliveries whose bodies are gone: what a delivery costs beside them.
fn ids(counts: &[u64]) {
    println!("\n| ids kept | a delivery: CPU µs | p99 ms | journal MiB |\n|---|---|---|---|");
    for count in counts {
        let mut bridge = new(NOWHERE).with("JOURNAL__MAX_BYTES", "60GiB");
        fill::ids(&bridge.journal_path(), *count);
        started(&mut bridge);
        let (cpu_us, p99_ms) = accept(&bridge);
        let bytes = bridge
            .journal_path()
            .metadata()
            .map_or(0, |file| file.len());
        println!("| {count} | {cpu_us:.1} | {p99_ms:.1} | {} |", bytes >> 20);
    }
}

/// The same load on topics of so many partitions.
fn partitions(counts: &[u64]) {
    println!("\n| partitions a topic | an event: CPU µs | events/s |\n|---|---|---|");
    for count in counts {
        let broker = Broker::start();
        let bridge = new(&broker.address()).with("TOPICS__PARTITIONS", &count.to_string());
        let bridge = bridge.start();
        bridge.await_publishing();
        let templates = [Template::new(Stage::PostConversation, 6 * 1024)];
        let run = |lasting| load::run(bridge.webhooks_address(), 64, &templates, lasting);
        run(WARM_UP);
        drained(&bridge);
        let before = bridge.usage();
        let sent = run(LASTING);
        drained(&bridge);
        let cpu = (bridge.usage().cpu - before.cpu).as_secs_f64() * 1e6;
        println!(
            "| {count} | {:.1} | {:.0} |",
            cpu / sent.answered as f64,
            sent.answered as f64 / sent.took.as_secs_f64()
        );
    }
}

/// What each page of the console takes with so many rows, when all wait for Kafka and when all are there.
fn console(counts: &[u64]) {
    let broker = Broker::start();
    println!("\n| rows | state | page | slowest of {ASKED}, ms |\n|---|---|---|---|");
    for count in counts {
        let mut bridge = new(NOWHERE).with_console();
        fill::pending(&bridge.journal_path(), *count);
        bridge.resume();
        visit(&bridge, *count, "pending");
        bridge.term(STOP);
        bridge.set("KAFKA__BOOTSTRAP_SERVERS", &broker.address());
        bridge.resume();
        drained(&bridge);
        visit(&bridge, *count, "published");
    }
}

fn visit(bridge: &Bridge, count: u64, state: &str) {
    let mut client = Client::new(bridge.console_address());
    let mut page = |path: &str| {
        let answer = client.get(path).expect("an answer");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.text()
    };
    until("all to be found", Duration::from_secs(1800), || {
        match page("/search").contains("not in the index yet")
            || !page("/search").contains("/call?")
        {
            true => Err("some are not in the index".to_owned()),
            false => Ok(()),
        }
    });
    let newest = page("/search");
    let call = newest
        .split("/call?id=")
        .nth(1)
        .and_then(|rest| rest.split('"').next());
    let call = call.expect("a call is listed").to_owned();
    for path in [
        "/".to_owned(),
        "/search".to_owned(),
        format!("/search?call={call}"),
        "/search?agent=nobody".to_owned(),
        format!("/search?state={state}&type=pre-conversation&since=24h"),
        format!("/call?id={call}"),
        format!("/deliveries/{}", count / 2),
        "/completeness".to_owned(),
        "/dead-letters".to_owned(),
        "/quarantine".to_owned(),
    ] {
        let timed = |_| {
            let began = Instant::now();
            page(&path);
            began.elapsed()
        };
        let slowest = (0..ASKED).map(timed).max().unwrap_or_default();
        let path = path.replace(&call, "CALL");
        println!(
            "| {count} | {state} | {path} | {:.1} |",
            slowest.as_secs_f64() * 1e3
        );
    }
}

/// Minutes of about half the load that it could take, and its memory meanwhile.
fn soak(minutes: u64) {
    let broker = Broker::start_with(&[
        ("log.retention.bytes", "268435456"),
        ("log.segment.bytes", "134217728"),
        ("log.retention.check.interval.ms", "5000"),
        ("log.segment.delete.delay.ms", "1000"),
    ]);
    let bridge = new(&broker.address())
        .with("JOURNAL__MAX_BYTES", "2GiB")
        .start();
    bridge.await_publishing();
    let templates = [Template::new(Stage::PostConversation, 6 * 1024)];
    println!(
        "| minute | events/s | CPU µs | p99 ms | MiB | journal MiB |\n|---|---|---|---|---|---|"
    );
    for minute in 1..=minutes {
        let before = bridge.usage();
        // Few connections and a pause after each answer: about half of what it can do.
        let sent = load::run_paced(bridge.webhooks_address(), 64, &templates, MINUTE, PAUSE);
        let after = bridge.usage();
        println!(
            "| {minute} | {:.0} | {:.1} | {:.1} | {} | {} |",
            sent.answered as f64 / sent.took.as_secs_f64(),
            (after.cpu - before.cpu).as_secs_f64() * 1e6 / sent.answered as f64,
            sent.answer_ms(0.99),
            after.rss_bytes >> 20,
            bridge
                .journal_path()
                .metadata()
                .map_or(0, |file| file.len())
                >> 20,
        );
    }
    drained(&bridge);
}

fn new(broker: &str) -> Bridge {
    let prefix = format!("{}.", harness::unique("scale"));
    Bridge::new(broker)
        .with("TOPICS__PREFIX", &prefix)
        .with("JOURNAL__MAX_BYTES", "20GiB")
}

/// Starts it; how many seconds until it takes deliveries.
fn started(bridge: &mut Bridge) -> f64 {
    let began = Instant::now();
    bridge.resume();
    began.elapsed().as_secs_f64()
}

/// Processor time of a delivery in µs and the 99th percentile of its answer in ms, without a Kafka.
fn accept(bridge: &Bridge) -> (f64, f64) {
    let templates = [Template::new(Stage::PreConversation, 0)];
    let run = |lasting| load::run(bridge.webhooks_address(), 64, &templates, lasting);
    run(WARM_UP);
    let before = bridge.usage();
    let sent = run(LASTING);
    let cpu = (bridge.usage().cpu - before.cpu).as_secs_f64() * 1e6;
    (cpu / sent.answered as f64, sent.answer_ms(0.99))
}

fn drained(bridge: &Bridge) {
    until(
        "every event to be in Kafka",
        Duration::from_secs(1800),
        || match pending(bridge) {
            0 => Ok(()),
            pending => Err(format!("{pending} are pending")),
        },
    );
}

/// How many wait for Kafka, by the journal's file: asking the bridge would be work for it.
fn pending(bridge: &Bridge) -> i64 {
    let mode = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let journal = Connection::open_with_flags(bridge.journal_path(), mode).expect("a journal");
    let pending = "SELECT next_out_seq - settled_out_seq FROM state";
    journal
        .query_row(pending, [], |row| row.get(0))
        .expect("a count")
}

const USAGE: &str = "\
usage: tests/run bench scale [backlog [ROWS...] | ids [COUNT...] | partitions [COUNT...] | console [ROWS...] | soak [MINUTES]]
Without a word all but the console and the soak, with the counts that take some minutes.
";
const BACKLOGS: [u64; 4] = [1_000, 100_000, 1_000_000, 2_000_000];
const IDS: [u64; 3] = [100_000, 1_000_000, 10_000_000];
const CONSOLE: [u64; 1] = [1_000_000];
/// How often each page is asked for.
const ASKED: u32 = 20;
const PARTITIONS: [u64; 3] = [6, 60, 600];
/// Nobody listens there.
const NOWHERE: &str = "127.0.0.1:1";
const STOP: Duration = Duration::from_secs(20);
const WARM_UP: Duration = Duration::from_secs(2);
const LASTING: Duration = Duration::from_secs(6);
const MINUTE: Duration = Duration::from_secs(60);
/// What each of 64 connections rests behind an answer.
const PAUSE: Duration = Duration::from_millis(6);
