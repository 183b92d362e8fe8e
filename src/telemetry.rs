//! Logs: to stderr, so that stdout stays for results; as text for people or JSON for collectors.
//!
//! `RUST_LOG` wins over `-v`. Colours appear only on a terminal, and not with `NO_COLOR`.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::fmt;

/// How log lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// A line for people.
    Text,
    /// A JSON object a line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` does not parse.
    #[error("RUST_LOG is no filter; write one such as info or atoms_kafka_bridge=debug,info")]
    Filter(#[source] ParseError),
    /// Somebody logs already.
    #[error("logging was set up twice")]
    Twice,
}

/// Sends logs to stderr; `verbosity` is how often `-v` was given.
///
/// # Errors
///
/// `RUST_LOG` does not parse, or this was called before.
pub fn init(format: LogFormat, verbosity: u8) -> Result<(), TelemetryError> {
    let rust_log = std::env::var("RUST_LOG").unwrap_or_default();
    let filter = filter(&rust_log, verbosity).map_err(TelemetryError::Filter)?;
    let builder = fmt::Subscriber::builder()
        .with_env_filter(filter)
        .with_writer(io::stderr);
    let done = match format {
        LogFormat::Text => {
            let builder = builder.with_ansi(wants_colour(io::stderr().is_terminal()));
            tracing::subscriber::set_global_default(builder.finish())
        }
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(false);
            tracing::subscriber::set_global_default(builder.finish())
        }
    };
    done.map_err(|_| TelemetryError::Twice)
}

/// The beginning of a text that somebody sent, for a log line: whatever it was, the line stays short.
pub fn clip(sent: &str) -> &str {
    let end = sent.char_indices().nth(MOST_CHARS);
    end.and_then(|(end, _)| sent.get(..end)).unwrap_or(sent)
}

/// Whether to colour what goes to a terminal, or to none.
pub fn wants_colour(is_terminal: bool) -> bool {
    is_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

fn filter(rust_log: &str, verbosity: u8) -> Result<EnvFilter, ParseError> {
    let levels = match (rust_log, verbosity) {
        ("", 0) => "info",
        ("", 1) => "info,atoms_kafka_bridge=debug",
        ("", _) => "info,atoms_kafka_bridge=trace",
        (rust_log, _) => rust_log,
    };
    EnvFilter::builder().parse(levels)
}

/// Of a sender's text in a log line.
const MOST_CHARS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbosity_raises_our_own_level_and_rust_log_wins() {
        let shown = |rust_log, verbosity| filter(rust_log, verbosity).unwrap().to_string();
        assert_eq!(shown("", 0), "info");
        assert_eq!(shown("", 1), "atoms_kafka_bridge=debug,info");
        assert_eq!(shown("", 2), "atoms_kafka_bridge=trace,info");
        assert_eq!(shown("warn", 2), "warn");
    }

    #[test]
    fn a_senders_text_is_clipped_between_characters() {
        assert_eq!(clip("CALL-1"), "CALL-1");
        assert_eq!(clip(&"é".repeat(128)), "é".repeat(128));
        assert_eq!(clip(&"é".repeat(1000)), "é".repeat(128));
    }

    #[test]
    fn a_broken_filter_is_an_error() {
        assert!(filter("a=b=c", 0).is_err());
    }
}
