//! The sender's side: its API, and what the bridge does with it.
//!
//! ```text
//! contract   what the API is: paths, parameters, limits and shapes, in one table; the one place to change with it
//! client     asks it: at a measured pace, again when that helps, never longer than it is told to
//! pace       how fast, and how long to wait before a question is asked again
//! answers    what is read out of the answers
//! error      why there is no answer; never with the key, a body or a number in it
//! ```
//!
//! Whatever is read here was written by others: an answer of another shape is an error, never a panic, and nothing of a
//! call's content reaches a log or an error.

pub mod answers;
pub mod client;
pub mod contract;
pub mod error;
mod pace;

pub use client::Client;
pub use error::AtomsError;

#[cfg(test)]
mod tests;
