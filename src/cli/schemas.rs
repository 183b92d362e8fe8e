//! `schemas list · show · write · diff · register`: the published schemas of the canonical event, and the documents
//! beside them.
//!
//! `diff` is what keeps `schemas/` and the code from drifting apart: it fails on a file that is missing, differs or is
//! not published, and on one that has changed since its release.

mod register;
mod released;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use self::released::Released;
use super::output::{Mood, Output, Shown, printable};
use super::{Common, Ended, UsageError};
use crate::config::Config;
use crate::documents;
use crate::event::Event;
use crate::event::schema::{Published, published};

/// What to do with the schemas.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the published schemas and documents
    List(ListArgs),
    /// Print a schema or document
    Show(ShowArgs),
    /// Write all schemas and documents into a directory
    Write(WriteArgs),
    /// Compare a directory with the published schemas and documents; exit code 1 when they differ
    Diff(DiffArgs),
    /// Load the schemas of all topics into the configured registry; exit code 1 when one may not follow what is there
    Register(register::Args),
}

/// Arguments of `schemas list`.
#[derive(Debug, clap::Args)]
pub struct ListArgs {
    /// A JSON object a line, for programs
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `schemas show`.
#[derive(Debug, clap::Args)]
pub struct ShowArgs {
    /// pre-conversation, post-conversation, analytics-completed, unrecognized; asyncapi or reference, with the topics as
    /// configured
    #[arg(value_name = "TYPE")]
    pub topic: String,
    /// Which version [default: the latest]
    #[arg(long, value_name = "N")]
    pub version: Option<u32>,
}

/// Arguments of `schemas write`.
#[derive(Debug, clap::Args)]
pub struct WriteArgs {
    /// Made when it is not there
    pub dir: PathBuf,
}

/// Arguments of `schemas diff`.
#[derive(Debug, clap::Args)]
pub struct DiffArgs {
    /// The directory
    #[arg(default_value = "schemas")]
    pub dir: PathBuf,
    /// A JSON object for each difference, for programs
    #[arg(long)]
    pub json: bool,
}

/// Runs `schemas …`.
///
/// # Errors
///
/// A wrong use, a file that cannot be read or written, or stdout refuses.
pub fn run(command: &Command, common: &Common) -> anyhow::Result<Ended> {
    let mut output = Output::stdout();
    match command {
        Command::List(args) => list(&mut output, args)?,
        Command::Show(args) => show(&mut output, args, common)?,
        Command::Write(args) => write(&mut output, &args.dir)?,
        Command::Diff(args) => return diff(&mut output, args),
        Command::Register(args) => return register::run(&mut output, args, common),
    }
    Ok(Ended::Done)
}

/// What belongs into a directory: schemas, and the documents as they are without a configuration.
fn files() -> anyhow::Result<Vec<Published>> {
    let mut files = published();
    files.extend(documents::published(&Config::defaults()?));
    Ok(files)
}

#[derive(Serialize)]
struct Listed<'a> {
    #[serde(rename = "type")]
    topic: &'a str,
    version: u32,
    file: &'a str,
    bytes: usize,
}

fn list(output: &mut Output<impl Write>, args: &ListArgs) -> anyhow::Result<()> {
    let schemas = files()?;
    let lines = schemas.iter().map(|schema| Listed {
        topic: schema.topic,
        version: Event::SCHEMA_VERSION,
        file: &schema.file,
        bytes: schema.text.len(),
    });
    if args.json {
        return Ok(lines.into_iter().try_for_each(|line| output.json(&line))?);
    }
    let rows = lines.map(|line| {
        vec![
            Shown::text(line.topic),
            Shown::number(line.version),
            Shown::text(line.file),
            Shown::number(line.bytes),
        ]
    });
    Ok(output.table(&["TYPE", "VERSION", "FILE", "BYTES"], rows)?)
}

