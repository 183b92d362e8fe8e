//! `schemas register`: loads the schemas of all topics into the configured registry.

use std::io::Write;

use serde::Serialize;

use crate::cli::output::{Mood, Output, OutputError, Shown, printable};
use crate::cli::serve::runtime;
use crate::cli::{Common, Ended, UsageError};
use crate::config::Need;
use crate::registry::client::{Client, Patience, Registered, RegistryError};
use crate::registry::level::Level;
use crate::registry::register::{Outcome, Registration, Wish, register};
use crate::registry::{Subject, subjects};

/// Arguments of `schemas register`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Show what would be done, and write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// The compatibility level of the subjects: FORWARD_TRANSITIVE, FULL_TRANSITIVE, … or none, which leaves them as they are
    /// [default: FORWARD_TRANSITIVE, for subjects without a version]
    #[arg(long, value_name = "LEVEL", value_parser = asked_level)]
    pub compatibility: Option<AskedLevel>,
    /// A JSON object a line, for programs
    #[arg(long)]
    pub json: bool,
}

/// `--compatibility`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AskedLevel {
    /// Leave levels alone.
    Keep,
    /// Set this one.
    Set(Level),
}

/// Runs `schemas register`.
///
/// # Errors
///
/// No registry is configured, it gives no answer that helps, or stdout refuses.
pub(super) fn run(
    output: &mut Output<impl Write>,
    args: &Args,
    common: &Common,
) -> anyhow::Result<Ended> {
    let config = common.load()?.require(&[Need::Registry])?;
    let Some(registry) = &config.registry else {
        return Err(UsageError(
            "no registry is configured; set registry.url, or ATOMS_BRIDGE__REGISTRY__URL"
                .to_owned(),
        )
        .into());
    };
    let client = Client::new(registry, Patience::Some)?;
    let subjects = subjects(&config);
    tracing::info!(
        "{} schemas for the registry at {}",
        subjects.len(),
        registry.url
    );
    let mut lines = Vec::new();
    let ended = runtime()?.block_on(register_all(&client, &subjects, args, &mut lines));
    // What was done before an error is told all the same.
    show(output, &lines, args)?;
    ended?;
    let refused = lines.iter().any(|line| line.refused);
    Ok(if refused { Ended::Finding } else { Ended::Done })
}

async fn register_all(
    client: &Client,
    subjects: &[Subject],
    args: &Args,
    lines: &mut Vec<Line>,
) -> Result<(), RegistryError> {
    let wish = Wish {
        level: match args.compatibility {
            None => Some(Level::ForwardTransitive),
            Some(AskedLevel::Set(level)) => Some(level),
            Some(AskedLevel::Keep) => None,
        },
        level_is_asked: args.compatibility.is_some(),
        dry_run: args.dry_run,
    };
    for subject in subjects {
        match register(client, subject, &wish).await {
            Ok(registration) => lines.push(Line::of(subject, registration)),
            // It is about this schema; another may be welcome.
            Err(error @ RegistryError::Refused { .. }) => lines.push(Line::failed(subject, &error)),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    subject: String,
    schema: String,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    compatibility: Option<String>,
    refused: bool,
    notes: Vec<String>,
}

impl Line {
    fn of(subject: &Subject, registration: Registration) -> Self {
        let (result, version, id) = match registration.outcome {
            Outcome::Unchanged(Registered { id, version }) => {
                ("unchanged", Some(version), Some(id))
            }
            Outcome::Registered(Registered { id, version }) => {
                ("registered", Some(version), Some(id))
            }
            Outcome::Would(version) => ("would register", Some(version), None),
            Outcome::Conflict => ("conflict", None, None),
        };
        Self {
            subject: subject.name.clone(),
            schema: subject.file.clone(),
            result,
            version,
            id,
            compatibility: registration.level,
            refused: registration.is_refused,
            notes: registration.notes,
        }
    }

    fn failed(subject: &Subject, error: &RegistryError) -> Self {
        Self {
            subject: subject.name.clone(),
            schema: subject.file.clone(),
            result: "failed",
            version: None,
            id: None,
            compatibility: None,
            refused: true,
            notes: vec![error.to_string()],
        }
    }

    fn row(&self) -> Vec<Shown> {
        let mood = match self.result {
            "conflict" | "failed" => Mood::Ill,
            "would register" => Mood::Waits,
            _ => Mood::Well,
        };
        let number = |number: Option<u32>| number.map_or(Shown::text("-"), Shown::number);
        vec![
            Shown::text(&self.subject),
            Shown::text(&self.schema),
            Shown::Word(self.result.to_owned(), mood),
            number(self.version),
            number(self.id),
            Shown::text(self.compatibility.as_deref().unwrap_or("-")),
        ]
    }
}

fn show(output: &mut Output<impl Write>, lines: &[Line], args: &Args) -> Result<(), OutputError> {
    if args.json {
        return lines.iter().try_for_each(|line| output.json(line));
    }
    if lines.is_empty() {
        return Ok(());
    }
    let header = [
        "SUBJECT",
        "SCHEMA",
        "RESULT",
        "VERSION",
        "ID",
        "COMPATIBILITY",
    ];
    output.table(&header, lines.iter().map(Line::row))?;
    for line in lines {
        for note in &line.notes {
            output.line(&printable(&format!("{}: {note}", line.subject)))?;
        }
    }
    Ok(())
}

fn asked_level(text: &str) -> Result<AskedLevel, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(AskedLevel::Keep);
    }
    text.parse().map(AskedLevel::Set).map_err(|()| {
        let names = Level::ALL.map(Level::name);
        let names = names.iter().filter(|name| **name != "NONE");
        let names: Vec<&str> = names.copied().collect();
        format!("write {} or none", names.join(", "))
    })
}
