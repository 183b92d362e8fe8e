//! `atoms webhooks · agents · connect · secret`: the sender's side, by its API.
//!
//! Nothing here prints a signing secret unless it is asked to; nothing takes an agent away from a webhook unless it is
//! told to.

mod connect;
mod list;
mod report;
mod secret;

use super::output::Output;
use super::{Common, Ended, check};
use crate::atoms::Client;
use crate::atoms::answers::RemoteWebhook;
use crate::atoms::setup::name_of;
use crate::config::{Config, Loaded, Need};
use crate::receive::delivery::WebhookName;

/// What to do at Atoms.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the webhooks there, and what differs from the configuration; exit code 1 when a configured one would not verify
    Webhooks(list::Args),
    /// List the agents, and where their events are delivered
    Agents(list::Args),
    /// Have agents' events delivered to this bridge: make the webhook, subscribe, fetch its signing secret
    Connect(connect::Args),
    /// Fetch a webhook's signing secret into a file that only its owner can read
    Secret(secret::Args),
}

/// Runs `atoms …`.
///
/// # Errors
///
/// The configuration is wrong or has no key, the API does not answer or refuses, or stdout refuses.
pub fn run(command: &Command, common: &Common) -> anyhow::Result<Ended> {
    let loaded = common.load()?;
    let config = loaded.require(&[Need::ApiKey])?;
    let side = Side {
        client: Client::new(&config.atoms)?,
        config,
        loaded,
    };
    let mut output = Output::stdout();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (ended, then) = runtime.block_on(async {
        let ended = match command {
            Command::Webhooks(args) => list::webhooks(&mut output, &side, args).await,
            Command::Agents(args) => list::agents(&mut output, &side, args).await,
            Command::Connect(args) => return connect::run(&mut output, &side, args).await,
            Command::Secret(args) => secret::run(&mut output, &side, args).await,
        };
        Ok::<_, anyhow::Error>((ended?, Then::End))
    })?;
    // It writes to stdout itself.
    drop(output);
    match (ended, then) {
        (Ended::Done, Then::Check) => check::run(&check::Args { json: false }, common),
        (ended, _) => Ok(ended),
    }
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Then {
    /// Nothing.
    End,
    /// Whatever else might be wrong is found.
    Check,
}

/// Both sides: the API, and what is configured here.
struct Side {
    client: Client,
    config: Config,
    loaded: Loaded,
}

impl Side {
    /// Whether a webhook's deliveries verify as those of a configured webhook.
    fn verifies(&self, remote: &RemoteWebhook, name: &WebhookName) -> bool {
        let (Some(webhook), Some(secret)) = (self.config.webhooks.get(name), &remote.secret) else {
            return false;
        };
        webhook.secrets.contains(secret)
    }
}
