//! The platform in small: its API, built from the contract's table, and its webhooks.
//!
//! It holds agents, webhooks, subscriptions and calls in memory. What is subscribed to is delivered, signed, once; some
//! deliveries get lost when it is told so, and requests fail, wait or break off. It judges every exchange by
//! [`crate::atoms::contract`] and keeps what departs from it, so that neither it nor the client can drift from the table.
//! For `dev` and for tests; no part of a running bridge.

mod api;
mod faults;
mod platform;
mod server;
mod world;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::task::AbortHandle;

pub use self::faults::Fault;
use self::platform::Posters;
pub use self::platform::{Delivered, Loss, Outcome};
pub use self::server::Asked;
use self::world::World;
use super::samples::api::Recorded;
use crate::event::Stage;

/// The key that the API takes.
pub const KEY: &str = "sim-key-5f1c0b7a9e";

/// A running simulator; clones are handles of the same one. It ends with the last of them.
#[derive(Debug, Clone)]
pub struct Simulator {
    address: SocketAddr,
    shared: Arc<Shared>,
    _serving: Arc<Serving>,
}

/// How a call stands among others in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listed {
    /// As every first try.
    First,
    /// A further try that the list leaves out, whatever it is asked.
    HiddenRetry,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    posters: Posters,
}

#[derive(Debug, Default)]
struct State {
    world: World,
    faults: faults::Faults,
    asked: Vec<Asked>,
    departures: Vec<String>,
    loss: Loss,
    delivered: Vec<Delivered>,
}

#[derive(Debug)]
struct Serving(AbortHandle);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Simulator {
    /// Starts on an address, without agents, webhooks or calls.
    ///
    /// # Errors
    ///
    /// The address cannot be bound.
    pub async fn start(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let serving = tokio::spawn(server::serve(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            _serving: Arc::new(Serving(serving.abort_handle())),
        })
    }

    /// What `atoms.base_url` is to be.
    pub fn base_url(&self) -> String {
        format!("http://{}{}", self.address, server::ROOT)
    }

    /// An agent, by id and name.
    pub fn add_agent(&self, id: &str, name: &str) {
        self.state().world.add_agent(id, name);
    }

    /// A webhook, as if its owner had made it in the dashboard; gives back its id.
    pub fn add_webhook(&self, url: &str, events: &[(&str, Stage)]) -> String {
        self.state().world.add_webhook(url, "by hand", events)
    }

    /// An agent's subscription to a type, as if its owner had made it in the dashboard.
    pub fn subscribe(&self, webhook_id: &str, agent_id: &str, stage: Stage) {
        self.state().world.subscribe(agent_id, webhook_id, stage);
    }

    /// Takes all of an agent's subscriptions away.
    pub fn unsubscribe(&self, agent_id: &str) {
        self.state()
            .world
            .subscriptions
            .retain(|row| row.agent_id != agent_id);
    }

    /// Has a webhook deliver to another address.
    pub fn move_webhook(&self, webhook_id: &str, url: &str) {
        if let Some(webhook) = self.state().world.webhook(webhook_id) {
            url.clone_into(&mut webhook.url);
        }
    }

    /// Removes a webhook, and whoever subscribes to it.
    pub fn remove_webhook(&self, webhook_id: &str) {
        let world = &mut self.state().world;
        world
            .subscriptions
            .retain(|row| row.webhook_id != webhook_id);
        world.webhooks.retain(|webhook| webhook.id != webhook_id);
    }

    /// What a webhook signs with.
    pub fn secret_of(&self, webhook_id: &str) -> Option<String> {
        self.state().world.secret_of(webhook_id)
    }

    /// The static headers of a webhook.
    pub fn headers_of(&self, webhook_id: &str) -> BTreeMap<String, String> {
        self.state().world.headers_of(webhook_id)
    }

    /// What an agent subscribes to: webhook and type.
    pub fn subscriptions_of(&self, agent_id: &str) -> Vec<(String, Stage)> {
        self.state().world.subscriptions_of(agent_id)
    }

    /// A call that was queued and has not begun.
    pub fn add_call(&self, call: Recorded, listed: Listed) {
        self.state().world.add_call(call, listed);
    }

    /// A further try of a call, which the first one's list of tries has.
    pub fn add_retry(&self, of: &str, call: Recorded) {
        let mut state = self.state();
        state.world.link_retry(of, &call.call_id);
        state.world.add_call(call, Listed::HiddenRetry);
    }

    /// The call comes to a stage; who subscribes to that is told now, unless the delivery gets lost.
    pub async fn advance(&self, call_id: &str, stage: Stage) {
        let due = self.state().world.advance(call_id, stage);
        for delivery in due {
            let lost = {
                let mut state = self.state();
                state.loss.takes()
            };
            let outcome = if lost {
                Outcome::Lost
            } else {
                self.shared.posters.post(&delivery).await
            };
            let delivered = Delivered {
                call_id: call_id.to_owned(),
                stage,
                webhook_id: delivery.webhook_id,
                outcome,
            };
            self.state().delivered.push(delivered);
        }
    }

    /// A call from beginning to end.
    pub async fn play(&self, call: Recorded) {
        let call_id = call.call_id.clone();
        self.add_call(call, Listed::First);
        for stage in Stage::ALL {
            self.advance(&call_id, stage).await;
        }
    }

    /// Which deliveries get lost from now on.
    pub fn lose(&self, loss: Loss) {
        self.state().loss = loss;
    }

    /// What became of every delivery so far.
    pub fn delivered(&self) -> Vec<Delivered> {
        self.state().delivered.clone()
    }

    /// The next request to a path of the contract's table fails so, or with `None` the next of all.
    pub fn fail_next(&self, path: Option<&'static str>, fault: Fault) {
        self.state().faults.next(path, fault);
    }

    /// Every so many-th request fails, by these in turn.
    pub fn fail_every(&self, requests: u64, faults: Vec<Fault>) {
        self.state().faults.every(requests, faults);
    }

    /// Nothing but 503 until [`Simulator::come_back`].
    pub fn go_away(&self) {
        self.state().faults.away = true;
    }

    /// Ends [`Simulator::go_away`].
    pub fn come_back(&self) {
        self.state().faults.away = false;
    }

    /// Every request so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.state().asked.clone()
    }

    /// How often each call of the table was asked for.
    pub fn counts(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for asked in &self.state().asked {
            *counts.entry(asked.what.clone()).or_default() += 1;
        }
        counts
    }

    /// Where requests or answers departed from the contract's table; nothing, if all is well.
    pub fn departures(&self) -> Vec<String> {
        self.state().departures.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
