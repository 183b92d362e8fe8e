//! What an event costs on the whole road, beside the least that it could cost: `tests/run bench road`.
//!
//! A real broker, the bridge's release binary with nothing configured away, and the floor ([`floor`]) run side by side; the
//! same load goes to the one and to the other in turns, several times, and the medians are told: ratios first. Processor time
//! is that of the process alone, user and system, from the first request until Kafka has the last event. It repeats within
//! some percent on a busy machine; rates and times do not.

#[allow(dead_code, reason = "the other benchmark uses more of it")]
mod body;
mod floor;
#[path = "../../tests/it/harness/mod.rs"]
#[allow(
    dead_code,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "the tests' harness, of which a benchmark needs a part"
)]
mod harness;
#[allow(dead_code, reason = "the other benchmark uses more of it")]
mod load;
mod measure;
mod report;

use std::time::Duration;

use atoms_kafka_bridge::event::Stage;

use body::Template;
use floor::Part;
use harness::kafka::Broker;
use measure::{Floor, Measured, Road, fsyncs};

/// The program's memory is the bridge's kind, for the floor's sake.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// One kind of load.
pub(crate) struct Load {
    pub(crate) name: String,
    pub(crate) connections: usize,
    templates: Vec<Template>,
}

fn main() {
    let arguments: Vec<String> = std::env::args()
        .skip(1)
        .filter(|it| it != "--bench")
        .collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["floor", part, address, broker, topic] => floor::serve(part, address, (broker, topic)),
        ["--help" | "-h"] => print!("{USAGE}"),
        words => bench(&Options::read(words)),
    }
}

struct Options {
    seconds: u64,
    rounds: usize,
    perf: Option<String>,
    only: Vec<String>,
}

impl Options {
    fn read(words: &[&str]) -> Self {
        let mut options = Self {
            seconds: 4,
            rounds: 3,
            perf: None,
            only: Vec::new(),
        };
        let mut words = words.iter();
        let number = |word: Option<&&str>| word.and_then(|word| word.parse().ok()).expect(USAGE);
        while let Some(word) = words.next() {
            match *word {
                "--seconds" => options.seconds = number(words.next()),
                "--rounds" => options.rounds = usize::try_from(number(words.next())).expect(USAGE),
                "--perf" => options.perf = words.next().map(|file| (*file).to_owned()),
                name => options.only.push(name.to_owned()),
            }
        }
        options
    }

    fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == name)
    }
}

fn bench(options: &Options) {
    let broker = Broker::start_with(&BROKER);
    let lasting = Duration::from_secs(options.seconds);
    report::surroundings();
    let road = Road::start(&broker);
    let floors = Part::ALL.map(|part| Floor::start(&broker, part));
    let whole = floors.last().expect("three parts");
    let usual = Load::of_post(6 * 1024, 64);
    // The broker's compiler and everybody's caches.
    road.measure(&usual, lasting);
    whole.measure(&usual, lasting / 2);
    let perf = options.perf.as_deref().map(|file| road.profile(file));
    report::head();
    for load in loads().iter().filter(|load| options.wants(&load.name)) {
        let round = |_| (road.measure(load, lasting), whole.measure(load, lasting));
        let rounds: Vec<(Measured, Measured)> = (0..options.rounds).map(round).collect();
        report::line(load, &rounds);
    }
    drop(perf);
    if options.wants("floor") {
        let round = |_| {
            let road = road.measure(&usual, lasting);
            let parts = floors.each_ref();
            (road, parts.map(|floor| floor.measure(&usual, lasting)))
        };
        report::floor(&usual, &(0..options.rounds).map(round).collect::<Vec<_>>());
    }
    drop((road, floors));
    if options.wants("fsyncs") {
        let loads = [Load::of_post(6 * 1024, 64), Load::of_post(6 * 1024, 1)];
        report::fsyncs(&fsyncs(&broker, &loads));
    }
}

/// The sizes, the connections, and the three events of a call.
fn loads() -> Vec<Load> {
    let sizes = [
        Load::pre(64),
        Load::of_post(6 * 1024, 64),
        Load::of_post(40 * 1024, 64),
        Load::of_post(400 * 1024, 64),
    ];
    let connections = [1, 16, 256].map(|connections| Load::of_post(6 * 1024, connections));
    sizes
        .into_iter()
        .chain(connections)
        .chain([Load::call(64)])
        .collect()
}

impl Load {
    fn pre(connections: usize) -> Self {
        Self {
            name: format!("0.5KiBx{connections}"),
            connections,
            templates: vec![Template::new(Stage::PreConversation, 0)],
        }
    }

    fn of_post(bytes: usize, connections: usize) -> Self {
        Self {
            name: format!("{}KiBx{connections}", bytes / 1024),
            connections,
            templates: vec![Template::new(Stage::PostConversation, bytes)],
        }
    }

    fn call(connections: usize) -> Self {
        let template = |(stage, bytes)| Template::new(stage, bytes);
        let events = [
            (Stage::PreConversation, 0),
            (Stage::PostConversation, 6 * 1024),
            (Stage::AnalyticsCompleted, 0),
        ];
        Self {
            name: format!("callx{connections}"),
            connections,
            templates: events.map(template).to_vec(),
        }
    }
}

const USAGE: &str = "\
usage: tests/run bench road [--seconds N] [--rounds N] [--perf FILE] [LOAD...]
A load is a size and a number of connections, such as 6KiBx64, or callx64; `floor` are the floor's parts, `fsyncs` are
counted in runs of their own. Without any, all are run. With --perf, perf records the bridge from the end of the warm-up on.
";

/// Only so much of what was measured is kept.
const BROKER: [(&str, &str); 4] = [
    ("log.retention.bytes", "268435456"),
    ("log.segment.bytes", "134217728"),
    ("log.retention.check.interval.ms", "5000"),
    ("log.segment.delete.delay.ms", "1000"),
];
