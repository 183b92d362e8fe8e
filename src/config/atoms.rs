//! `[atoms]`: the sender's API, by which the bridge sets itself up and fetches what it missed.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::Need;
use super::environment::Environment;
use super::keys::Key;
use super::problem::ProblemKind;
use super::reader::Reader;
use super::settings::{Origin, Setting, Settings, Value};
use super::values::{DURATION, Kind, URL};
use crate::verify::secret::Secret;

/// `[atoms]`
#[derive(Debug, Clone)]
pub struct Atoms {
    /// What the API knows the bridge by; absent: nothing is asked of the API.
    pub api_key: Option<Secret>,
    /// The root of the API, without a slash at the end.
    pub base_url: String,
    /// How many requests a second the bridge allows itself. Default 5: half of what the smallest plan allows, so that
    /// whatever else uses the key is not starved.
    pub requests_per_second: u32,
    /// How long a request may take. Default 30 s.
    pub timeout: Duration,
    /// How often the bridge asks for calls whose events it missed; `None`: only when a command does. Default 1 min.
    pub reconcile_every: Option<Duration>,
    /// How long a call's events may take to come by themselves after its end. Default 10 min.
    pub settling_time: Duration,
    /// For how long after a call's end its evaluation is asked for, with growing pauses. Default 24 h.
    pub analytics_patience: Duration,
}

pub(super) const KEYS: &[Key] = &[
    Key::optional(API_KEY),
    Key::with_default("atoms.base_url", "https://api.smallest.ai/atoms/v1"),
    Key::with_default("atoms.requests_per_second", "5"),
    Key::with_default("atoms.timeout", "30s"),
    Key::with_default("atoms.reconcile_every", "1m"),
    Key::with_default("atoms.settling_time", "10m"),
    Key::with_default("atoms.analytics_patience", "24h"),
];

/// The key is in its usual variable, unless somebody says otherwise. Without either there is none, which is no error.
pub(super) fn lay_defaults(settings: &mut Settings, environment: &Environment) {
    if environment.get(USUAL_VARIABLE).is_some() {
        let usual = format!("env:{USUAL_VARIABLE}");
        settings.set_default(API_KEY.to_owned(), Value::Scalar(usual));
    }
}

pub(super) fn read(reader: &mut Reader<'_>) -> Option<Atoms> {
    let api_key = api_key(reader);
    let base_url = base_url(reader);
    let requests_per_second = reader.value("atoms.requests_per_second", &RATE);
    let timeout = reader.value("atoms.timeout", &DURATION);
    let reconcile_every = reader.value("atoms.reconcile_every", &EVERY);
    let settling_time = reader.value("atoms.settling_time", &DURATION);
    let analytics_patience = reader.value("atoms.analytics_patience", &DURATION);
    let base_url = base_url?;
    if api_key.is_some() && base_url.starts_with("http://") && !names_this_machine(&base_url) {
        reader.warn(format!(
            "{}: atoms.base_url is plain HTTP: whoever is on the way can read the API key",
            reader.settings.origin_of("atoms.base_url")
        ));
    }
    Some(Atoms {
        api_key,
        base_url,
        requests_per_second: requests_per_second?,
        timeout: timeout?,
        reconcile_every: reconcile_every?,
        settling_time: settling_time?,
        analytics_patience: analytics_patience?,
    })
}

/// Without what would be shown wherever the address is.
fn base_url(reader: &mut Reader<'_>) -> Option<String> {
    let url = reader.value("atoms.base_url", &URL)?;
    if url.contains(['@', '?', '#']) {
        reader.reject("atoms.base_url", ProblemKind::AtomsUrl);
        return None;
    }
    Some(url.trim_end_matches('/').to_owned())
}

fn api_key(reader: &mut Reader<'_>) -> Option<Secret> {
    let text = match reader.settings.get(API_KEY) {
        None => {
            reader.miss(Need::ApiKey, API_KEY, ProblemKind::NoApiKey);
            return None;
        }
        Some(Setting {
            value: Value::Scalar(text),
            ..
        }) => text,
        Some(_) => {
            reader.reject(API_KEY, ProblemKind::SecretSpelling);
            return None;
        }
    };
    let source = reader.secret_source(API_KEY, text)?;
    let resolved = source.resolve(reader.environment);
    // What nobody set but the environment by its usual name cannot be wrong in a way that stops the bridge.
    let need = match reader.settings.origin_of(API_KEY) {
        Origin::Default => Need::ApiKey,
        Origin::File { .. } | Origin::Env { .. } => Need::Atoms,
    };
    resolved
        .map_err(|problem| reader.miss(need, API_KEY, problem))
        .ok()
}

fn names_this_machine(url: &str) -> bool {
    let rest = url.strip_prefix("http://").unwrap_or_default();
    let host = rest.split('/').next().unwrap_or_default();
    let address = host.parse::<SocketAddr>().map(|address| address.ip());
    let ip = address.or_else(|_| host.trim_matches(['[', ']']).parse::<IpAddr>());
    let name = host.split(':').next();
    ip.is_ok_and(|ip| ip.is_loopback()) || name == Some("localhost")
}

const RATE: Kind<u32> = Kind {
    accepted: "a whole number from 1 to 100, what Atoms' largest plan allows",
    read: |text| text.parse().ok().filter(|rate| (1..=100).contains(rate)),
};

const EVERY: Kind<Option<Duration>> = Kind {
    accepted: "a duration above 0 such as 30s, 1m or 1h, or \"off\"",
    read: |text| match text {
        "off" => Some(None),
        _ => (DURATION.read)(text).map(Some),
    },
};

const API_KEY: &str = "atoms.api_key";
const USUAL_VARIABLE: &str = "ATOMS_API_KEY";
