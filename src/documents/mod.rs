//! The documents beside the schemas: an AsyncAPI document for tools, a reference for people. Pure.
//!
//! Both are generated from the published schemas and from the tables of topics and headers here, and `schemas diff` fails
//! when a file is not what this build generates, so that none of them can drift from what is on the topics. The files tell
//! of the defaults of the configuration, `schemas show` of the one in force.

mod asyncapi;
mod example;
pub mod headers;
mod reference;
mod shared;
mod topics;

use crate::config::Config;
use crate::event::schema::Published;

/// The name by which `schemas show` knows the AsyncAPI document.
pub const ASYNCAPI: &str = "asyncapi";
/// The name by which `schemas show` knows the reference.
pub const REFERENCE: &str = "reference";

/// All documents for a configuration, in the form of the schemas that they lie beside.
pub fn published(config: &Config) -> Vec<Published> {
    vec![
        Published {
            topic: ASYNCAPI,
            file: "asyncapi.yaml".to_owned(),
            text: asyncapi::document(config),
        },
        Published {
            topic: REFERENCE,
            file: "reference.md".to_owned(),
            text: reference::document(config),
        },
    ]
}
