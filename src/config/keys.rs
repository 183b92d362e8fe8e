//! Which keys there are: their defaults, and what was meant by a key that is not there.

use super::environment::variable_of;
use super::problem::{Problem, ProblemKind};
use super::settings::{Origin, Settings, Value, strip_section};
use super::{atoms, console, journal, listen, registry, topics, webhooks};

/// A key with its default as it would be written.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) default: Option<&'static str>,
}

impl Key {
    pub(super) const fn with_default(name: &'static str, default: &'static str) -> Self {
        Self {
            name,
            default: Some(default),
        }
    }

    pub(super) const fn optional(name: &'static str) -> Self {
        Self {
            name,
            default: None,
        }
    }
}

/// Keys below `[webhooks.NAME]`.
pub(super) const WEBHOOK_KEYS: [&str; 6] = webhooks::KEYS;

const SECTIONS: [&str; 7] = [
    "listen", "webhooks", "journal", "kafka", "topics", "registry", "atoms",
];

fn keys() -> impl Iterator<Item = &'static Key> {
    listen::KEYS
        .iter()
        .chain(console::KEYS)
        .chain(journal::KEYS)
        .chain(topics::KEYS)
        .chain(registry::KEYS)
        .chain(atoms::KEYS)
}

/// Lays what nobody set below everything else.
pub(super) fn lay_defaults(settings: &mut Settings) {
    for key in keys() {
        if let Some(default) = key.default {
            settings.set_default(key.name.to_owned(), Value::Scalar(default.to_owned()));
        }
    }
    webhooks::lay_defaults(settings);
}

/// Finds every key and table that nobody reads.
pub(super) fn reject_unknown(settings: &Settings, problems: &mut Vec<Problem>) {
    for (key, setting) in settings.iter() {
        if let Some(kind) = judge(key, &setting.origin) {
            problems.push(Problem {
                key: key.to_owned(),
                origin: setting.origin.clone(),
                kind,
            });
        }
    }
    let is_used = |table: &str| settings.below(table).next().is_some();
    for (table, origin) in settings.tables() {
        // What stands in a table is judged by its own key.
        if !is_used(table) && !is_table(table) {
            problems.push(Problem {
                key: table.to_owned(),
                origin: origin.clone(),
                kind: ProblemKind::UnknownKey(meant(table, origin)),
            });
        }
    }
}

fn judge(key: &str, origin: &Origin) -> Option<ProblemKind> {
    if SECTIONS.contains(&key) {
        return Some(ProblemKind::Section(key.to_owned()));
    }
    if strip_section(key, "kafka").is_some() || keys().any(|known| known.name == key) {
        return None;
    }
    if let Some(rest) = strip_section(key, "webhooks") {
        if webhooks::split(rest).is_some() {
            return None;
        }
        if !rest.contains('.') {
            return Some(ProblemKind::Section(format!("webhooks.{rest}")));
        }
    }
    Some(ProblemKind::UnknownKey(meant(key, origin)))
}

fn is_table(key: &str) -> bool {
    let is_webhook = || strip_section(key, "webhooks").is_some_and(|name| !name.contains('.'));
    let holds_keys = || keys().any(|known| strip_section(known.name, key).is_some());
    SECTIONS.contains(&key) || strip_section(key, "kafka").is_some() || is_webhook() || holds_keys()
}

/// What an unknown key was meant to be, spelled for the layer that it stands in.
fn meant(key: &str, origin: &Origin) -> String {
    let spell = |known: &str| match origin {
        Origin::Env { .. } => variable_of(known),
        Origin::Default | Origin::File { .. } => known.to_owned(),
    };
    let known = candidates(key);
    let nearest = known
        .iter()
        .map(|known| (strsim::damerau_levenshtein(key, known), known))
        .min();
    let within = |most: usize| nearest.filter(|(distance, _)| *distance <= most);
    // The right key in the wrong section is likelier than many slips of the finger in the right one.
    let elsewhere = || {
        let last = key.rsplit('.').next();
        let known = known.iter().find(|known| known.rsplit('.').next() == last);
        known.map(|known| (0, known))
    };
    if let Some((_, known)) = within(2)
        .or_else(elsewhere)
        .or_else(|| within(key.len() / 3))
    {
        return format!("did you mean {}?", spell(known));
    }
    let section = key.split('.').next().unwrap_or_default();
    let siblings: Vec<String> = known
        .iter()
        // Those of the tables in it would bury them.
        .filter(|known| {
            strip_section(known, section)
                .is_some_and(|rest| section == "webhooks" || !rest.contains('.'))
        })
        .map(|known| spell(known))
        .collect();
    if siblings.is_empty() {
        format!("sections are {}", SECTIONS.join(", "))
    } else {
        format!("known here: {}", siblings.join(", "))
    }
}

/// Known keys, with those of webhooks under the name that `key` gives to the webhook.
fn candidates(key: &str) -> Vec<String> {
    let mut parts = key.split('.').skip(1);
    let webhook = match (parts.next(), parts.next()) {
        (Some(name), Some(_)) => name,
        _ => "default",
    };
    let webhooks = WEBHOOK_KEYS
        .iter()
        .map(|known| format!("webhooks.{webhook}.{known}"));
    keys()
        .map(|known| known.name.to_owned())
        .chain(["kafka.bootstrap.servers".to_owned()])
        .chain(SECTIONS.map(str::to_owned))
        .chain(webhooks)
        .collect()
}
