//! The sender's API and platform on a loopback port, with a runtime of its own.
//!
//! Dropping it fails a test in which a request or an answer departed from the API's contract.

use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Deref;
use std::thread;

use atoms_kafka_bridge::event::Stage;
use atoms_kafka_bridge::sender::samples::api::Recorded;
use atoms_kafka_bridge::sender::simulator::{self, KEY};
use tokio::runtime::Runtime;

use super::bridge::Bridge;

/// A running simulator.
#[derive(Debug)]
pub(crate) struct Simulator {
    simulator: simulator::Simulator,
    runtime: Runtime,
}

impl Simulator {
    /// Starts one without agents, webhooks and calls.
    pub(crate) fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let simulator = runtime.block_on(simulator::Simulator::start(address));
        Self {
            simulator: simulator.expect("a free port"),
            runtime,
        }
    }

    /// A bridge that knows this API and its key.
    pub(crate) fn known_to(&self, bridge: Bridge) -> Bridge {
        bridge
            .with("ATOMS__BASE_URL", &self.simulator.base_url())
            .with_variable("ATOMS_API_KEY", KEY)
    }

    /// A call comes to a stage, and who subscribes to that is told.
    pub(crate) fn advance(&self, call_id: &str, stage: Stage) {
        self.runtime
            .block_on(self.simulator.advance(call_id, stage));
    }

    /// A call from beginning to end, with its deliveries.
    pub(crate) fn play(&self, call: Recorded) {
        self.runtime.block_on(self.simulator.play(call));
    }
}

impl Deref for Simulator {
    type Target = simulator::Simulator;

    fn deref(&self) -> &Self::Target {
        &self.simulator
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        if !thread::panicking() {
            assert_eq!(self.simulator.departures(), Vec::<String>::new());
        }
    }
}
