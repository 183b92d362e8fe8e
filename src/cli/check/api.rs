//! Atoms' API: whether it takes the key.

use super::finding::{Finding, State};
use crate::atoms::{AtomsError, Client};
use crate::config::Config;

/// Asks the cheapest question that there is, once.
pub(super) async fn api(config: &Config) -> Vec<Finding> {
    if config.atoms.api_key.is_none() {
        return vec![Finding::ok(
            "api",
            "no key is configured: nothing is asked of Atoms' API",
        )];
    }
    let asked = match Client::new(&config.atoms) {
        Ok(client) => client.with_tries(1).check_key().await,
        Err(error) => Err(error),
    };
    vec![match asked {
        Ok(()) => Finding::ok(
            "api",
            format!("the key is taken by {}", config.atoms.base_url),
        ),
        Err(error) => of_error(&error),
    }]
}

/// That the API is away keeps no delivery from being taken.
fn of_error(error: &AtomsError) -> Finding {
    let state = match error.may_pass() {
        true => State::Warning,
        false => State::Failure,
    };
    let told = error.to_string();
    let finding = match told.rsplit_once(": check ") {
        Some((what, todo)) => Finding::failure("api", what, format!("check {todo}")),
        None => Finding::of_text("api", &told)
            .or_do("check atoms.api_key and atoms.base_url; deliveries are taken all the same"),
    };
    Finding { state, ..finding }
}
