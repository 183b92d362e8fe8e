//! Plays the sender's platform, for whoever has none at hand: `send`, `dev`, and the tests.
//!
//! ```text
//! samples     calls as the platform tells of them: their deliveries in every dialect, and what the API knows of them
//! post        signs a body and posts it, once, as the platform does
//! simulator   the API and the platform's webhooks in one: what is set up there is delivered to
//! ```

pub mod post;
pub mod samples;
pub mod simulator;
