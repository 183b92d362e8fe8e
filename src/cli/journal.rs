//! `journal status · list · show · replay · export`: what came, and what became of it; all but `replay` read only, and
//! all work while `serve` runs.

mod export;
mod json;
mod replay;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io::Write;

use anyhow::Context;

use json::{EntryLine, ShownLine, StatusLine};

use super::output::{
    Mood, Output, OutputError, Shown, bytes_for_people, printable_lines, span_for_people,
};
use super::select::{SelectArgs, StateArg};
use super::{Common, Ended, when};
use crate::config::Config;
use crate::journal::ReadError;
use crate::journal::read::{Entry, Filter, State, Status, Viewer};
use crate::receive::delivery::KeptHeaders;
use crate::time::Timestamp;

/// What to look at in the journal.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Count rows by state, and say how full the journal is
    Status(StatusArgs),
    /// List deliveries, newest first
    List(ListArgs),
    /// Show one delivery: every field, its headers, its body
    Show(ShowArgs),
    /// Publish deliveries again, under their ids
    Replay(replay::ReplayArgs),
    /// Write deliveries as NDJSON, whole
    Export(export::ExportArgs),
}

/// Arguments of `journal status`.
#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// A JSON object, for programs
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `journal list`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  atoms-kafka-bridge journal list --state dead
  atoms-kafka-bridge journal list --webhook sales --since 24h --until 1h --json")]
