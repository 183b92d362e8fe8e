//! The one integration binary: every test here runs real programs over real sockets, or real input through the library.
//!
//! The broker is Apache Kafka itself, the readers are kcat and Kafka's own Java clients, the bridge is the built
//! binary. Nothing is skipped: what is missing on the machine fails with a line that says how to get it, and
//! `tests/run` brings it all. A file here is named after the behaviour that it proves; `harness` holds what they share.

#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a test that meets what it did not expect is to end there"
)]

#[allow(
    dead_code,
    reason = "the harness is one toolbox; a tool may wait for the test that needs it"
)]
mod harness;

mod abuse;
mod acknowledgement;
mod all_topic;
mod atoms_commands;
mod atoms_connect;
mod bodies;
mod broker;
mod check;
mod check_broken;
mod check_rights;
mod cloud_events;
mod commands;
mod console;
mod consumers;
mod damage;
mod deployment;
mod dev;
mod disk_errors;
mod disk_full;
mod documents;
mod encodings;
mod export;
mod faults;
mod flood;
mod fsync_trace;
mod golden;
mod golden_api;
mod http_table;
mod logs;
mod metrics;
mod nothing_missing;
mod nothing_missing_api;
mod outage;
mod partitions;
mod poison;
mod processes;
mod proxies;
mod quarantine;
mod readme;
mod reconcile;
mod reconcile_several;
mod reconcile_span;
mod reconcile_task;
mod recover_mark;
mod recover_order;
mod recover_torn;
mod recovery;
mod registry_access;
mod registry_ids;
mod registry_outage;
mod registry_register;
mod released;
mod reload;
mod reload_wrong;
mod replay;
mod road;
mod secrets;
mod secured;
mod senders;
mod starting;
mod stopping;
mod supply;
mod surroundings;
mod topics;
mod traces;
mod tree;
