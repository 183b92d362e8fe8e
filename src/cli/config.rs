//! `config show`: the effective configuration, each value with where it came from, secrets redacted.

use std::io::Write;

use serde::Serialize;

use super::output::{Mood, Output, OutputError, Shown};
use super::{Common, Ended};
use crate::config::{SecretState, ShownSetting};

/// What to do with the configuration.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Print every effective setting and where it came from; a secret only by its source
    ///
    /// Needs neither Kafka nor a secret: one that is missing is shown as missing.
    Show(ShowArgs),
}

/// Arguments of `config show`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  atoms-kafka-bridge config show --config /etc/bridge.toml
  ATOMS_BRIDGE__LISTEN__MAX_BODY=1MiB atoms-kafka-bridge config show --json")]
pub struct ShowArgs {
    /// A JSON object a line, for programs
    #[arg(long)]
    pub json: bool,
}

/// Runs `config …`.
///
/// # Errors
///
/// The configuration is wrong, or stdout refuses.
pub fn run(command: Command, common: &Common) -> anyhow::Result<Ended> {
    let Command::Show(args) = command;
    let loaded = common.load()?;
    let settings = loaded.shown();
    let mut output = Output::stdout();
    if args.json {
        write_json(&mut output, &settings)?;
    } else {
        write_table(&mut output, &settings)?;
    }
    drop(output);
    loaded.judge_kafka()?;
    Ok(Ended::Done)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    key: &'a str,
    value: &'a str,
    origin: String,
    /// Per secret in the value; absent where there is none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    secrets: Vec<SecretLine<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SecretLine<'a> {
    is_set: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

fn write_json(
    output: &mut Output<impl Write>,
    settings: &[ShownSetting],
) -> Result<(), OutputError> {
    settings.iter().try_for_each(|setting| {
        output.json(&Line {
            key: &setting.key,
            value: &setting.value,
            origin: setting.origin.to_string(),
            secrets: setting.secrets.iter().map(secret_line).collect(),
        })
    })
}

fn secret_line(state: &SecretState) -> SecretLine<'_> {
    let reason = match state {
        SecretState::Set => None,
        SecretState::Missing(reason) => Some(reason.as_str()),
    };
    SecretLine {
        is_set: reason.is_none(),
        reason,
    }
}

fn write_table(
    output: &mut Output<impl Write>,
    settings: &[ShownSetting],
) -> Result<(), OutputError> {
    let rows = settings.iter().map(|setting| {
        vec![
            Shown::text(&setting.key),
            Shown::text(&setting.value),
            Shown::text(setting.origin.to_string()),
            secret_words(&setting.secrets),
        ]
    });
    output.table(&["KEY", "VALUE", "ORIGIN", "SECRET"], rows)
}

fn secret_words(secrets: &[SecretState]) -> Shown {
    let missing = secrets.iter().any(|state| *state != SecretState::Set);
    let words = secrets.iter().map(|state| match state {
        SecretState::Set => "set".to_owned(),
        SecretState::Missing(reason) => format!("missing: {reason}"),
    });
    let mood = if missing { Mood::Ill } else { Mood::Well };
    Shown::Word(words.collect::<Vec<_>>().join(", "), mood)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Origin;

    fn settings() -> [ShownSetting; 2] {
        let setting = |key: &str, value: &str, secrets| ShownSetting {
            key: key.into(),
            value: value.into(),
            origin: Origin::Env { name: "X".into() },
            secrets,
        };
        let missing = SecretState::Missing("unset".into());
        [
            setting("a.b", "1", vec![]),
            setting("c", "env:N ***", vec![missing]),
        ]
    }

    #[test]
    fn the_table_names_origin_and_missing_secrets() {
        let mut written = Vec::new();
        write_table(&mut Output::plain(&mut written), &settings()).unwrap();
        let expected = "KEY  VALUE      ORIGIN  SECRET\n\
                        a.b  1          env X\n\
                        c    env:N ***  env X   missing: unset\n";
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }

    #[test]
    fn json_is_an_object_a_line() {
        let mut written = Vec::new();
        write_json(&mut Output::plain(&mut written), &settings()).unwrap();
        let expected = r#"{"key":"a.b","value":"1","origin":"env X"}
{"key":"c","value":"env:N ***","origin":"env X","secrets":[{"isSet":false,"reason":"unset"}]}
"#;
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }
}