pub struct ListArgs {
    /// Only deliveries in this state
    #[arg(long, value_enum)]
    pub state: Option<StateArg>,
    /// Only deliveries to this webhook
    #[arg(long, value_name = "NAME")]
    pub webhook: Option<String>,
    /// Only deliveries of this call; reads all bodies
    #[arg(long, value_name = "CALL")]
    pub call: Option<String>,
    /// Only events of this type; reads all bodies
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Option<String>,
    /// Only what was received since: 24h (back from now) or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = when::time_arg)]
    pub since: Option<Timestamp>,
    /// Only what was received before: 1h (back from now) or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = when::time_arg)]
    pub until: Option<Timestamp>,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
    /// A JSON object a line, for programs
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `journal show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  atoms-kafka-bridge journal show 4711
  atoms-kafka-bridge journal show 4711 --raw > body.json")]
pub struct ShowArgs {
    /// Its SEQ in `journal list`
    pub seq: u64,
    /// Only the body, byte for byte
    #[arg(long, conflicts_with = "json")]
    pub raw: bool,
    /// A JSON object, for programs; a body that is not UTF-8 in hex
    #[arg(long)]
    pub json: bool,
}

/// Runs `journal …`.
///
/// # Errors
///
/// The configuration is wrong, the journal cannot be read, or stdout refuses.
pub fn run(command: Command, common: &Common) -> anyhow::Result<Ended> {
    let config = common.load_quietly()?.config;
    let viewer = || Viewer::open(&config.journal.path);
    let mut output = Output::stdout();
    match command {
        Command::Status(args) => status(&mut output, &viewer()?.status()?, &args)?,
        Command::List(args) => list(&mut output, &viewer()?, &config, &args)?,
        Command::Show(args) => show(&mut output, &viewer()?, &args)?,
        Command::Replay(args) => return replay::run(&mut output, &config, &args),
        Command::Export(args) => export::run(&mut output, &config, &args)?,
    }
    Ok(Ended::Done)
}

fn status(
    output: &mut Output<impl Write>,
    status: &Status,
    args: &StatusArgs,
) -> Result<(), OutputError> {
    if args.json {
        return output.json(&StatusLine::new(status));
    }
    write_status(output, status, Timestamp::now())
}

fn write_status(
    output: &mut Output<impl Write>,
    status: &Status,
    now: Timestamp,
) -> Result<(), OutputError> {
    let oldest = status.oldest_pending.map(|at| {
        let age_ms = u64::try_from(now.unix_ms() - at.unix_ms()).unwrap_or(0);
        format!("{at} ({} ago)", span_for_people(age_ms))
    });
    let fields = [
        ("journal", status.uuid.to_string()),
        ("format", status.format_version.to_string()),
        ("deliveries", status.rows.to_string()),
        ("  pending", status.pending.to_string()),
        ("  published", status.published.to_string()),
        ("  dead", status.dead.to_string()),
        (
            "oldest pending",
            oldest.unwrap_or_else(|| "none".to_owned()),
        ),
        ("next out_seq", status.next_out_seq.to_string()),
        ("settled below", status.settled_out_seq.to_string()),
        ("used", bytes_for_people(status.used_bytes)),
        ("file", bytes_for_people(status.file_bytes)),
    ];
    output.table(
        &[],
        fields.map(|(name, value)| vec![Shown::text(name), Shown::text(value)]),
    )
}

fn list(
    output: &mut Output<impl Write>,
    viewer: &Viewer,
    config: &Config,
    args: &ListArgs,
) -> anyhow::Result<()> {
    let entries = if args.call.is_some() || args.event_type.is_some() {
        search(viewer, config, args)?
    } else {
        viewer.list(&Filter {
            state: args.state.map(State::from),
            webhook: args.webhook.clone(),
            since: args.since,
            until: args.until,
            limit: args.limit,
        })?
    };
    if args.json {
        for entry in &entries {
            output.json(&EntryLine::new(entry))?;
        }
    } else {
        write_entries(output, &entries)?;
    }
    Ok(())
}

/// What only the bodies tell is found by walking through them.
fn search(viewer: &Viewer, config: &Config, args: &ListArgs) -> Result<Vec<Entry>, ReadError> {
    let select = SelectArgs {
        seq: Vec::new(),
        since: args.since,
        until: args.until,
        call: args.call.clone(),
        event_type: args.event_type.clone(),
        state: args.state,
        webhook: args.webhook.clone(),
    };
    let mut newest = VecDeque::new();
    select.walk(viewer, config, |selected| {
        newest.push_front(selected.found.entry);
        newest.truncate(args.limit);
        Ok::<_, ReadError>(())
    })?;
    Ok(newest.into())
}

fn write_entries(output: &mut Output<impl Write>, entries: &[Entry]) -> Result<(), OutputError> {
    let rows = entries.iter().map(|entry| {
        vec![
            Shown::number(entry.seq),
            Shown::text(entry.received_at.to_string()),
            Shown::text(&entry.webhook),
            state_word(entry.state),
            Shown::number(entry.out_seq),
            Shown::number(
                entry
                    .body_bytes
                    .map_or("-".to_owned(), |bytes| bytes.to_string()),
            ),
            Shown::text(&entry.id),
            Shown::text(entry.reason.as_deref().unwrap_or_default()),
        ]
    });
    let header = [
        "SEQ", "RECEIVED", "WEBHOOK", "STATE", "OUT_SEQ", "BYTES", "ID", "REASON",
    ];
    output.table(&header, rows)
}

fn show(output: &mut Output<impl Write>, viewer: &Viewer, args: &ShowArgs) -> anyhow::Result<()> {
    let found = viewer.show(args.seq)?;
    let (entry, headers, body, intact) = found.with_context(|| {
        format!(
            "no delivery {} in the journal; `journal list` shows which there are",
            args.seq
        )
    })?;
    if args.raw {
        let body =
            body.with_context(|| format!("the body of delivery {} is no longer kept", args.seq))?;
        output.bytes(&body)?;
        // The bytes are out for whoever wants to look at the damage, but nobody may take them for what was sent.
        anyhow::ensure!(
            intact,
            "the body of delivery {} does not have its checksum: the disk changed it",
            args.seq
        );
    } else if args.json {
        output.json(&ShownLine::new(&entry, &headers, body.as_deref(), intact))?;
    } else {
        write_shown(output, &entry, &headers, body.as_deref(), intact)?;
    }
    Ok(())
}

fn write_shown(
    output: &mut Output<impl Write>,
    entry: &Entry,
    headers: &KeptHeaders,
    body: Option<&[u8]>,
    intact: bool,
) -> Result<(), OutputError> {
    let field = |name: &str, value: &str| vec![Shown::text(name), Shown::text(value)];
    let mut rows = vec![
        field("seq", &entry.seq.to_string()),
        field("out_seq", &entry.out_seq.to_string()),
        field("webhook", &entry.webhook),
        field("id", &entry.id),
        field("received", &entry.received_at.to_string()),
        field("origin", entry.origin.name()),
        vec![Shown::text("state"), state_word(entry.state)],
    ];
    rows.extend(entry.reason.iter().map(|reason| field("reason", reason)));
    rows.extend(
        named(headers)
            .into_iter()
            .filter_map(|(name, value)| Some(field(name, value?))),
    );
    if !intact {
        rows.push(vec![
            Shown::text("body"),
            Shown::Word("damaged: its checksum is wrong".to_owned(), Mood::Ill),
        ]);
    }
    output.table(&[], rows)?;
    output.line("")?;
    match body.map(|body| (std::str::from_utf8(body), body.len())) {
        Some((Ok(text), _)) => output.line(&printable_lines(text)),
        Some((Err(_), bytes)) => output.line(&format!(
            "({bytes} bytes that are no UTF-8 text: see --raw)"
        )),
        None => output.line("(the body is no longer kept)"),
    }
}

fn named(headers: &KeptHeaders) -> [(&'static str, Option<&str>); 4] {
    [
        ("content-type", headers.content_type.as_deref()),
        ("content-encoding", headers.content_encoding.as_deref()),
        ("traceparent", headers.traceparent.as_deref()),
        ("user-agent", headers.user_agent.as_deref()),
    ]
}

fn state_word(state: State) -> Shown {
    let mood = match state {
        State::Pending => Mood::Waits,
        State::Published => Mood::Well,
        State::Dead => Mood::Ill,
    };
    Shown::Word(state_name(state).to_owned(), mood)
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Pending => "pending",
        State::Published => "published",
        State::Dead => "dead",
    }
}
