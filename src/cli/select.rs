//! Which deliveries of the journal a command is about: the same options for `replay`, `export` and searches.

use clap::ValueEnum;

use super::when;
use crate::config::Config;
use crate::journal::ReadError;
use crate::journal::read::{State, Viewer};
use crate::journal::scan::{Found, Selection};
use crate::publish::preview::{Destination, Preview};
use crate::time::Timestamp;

/// Which deliveries.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct SelectArgs {
    /// Only these: SEQ, FIRST..LAST (both included) or FIRST.. ; may be repeated
    #[arg(long, value_name = "SEQ", value_parser = seq_range)]
    pub seq: Vec<(u64, u64)>,
    /// Only what was received since: 24h (back from now) or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = when::time_arg)]
    pub since: Option<Timestamp>,
    /// Only what was received before: 1h (back from now) or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = when::time_arg)]
    pub until: Option<Timestamp>,
    /// Only deliveries of this call
    #[arg(long, value_name = "CALL")]
    pub call: Option<String>,
    /// Only events of this type, such as post-conversation
    #[arg(long = "type", value_name = "TYPE")]
    pub event_type: Option<String>,
    /// Only deliveries in this state
    #[arg(long, value_enum)]
    pub state: Option<StateArg>,
    /// Only deliveries to this webhook
    #[arg(long, value_name = "NAME")]
    pub webhook: Option<String>,
}

/// What became of a delivery.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum StateArg {
    /// Waits for Kafka
    Pending,
    /// Kafka has it
    Published,
    /// Refused by Kafka for ever, and kept
    Dead,
}

impl From<StateArg> for State {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Pending => Self::Pending,
            StateArg::Published => Self::Published,
            StateArg::Dead => Self::Dead,
        }
    }
}

/// A delivery that was selected.
pub struct Selected {
    /// The delivery.
    pub found: Found,
    /// Where it would go; `None` without a body.
    pub destination: Option<Destination>,
}

impl SelectArgs {
    /// Whether nothing was said: then everything is meant.
    pub fn is_empty(&self) -> bool {
        let Self {
            seq,
            since,
            until,
            call,
            event_type,
            state,
            webhook,
        } = self;
        let times = since.is_none() && until.is_none();
        let content = call.is_none() && event_type.is_none();
        seq.is_empty() && times && content && state.is_none() && webhook.is_none()
    }

    /// Whether bodies have to be read to tell.
    fn is_about_content(&self) -> bool {
        self.call.is_some() || self.event_type.is_some()
    }

    /// Gives each delivery that is meant to `each`, in the order of arrival; ends at the newest of now.
    ///
    /// # Errors
    ///
    /// When the journal cannot be read, or `each` fails.
    pub fn walk<E: From<ReadError>>(
        &self,
        viewer: &Viewer,
        config: &Config,
        mut each: impl FnMut(Selected) -> Result<(), E>,
    ) -> Result<(), E> {
        let preview = Preview::new(config);
        let mut walk = viewer.walk(Selection {
            seqs: self.seq.clone(),
            state: self.state.map(State::from),
            webhook: self.webhook.clone(),
            since: self.since,
            until: self.until,
        })?;
        while let Some(page) = walk.page()? {
            for found in page {
                let destination = found.row().map(|row| preview.of(&row));
                if !self.is_about_content() || self.is_meant(destination.as_ref()) {
                    each(Selected { found, destination })?;
                }
            }
        }
        Ok(())
    }

    fn is_meant(&self, destination: Option<&Destination>) -> bool {
        let Some(destination) = destination else {
            return false;
        };
        let fits = |wanted: &Option<String>, is: &Option<String>| wanted.is_none() || wanted == is;
        fits(&self.call, &destination.call_id) && fits(&self.event_type, &destination.event_type)
    }
}

fn seq_range(text: &str) -> Result<(u64, u64), String> {
    let number = |text: &str| {
        text.parse::<u64>()
            .map_err(|_| "write 7, 7..9 or 7..".to_owned())
    };
    let (first, last) = match text.split_once("..") {
        None => (number(text)?, number(text)?),
        Some((first, "")) => (number(first)?, u64::MAX),
        Some((first, last)) => (number(first)?, number(last)?),
    };
    if first > last {
        return Err("the first is behind the last".to_owned());
    }
    Ok((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_one_end_or_two_or_is_a_single_one() {
        assert_eq!(seq_range("7"), Ok((7, 7)));
        assert_eq!(seq_range("7..9"), Ok((7, 9)));
        assert_eq!(seq_range("7.."), Ok((7, u64::MAX)));
        for wrong in ["", "..", "..7", "9..7", "a", "1...2", "-1"] {
            assert!(seq_range(wrong).is_err(), "{wrong}");
        }
    }
}
