//! Takes the webhooks of Smallest.ai's Atoms voice agents and puts every call into Kafka, complete, once, in one
//! clean shape.
//!
//! # The road of a delivery
//!
//! ```text
//! POST /webhooks/{webhook}
//!   receive   bytes, headers, webhook name, time            Delivery
//!   verify    HMAC over the raw bytes, constant time        VerifiedDelivery
//!   append    journal: one fsync shared by all who wait     Stored | Duplicate
//!   answer    200
//!   ─ ─ ─ the sender is gone; nothing below can lose it ─ ─ ─
//!   parse     bytes → canonical event, pure                 Event
//!   route     event → topic, key, partition, headers, pure  Record
//!   publish   Kafka transactions, in journal order          Committed
//!   settle    journal rows below the committed mark are published
//! ```

pub mod bridge;
pub mod cli;
pub mod config;
pub mod dialect;
pub mod event;
pub mod failpoint;
pub mod journal;
pub mod publish;
pub mod receive;
pub mod route;
pub mod telemetry;
pub mod time;
pub mod verify;
