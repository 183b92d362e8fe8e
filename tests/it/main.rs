//! The single integration binary.

mod bodies;
mod golden;
mod nothing_missing;
mod tree;
