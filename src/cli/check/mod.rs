//! `check`: finds what would go wrong, a line for each finding with what to do.
//!
//! Probes that do not need each other run side by side, each with its own time limit; one that fails never hides
//! another, and one that cannot run says which line it waits for. Nothing is changed: no topic is made, the configured
//! journal is not opened to write, and what `check` sends is marked so that nobody counts it.

mod api;
mod board;
mod clock;
mod delivery;
mod disk;
mod finding;
mod kafka;
mod registry;
mod serve;
mod setup;
mod tls;

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::output::{Output, OutputError, Shown, printable};
use super::serve::runtime;
use super::{Common, Ended};
use crate::config::{Config, SchemaId};

use self::board::Board;
use self::clock::{Clocks, clock};
use self::finding::{Finding, State, have_failed};
use self::setup::Setup;

/// Arguments of `check`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
pub struct Args {
    /// A JSON object a line, for programs
    #[arg(long)]
    pub json: bool,
}

/// Runs `check`.
///
/// # Errors
///
/// No runtime can be had, or stdout refuses. Whatever is found is no error.
pub fn run(args: &Args, common: &Common) -> anyhow::Result<Ended> {
    let setup = setup::read(common);
    let runtime = runtime()?;
    let findings = runtime.block_on(look(setup));
    // A probe that hangs is not waited for.
    runtime.shutdown_background();
    write(&mut Output::stdout(), &findings, args.json)?;
    Ok(ended(&findings))
}

/// Runs every probe, in the order in which they can.
async fn look(setup: Setup) -> Vec<Finding> {
    let board = Board::default();
    tokio::select! {
        findings = look_at_all(&board, setup) => findings,
        () = board.tell() => Vec::new(),
    }
}

async fn look_at_all(board: &Board, setup: Setup) -> Vec<Finding> {
    let Setup {
        mut findings,
        config,
        knows_kafka,
        knows_registry,
        knows_api,
        can_listen,
        can_sign,
    } = setup;
    let Some(config) = config else {
        findings.extend(AFTER_CONFIGURATION.map(|check| Finding::waits(check, "configuration")));
        return findings;
    };
    let (serve, journal, disk, kafka, registry, api) = tokio::join!(
        look_at_serve(board, &config),
        board.blocking("journal", QUICK, {
            let path = config.journal.path.clone();
            move || disk::journal(&path)
        }),
        board.blocking("disk", SLOW, {
            let config = config.clone();
            move || disk::disk(&config)
        }),
        look_at_kafka(board, &config, knows_kafka),
        look_at_registry(board, &config, knows_registry),
        look_at_api(board, &config, knows_api),
    );
    let obstacle = [
        ("secrets", !can_sign),
        ("configuration", !can_listen),
        ("kafka", have_failed(&kafka.reached)),
        ("topics", !kafka.are_topics_complete),
        ("rights", have_failed(&kafka.rights)),
        ("disk", !serve.is_running && have_failed(&disk)),
        (
            "registry",
            waits_for_ids(&config) && have_failed(&registry.findings),
        ),
    ];
    let obstacle = obstacle.into_iter().find(|(_, stands)| *stands);
    let mut is_time_refused = None;
    let delivery = match obstacle {
        Some((check, _)) => vec![Finding::waits("delivery", check)],
        None => {
            let (found, refused) = look_at_delivery(board, &config, serve.is_running).await;
            is_time_refused = refused;
            found
        }
    };
    let tls = tls::tls(&config);
    let clock = clock(Clocks {
        registry_ahead_ms: registry.ahead_ms,
        kafka: kafka.clock,
        is_refused: is_time_refused,
    });
    findings.extend(
        [
            serve.findings,
            tls,
            journal,
            disk,
            kafka.reached,
            kafka.topics,
            kafka.rights,
        ]
        .into_iter()
        .chain([registry.findings, api, clock, delivery])
        .flatten(),
    );
    findings
}

/// Without the id, such values cannot be written.
fn waits_for_ids(config: &Config) -> bool {
    let registry = config.registry.as_ref();
    registry.is_some_and(|registry| registry.schema_id == SchemaId::Prefix)
}

async fn look_at_serve(board: &Board, config: &Config) -> serve::FoundServe {
    let (config, is_running) = (config.clone(), Kept::default());
    let kept = is_running.clone();
    let findings = board.probe("serve", QUICK, async move {
        let found = serve::serve(&config).await;
        kept.set(found.is_running);
        found.findings
    });
    serve::FoundServe {
        findings: findings.await,
        is_running: is_running.take(),
    }
}

/// What is known of Kafka.
struct LookedAtKafka {
    reached: Vec<Finding>,
    topics: Vec<Finding>,
    are_topics_complete: bool,
    rights: Vec<Finding>,
    clock: crate::publish::rights::Clock,
}

async fn look_at_kafka(board: &Board, config: &Config, is_known: bool) -> LookedAtKafka {
    let mut looked = LookedAtKafka {
        reached: vec![Finding::waits("kafka", "configuration")],
        topics: vec![Finding::waits("topics", "kafka")],
        are_topics_complete: false,
        rights: vec![Finding::waits("rights", "kafka")],
        clock: crate::publish::rights::Clock::Unknown,
    };
    if !is_known {
        return looked;
    }
    let asked = config.clone();
    looked.reached = board
        .blocking("kafka", MEDIUM, move || kafka::reached(&asked))
        .await;
    if have_failed(&looked.reached) {
        return looked;
    }
    let existing: Kept<(Vec<String>, bool)> = Kept::default();
    let (asked, kept) = (config.clone(), existing.clone());
    looked.topics = board
        .blocking("topics", SLOW, move || {
            let found = kafka::topics(&asked);
            kept.set((found.existing, found.are_complete));
            found.findings
        })
        .await;
    let (existing, are_complete) = existing.take();
    looked.are_topics_complete = are_complete;
    let (asked, seen) = (config.clone(), Kept::default());
    let kept = seen.clone();
    looked.rights = board
        .blocking("rights", SLOW, move || {
            let found = kafka::rights(&asked, &existing);
            kept.set(found.clock);
            found.findings
        })
        .await;
    looked.clock = seen.take();
    looked
}

