//! `listen.console…`: where the console is, and who may look.
//!
//! It shows what people said. So it is on loopback, or it asks for a token; nothing between.

use std::net::SocketAddr;

use super::Need;
use super::keys::Key;
use super::problem::ProblemKind;
use super::reader::Reader;
use super::secret_source::SecretSource;
use super::settings::{Setting, Value};
use super::values::Kind;
use crate::verify::secret::Secret;

/// `listen.console…`: the page for people.
#[derive(Debug, Clone)]
pub struct Console {
    /// Where it listens. Default `127.0.0.1:8082`.
    pub address: SocketAddr,
    /// What whoever looks must know; without it only this machine's users may look.
    pub token: Option<Secret>,
    /// Names by which it is reached besides loopback's and plain addresses, in lower case.
    pub hosts: Vec<String>,
}

pub(super) const KEYS: &[Key] = &[
    Key::with_default(ADDRESS, "127.0.0.1:8082"),
    Key::optional(TOKEN),
    Key::optional(HOSTS),
];

/// Whether a key's value proves something.
pub(super) fn is_secret(key: &str) -> bool {
    key == TOKEN
}

/// `None` inside: there is none. `None` outside: after a complaint.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Option<Console>> {
    let address = reader.value(ADDRESS, &CONSOLE);
    let token = token(reader);
    let hosts = hosts(reader);
    let address = match address? {
        Listening::Off => return Some(None),
        Listening::At(address) => address,
    };
    if !address.ip().is_loopback() && reader.settings.get(TOKEN).is_none() {
        reader.reject(ADDRESS, ProblemKind::ConsoleWithoutToken);
        return None;
    }
    Some(Some(Console {
        address,
        token: token?,
        hosts: hosts?,
    }))
}

/// A token that cannot be resolved is missed by whoever opens the console.
fn token(reader: &mut Reader<'_>) -> Option<Option<Secret>> {
    let Some(setting) = reader.settings.get(TOKEN) else {
        return Some(None);
    };
    let Setting {
        value: Value::Scalar(text),
        ..
    } = setting
    else {
        reader.reject(TOKEN, ProblemKind::SecretSpelling);
        return None;
    };
    let source: SecretSource = reader.secret_source(TOKEN, text)?;
    match source.resolve(reader.environment) {
        Ok(token) if token.expose().len() < SHORTEST_TOKEN_BYTES => {
            reader.reject(TOKEN, ProblemKind::ShortToken);
            None
        }
        Ok(token) => Some(Some(token)),
        Err(problem) => {
            reader.miss(Need::Console, TOKEN, problem);
            Some(None)
        }
    }
}

fn hosts(reader: &mut Reader<'_>) -> Option<Vec<String>> {
    if reader.settings.get(HOSTS).is_none() {
        return Some(Vec::new());
    }
    let hosts = reader.list(HOSTS)?;
    if let Some(odd) = hosts.iter().find(|host| !is_host(host)) {
        reader.reject(
            HOSTS,
            ProblemKind::Value {
                found: odd.clone(),
                accepted: "names of hosts such as bridge.example.com, without port or path",
            },
        );
        return None;
    }
    Some(hosts.iter().map(|host| host.to_ascii_lowercase()).collect())
}

fn is_host(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'.';
    !text.is_empty() && text.bytes().all(plain)
}

#[derive(Debug, Clone, Copy)]
enum Listening {
    Off,
    At(SocketAddr),
}

const CONSOLE: Kind<Listening> = Kind {
    accepted: "an address and port such as 127.0.0.1:8082, or \"off\"",
    read: |text| match text {
        "off" => Some(Listening::Off),
        _ => text.parse().ok().map(Listening::At),
    },
};

const ADDRESS: &str = "listen.console";
const TOKEN: &str = "listen.console_token";
const HOSTS: &str = "listen.console_hosts";
/// What nobody guesses over a network.
const SHORTEST_TOKEN_BYTES: usize = 16;