fn show(output: &mut Output<impl Write>, args: &ShowArgs, common: &Common) -> anyhow::Result<()> {
    let mut schemas = published();
    // A schema is the same whatever is configured, also where the configuration is broken.
    if !schemas.iter().any(|schema| schema.topic == args.topic) {
        schemas.extend(documents::published(&common.load()?.config));
    }
    let Some(schema) = schemas.iter().find(|schema| schema.topic == args.topic) else {
        let known: Vec<_> = schemas.iter().map(|schema| schema.topic).collect();
        let topic = printable(&args.topic);
        return Err(UsageError(format!(
            "no schema for {topic}; there are {}",
            known.join(", ")
        ))
        .into());
    };
    let latest = Event::SCHEMA_VERSION;
    match args.version {
        None => {}
        Some(version) if version == latest => {}
        Some(version) => {
            return Err(UsageError(format!(
                "no version {version} of {}; there is {latest}",
                schema.topic
            ))
            .into());
        }
    }
    Ok(output.bytes(schema.text.as_bytes())?)
}

fn write(output: &mut Output<impl Write>, dir: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(dir)
        .with_context(|| format!("cannot make the directory {}", dir.display()))?;
    let released = Released::read(dir)?;
    for schema in files()? {
        let path = dir.join(&schema.file);
        let done = match read(&path)? {
            Some(found) if found == schema.text.as_bytes() => "unchanged",
            Some(_) => "changed",
            None => "new",
        };
        if done != "unchanged" {
            released.allow(&schema.file, &schema.text)?;
            fs::write(&path, &schema.text)
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        output.line(&format!("{}: {done}", path.display()))?;
    }
    Ok(())
}

fn diff(output: &mut Output<impl Write>, args: &DiffArgs) -> anyhow::Result<Ended> {
    let differences = compare(&args.dir, &files()?)?;
    for difference in &differences {
        if args.json {
            output.json(difference)?;
        } else {
            output.table(&[], [difference.row()])?;
            difference
                .changes
                .iter()
                .try_for_each(|line| output.line(&printable(line)))?;
        }
    }
    if differences.is_empty() {
        return Ok(Ended::Done);
    }
    if !args.json {
        output.line(&format!(
            "If the change is meant and these versions are not released, run `schemas write {}`; a released version of a schema never changes.",
            args.dir.display()
        ))?;
    }
    Ok(Ended::Finding)
}

/// A file that is not as published.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Difference {
    file: String,
    state: State,
    /// Lines of the file with `-`, published ones with `+`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Missing,
    Differs,
    ChangedSinceRelease,
    Superfluous,
}

impl Difference {
    fn row(&self) -> Vec<Shown> {
        let word = match self.state {
            State::Missing => "missing",
            State::Differs => "differs",
            State::ChangedSinceRelease => "changed since its release",
            State::Superfluous => "superfluous",
        };
        vec![
            Shown::Word(word.to_owned(), Mood::Ill),
            Shown::text(&self.file),
        ]
    }
}

/// Of other files only `.json` ones count: a README may lie beside the schemas.
fn compare(dir: &Path, schemas: &[Published]) -> anyhow::Result<Vec<Difference>> {
    let mut differences = Vec::new();
    for schema in schemas {
        let (state, changes) = match read(&dir.join(&schema.file))? {
            Some(found) if found == schema.text.as_bytes() => continue,
            Some(found) => (
                State::Differs,
                changes(&String::from_utf8_lossy(&found), &schema.text),
            ),
            None => (State::Missing, Vec::new()),
        };
        differences.push(Difference {
            file: schema.file.clone(),
            state,
            changes,
        });
    }
    let released = Released::read(dir)?;
    let mut known: BTreeSet<&str> = schemas.iter().map(|schema| schema.file.as_str()).collect();
    // A version before the present one is published no more and stays what it was.
    for (file, is_changed) in released.files(dir)? {
        known.insert(file);
        let is_told = differences.iter().any(|told| told.file == file);
        if is_changed && !is_told {
            differences.push(Difference {
                file: file.to_owned(),
                state: State::ChangedSinceRelease,
                changes: Vec::new(),
            });
        }
    }
    let others = json_files(dir)?
        .into_iter()
        .filter(|file| !known.contains(file.as_str()));
    differences.extend(others.map(|file| Difference {
        file,
        state: State::Superfluous,
        changes: Vec::new(),
    }));
    Ok(differences)
}