async fn look_at_registry(
    board: &Board,
    config: &Config,
    is_known: bool,
) -> registry::FoundRegistry {
    if !is_known {
        return registry::FoundRegistry {
            findings: vec![Finding::waits("registry", "secrets")],
            ahead_ms: None,
        };
    }
    let (config, ahead_ms) = (config.clone(), Kept::default());
    let kept = ahead_ms.clone();
    let findings = board.probe("registry", SLOW, async move {
        let found = registry::registry(&config).await;
        kept.set(found.ahead_ms);
        found.findings
    });
    registry::FoundRegistry {
        findings: findings.await,
        ahead_ms: ahead_ms.take(),
    }
}

async fn look_at_api(board: &Board, config: &Config, is_known: bool) -> Vec<Finding> {
    if !is_known {
        return vec![Finding::waits("api", "secrets")];
    }
    let asked = config.clone();
    let asking = async move { api::api(&asked).await };
    board.probe("api", SLOW, asking).await
}

async fn look_at_delivery(
    board: &Board,
    config: &Config,
    is_running: bool,
) -> (Vec<Finding>, Option<bool>) {
    let (config, is_refused) = (config.clone(), Kept::default());
    let kept = is_refused.clone();
    let findings = board.probe("delivery", SLOWEST, async move {
        let found = delivery::delivery(config, is_running).await;
        kept.set(found.is_time_refused);
        found.findings
    });
    (findings.await, is_refused.take())
}

/// What a probe tells beside its lines; the default when it did not come to its end.
#[derive(Debug, Clone, Default)]
struct Kept<T>(Arc<Mutex<T>>);

impl<T: Default> Kept<T> {
    fn set(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = value;
    }

    fn take(&self) -> T {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Wrong configuration is told as by every other command, whatever else was found.
fn ended(findings: &[Finding]) -> Ended {
    let is_setup = |found: &&Finding| ["configuration", "secrets"].contains(&found.check);
    if findings.iter().filter(is_setup).any(Finding::is_failure) {
        Ended::Misconfigured
    } else if have_failed(findings) {
        Ended::Finding
    } else {
        Ended::Done
    }
}

fn write(
    output: &mut Output<impl Write>,
    findings: &[Finding],
    json: bool,
) -> Result<(), OutputError> {
    if json {
        return findings.iter().try_for_each(|found| output.json(found));
    }
    let rows = findings.iter().flat_map(|found| {
        let line = vec![
            found.state.word(),
            Shown::text(found.check),
            Shown::text(&found.what),
        ];
        let below = |todo: &String| {
            vec![
                Shown::text(""),
                Shown::text(""),
                Shown::text(format!("→ {todo}")),
            ]
        };
        std::iter::once(line).chain(found.todo.as_ref().map(below))
    });
    output.table(&[], rows)?;
    output.line(&printable(&summary(findings)))
}

fn summary(findings: &[Finding]) -> String {
    let count = |state| findings.iter().filter(|found| found.state == state).count();
    let counted = |state, one: &str| match count(state) {
        1 => format!("1 {one}"),
        count => format!("{count} {one}s"),
    };
    format!(
        "{} ok, {}, {}, {} not run",
        count(State::Ok),
        counted(State::Warning, "warning"),
        counted(State::Failure, "failure"),
        count(State::NotRun)
    )
}

const AFTER_CONFIGURATION: [&str; 11] = [
    "serve", "tls", "journal", "disk", "kafka", "topics", "rights", "registry", "api", "clock",
    "delivery",
];
const QUICK: Duration = Duration::from_secs(10);
const MEDIUM: Duration = Duration::from_secs(15);
const SLOW: Duration = Duration::from_secs(30);
/// Both ways, and a bridge that is started and stopped in between.
const SLOWEST: Duration = Duration::from_secs(60);
const AFTER_HELP: &str = "\
Run it as the user that runs the bridge, with the same configuration and environment. While `serve` runs, what is sent \
goes through it; otherwise through the same stages in this process, with a journal of their own. Records of type \
bridge-check are left on the topic for unrecognized events; nothing counts them.

Exit codes: 0 no failure (warnings are none), 1 a failure, 2 wrong configuration or a missing secret.";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exit_code_tells_wrong_configuration_from_the_rest() {
        let well = Finding::ok("kafka", "");
        let warned = Finding::warning("disk", "", "");
        let failed = Finding::failure("kafka", "", "");
        let wrong = Finding::failure("secrets", "", "");
        let waits = Finding::waits("topics", "kafka");
        for (findings, expected) in [
            (vec![well.clone(), warned.clone()], Ended::Done),
            (vec![well, failed.clone(), waits], Ended::Finding),
            (vec![failed, wrong], Ended::Misconfigured),
        ] {
            assert_eq!(ended(&findings), expected, "{findings:?}");
        }
    }

    #[test]
    fn what_to_do_stands_below_its_line() {
        let findings = [
            Finding::ok("kafka", "reached"),
            Finding::failure("disk", "full\u{1b}", "make room"),
        ];
        let mut written = Vec::new();
        write(&mut Output::plain(&mut written), &findings, false).unwrap();
        let expected = "ok       kafka  reached\nfailure  disk   full\\u{1b}\n                → make room\n1 ok, 0 warnings, 1 failure, 0 not run\n";
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }
}
