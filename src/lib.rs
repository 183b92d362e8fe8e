//! Takes the webhooks of Smallest.ai's Atoms voice agents and puts every call into Kafka, complete, once, in one
//! clean shape.
//!
//! # The road of a delivery
//!
//! ```text
//! POST /webhooks/{webhook}
//!   receive   bytes, headers, webhook name, time            Delivery
//!   verify    HMAC over the raw bytes, constant time        VerifiedDelivery    else 401
//!   append    journal: one fsync shared by all who wait     Stored | Duplicate  else 503
//!   answer    200
//!   ─ ─ ─ the sender is gone; nothing below can lose it ─ ─ ─
//!   parse     bytes → canonical event, pure                 Event               else dead letter
//!   route     event → topic, key, partition, headers, pure  Record
//!   publish   Kafka transactions, in journal order          Committed
//!   settle    journal rows below the committed mark are published
//! ```
//!
//! What never arrived is fetched from the sender's API and enters at append ([`reconcile`]).
//!
//! There is one road, whatever state Kafka is in: no second path that would have to be kept in step with the first.
//!
//! # What it promises
//!
//! - A 200 is said after the fsync that holds the delivery ([`journal`]), since the sender never sends again.
//! - What was answered 200 is on its topic exactly once for readers that read committed, in the order of the answers
//!   within a topic and call ([`publish`]).
//! - Nothing in the content of a signed delivery can cause a refusal, and nothing that was sent is missing from its event
//!   ([`dialect`]).
//!
//! # What is inside better than designed
//!
//! - A reconciled analytics-completed keeps the `unmapped` of `postCallAnalytics`: an evaluation comes later than the call's
//!   end, often when the post-conversation that would have carried it is long published, and it would be nowhere
//!   ([`dialect::api`]).
//!
//! # What is absent on purpose
//!
//! - A direct way to Kafka that skips the journal: it would save an fsync and cost a second set of failures.
//! - `FutureProducer`: it sleeps and reorders when its queue is full.
//! - A task for each delivery: between the last byte of a body and the journal's queue nothing is awaited, so a sender
//!   that hangs up cannot cancel half of it.
//! - A general JSON tree: numbers, `variables` and unknown fields pass as the digits and letters that were sent.
//! - Storage, enrichment, joins: they are downstream of the topics.

pub mod atoms;
pub mod bridge;
pub mod cli;
pub mod config;
pub mod console;
pub mod control;
pub mod dialect;
pub mod documents;
pub mod event;
pub mod failpoint;
pub mod journal;
pub mod metrics;
mod nice;
pub mod publish;
pub mod receive;
pub mod reconcile;
pub mod registry;
pub mod reload;
pub mod route;
pub mod sender;
pub mod telemetry;
pub mod time;
pub mod traces;
pub mod verify;