/// The file's bytes; `None` when there is none.
fn read(path: &Path) -> anyhow::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

fn json_files(dir: &Path) -> anyhow::Result<BTreeSet<String>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries.collect::<Result<Vec<_>, io::Error>>(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => Err(error),
    };
    let entries =
        entries.with_context(|| format!("cannot read the directory {}", dir.display()))?;
    let names = entries
        .iter()
        .map(|entry| entry.file_name().to_string_lossy().into_owned());
    Ok(names.filter(|name| name.ends_with(".json")).collect())
}

/// What stands between the lines that both begin and both end with.
fn changes(found: &str, expected: &str) -> Vec<String> {
    let (found, expected): (Vec<_>, Vec<_>) = (found.lines().collect(), expected.lines().collect());
    let pairs = found.iter().zip(&expected);
    let before = pairs.take_while(|(a, b)| a == b).count();
    let (found, expected) = (found.split_at(before).1, expected.split_at(before).1);
    let pairs = found.iter().rev().zip(expected.iter().rev());
    let behind = pairs.take_while(|(a, b)| a == b).count();
    let middle = |lines: &[&str], sign: char| {
        let lines = lines.iter().take(lines.len() - behind);
        lines
            .map(|line| format!("{sign} {line}"))
            .collect::<Vec<_>>()
    };
    let mut changes = vec![format!("from line {}:", before + 1)];
    for mut side in [middle(found, '-'), middle(expected, '+')] {
        let more = side.len().saturating_sub(MOST_LINES);
        side.truncate(MOST_LINES);
        changes.extend(side);
        if more > 0 {
            changes.push(format!("  … and {more} more lines"));
        }
    }
    if changes.len() == 1 {
        changes.push("  only line ends differ".to_owned());
    }
    changes
}

/// So much of each side is shown.
const MOST_LINES: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn written_schemas_do_not_differ_and_drift_is_told() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("made/schemas");
        let differences = || compare(&dir, &files().unwrap()).unwrap();
        assert!(differences().iter().all(|d| d.state == State::Missing));

        write(&mut Output::plain(Vec::new()), &dir).unwrap();
        fs::write(dir.join("README.md"), "beside").unwrap();
        assert_eq!(differences(), []);

        let path = dir.join("unrecognized.v1.json");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, text.replacen("draft-07", "draft-08", 1)).unwrap();
        fs::write(dir.join("stray.v9.json"), "{}").unwrap();
        fs::write(dir.join("asyncapi.yaml"), "asyncapi: 3.0.0").unwrap();
        fs::remove_file(dir.join("post-conversation.v1.json")).unwrap();
        let found: Vec<_> = differences()
            .into_iter()
            .map(|d| (d.file, d.state))
            .collect();
        let expected = [
            ("post-conversation.v1.json", State::Missing),
            ("unrecognized.v1.json", State::Differs),
            ("asyncapi.yaml", State::Differs),
            ("stray.v9.json", State::Superfluous),
        ];
        assert_eq!(
            found,
            expected.map(|(file, state)| (file.to_owned(), state))
        );
    }

    #[test]
    fn only_the_lines_that_differ_are_shown() {
        assert_eq!(
            changes("a\nb\nc\nd\n", "a\nx\nd\n"),
            ["from line 2:", "- b", "- c", "+ x"]
        );
        assert_eq!(
            changes("a\n", "a"),
            ["from line 2:", "  only line ends differ"]
        );
    }
}
