//! `dev --lossy`: a platform that loses deliveries, and the bridge that asks its API for what it missed.
//!
//! The platform is the simulator of the sender: its API and its webhooks in this process. The bridge knows it as it would
//! know Atoms, but for its patience, which is seconds here.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::{Finished, Seen};
use crate::cli::output::Output;
use crate::config::Config;
use crate::event::Stage;
use crate::receive::delivery::WebhookName;
use crate::sender::samples::Dialect;
use crate::sender::samples::api::{agents, recorded};
use crate::sender::simulator::{KEY, Loss, Outcome, Simulator};
use crate::time::Timestamp;
use crate::verify::secret::Secret;

/// The platform.
pub(super) struct Platform(Simulator);

impl Platform {
    /// Starts it, without a webhook.
    pub(super) async fn start() -> io::Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let simulator = Simulator::start(address).await?;
        for (id, name) in agents() {
            simulator.add_agent(id, name);
        }
        Ok(Self(simulator))
    }

    /// Has a bridge know its API.
    pub(super) fn introduce(&self, config: &mut Config) {
        let atoms = &mut config.atoms;
        atoms.api_key = Secret::new(KEY.as_bytes());
        atoms.base_url = self.0.base_url();
        atoms.reconcile_every = Some(COMPARED_EVERY);
        atoms.settling_time = SETTLING;
    }

    /// Makes a webhook that delivers every event of every agent there, and loses some; what it signs with.
    pub(super) fn connect(&self, url: &str) -> Option<Secret> {
        let everything: Vec<(&str, Stage)> = agents()
            .flat_map(|(id, _)| Stage::ALL.map(|stage| (id, stage)))
            .collect();
        let webhook = self.0.add_webhook(url, &everything);
        self.0.lose(Loss::percent(LOST_PERCENT));
        Secret::new(self.0.secret_of(&webhook)?.as_bytes())
    }

    /// Plays calls, one after another.
    pub(super) async fn call(
        &self,
        (calls, rate): (Option<u64>, f64),
        seen: &Seen,
    ) -> anyhow::Result<Finished> {
        let mut pace = tokio::time::interval(Duration::from_secs_f64(1.0 / rate));
        pace.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        for number in 0..calls.unwrap_or(u64::MAX) {
            pace.tick().await;
            let call = recorded(Dialect::Envelope, number, Timestamp::now());
            let call_id = call.call_id.clone();
            self.0.play(call).await;
            self.tell(&call_id, seen)?;
        }
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if seen.is_complete() {
                return Ok(Finished::Complete);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Finished::Incomplete)
    }

    /// Counts what became of a call's deliveries, and says which were lost.
    fn tell(&self, call_id: &str, seen: &Seen) -> anyhow::Result<()> {
        let delivered = self.0.delivered();
        for delivered in delivered.iter().filter(|one| one.call_id == call_id) {
            match delivered.outcome {
                Outcome::Taken => seen.answered(true),
                Outcome::Lost => {
                    seen.lost();
                    let (at, what) = (Timestamp::now(), delivered.stage.name());
                    Output::stdout().line(&format!("{at}  lost: {what} of {call_id}"))?;
                }
                Outcome::Refused(_) | Outcome::NoAnswer => seen.answered(false),
            }
        }
        Ok(())
    }
}

/// The configuration with this secret alone for a webhook.
pub(super) fn with_secret(
    mut config: Config,
    name: &WebhookName,
    secret: Secret,
) -> anyhow::Result<Config> {
    let webhook = config.webhooks.get_mut(name);
    let webhook = webhook.context("the webhook is configured")?;
    webhook.secrets = vec![secret];
    // The platform knows of none.
    webhook.header = None;
    Ok(config)
}

const LOST_PERCENT: u8 = 30;
const COMPARED_EVERY: Duration = Duration::from_secs(2);
/// A sample call has ended some seconds before it is delivered.
const SETTLING: Duration = Duration::from_secs(10);
/// How long the last call's events may take: to settle, and to be fetched.
const PATIENCE: Duration = Duration::from_secs(60);
