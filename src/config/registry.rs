//! `[registry]`: where the schemas are registered, and where a record says which one is its own.

use std::path::PathBuf;

use super::Need;
use super::keys::Key;
use super::problem::ProblemKind;
use super::reader::Reader;
use super::secret_source::SecretSource;
use super::settings::{Setting, Value};
use super::values::{Kind, PATH, URL};
use crate::verify::secret::Secret;

/// `[registry]`: a schema registry with the Confluent-compatible API.
#[derive(Debug, Clone)]
pub struct Registry {
    /// The root of its API, without a slash at the end.
    pub url: String,
    /// Where a record carries its schema's id. Default: the header.
    pub schema_id: SchemaId,
    /// How the bridge proves who it is; absent: not at all.
    pub credentials: Option<Credentials>,
    /// The certificates that the registry's own is checked by, in PEM; absent: the system's.
    pub ca: Option<PathBuf>,
}

/// Where a record carries its schema's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SchemaId {
    /// In the header `__value_schema_id`; the value stays plain JSON.
    Header,
    /// In five bytes before the value.
    Prefix,
    /// Nowhere.
    None,
}

/// How the bridge proves who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Credentials {
    /// HTTP Basic.
    Basic {
        /// The name, or the key's id.
        username: String,
        /// The password, or the key.
        password: Secret,
    },
    /// HTTP Bearer.
    Bearer(Secret),
}

pub(super) const KEYS: &[Key] = &[
    Key::optional("registry.url"),
    Key::optional("registry.schema_id"),
    Key::optional("registry.username"),
    Key::optional("registry.password"),
    Key::optional("registry.token"),
    Key::optional("registry.ca"),
];

/// Whether a key's value proves something.
pub(super) fn is_secret(key: &str) -> bool {
    ["registry.password", "registry.token"].contains(&key)
}

/// `None` inside: there is no registry. `None` outside: after a complaint.
pub(super) fn read(reader: &mut Reader<'_>) -> Option<Option<Registry>> {
    let url = match reader.settings.get("registry.url") {
        Some(_) => Some(url(reader)?),
        None => None,
    };
    let schema_id = reader.value("registry.schema_id", &SCHEMA_ID);
    let ca = reader.value("registry.ca", &PATH);
    let credentials = credentials(reader);
    let Some(url) = url else {
        return without_url(reader, schema_id);
    };
    Some(Some(Registry {
        url,
        schema_id: schema_id.unwrap_or(SchemaId::Header),
        credentials: credentials?,
        ca,
    }))
}

/// A consumer that was told to expect an id would meet records without one.
fn without_url(reader: &mut Reader<'_>, schema_id: Option<SchemaId>) -> Option<Option<Registry>> {
    let asks = |key: &&Key| {
        let is_set = reader.settings.get(key.name).is_some();
        let places_none = matches!(schema_id, None | Some(SchemaId::None));
        is_set && !(key.name == "registry.schema_id" && places_none)
    };
    let Some(key) = KEYS.iter().find(asks) else {
        return Some(None);
    };
    reader.reject(key.name, ProblemKind::NoRegistryUrl);
    None
}

/// Without what would be shown wherever the address is.
fn url(reader: &mut Reader<'_>) -> Option<String> {
    if let Some(Setting {
        value: Value::Scalar(text),
        ..
    }) = reader.settings.get("registry.url")
        && text.contains(['@', '?', '#'])
    {
        reader.reject("registry.url", ProblemKind::RegistryUrl);
        return None;
    }
    let url = reader.value("registry.url", &URL)?;
    Some(url.trim_end_matches('/').to_owned())
}

/// `None` outside: after a complaint. A secret that cannot be resolved is missed by those who need the registry.
fn credentials(reader: &mut Reader<'_>) -> Option<Option<Credentials>> {
    let username = reader.value("registry.username", &USERNAME);
    let is_set = |key: &str| reader.settings.get(key).is_some();
    let (named, password, token) = (
        is_set("registry.username"),
        is_set("registry.password"),
        is_set("registry.token"),
    );
    if named != password {
        let key = if named {
            "registry.username"
        } else {
            "registry.password"
        };
        reader.reject(key, ProblemKind::HalfCredentials);
        return None;
    }
    if named && token {
        reader.reject("registry.token", ProblemKind::TwoCredentials);
        return None;
    }
    if token {
        return Some(secret(reader, "registry.token").map(Credentials::Bearer));
    }
    if named {
        let password = secret(reader, "registry.password");
        let basic = username.zip(password);
        return Some(basic.map(|(username, password)| Credentials::Basic { username, password }));
    }
    Some(None)
}

fn secret(reader: &mut Reader<'_>, key: &str) -> Option<Secret> {
    let Some(Setting {
        value: Value::Scalar(text),
        ..
    }) = reader.settings.get(key)
    else {
        reader.reject(key, ProblemKind::SecretSpelling);
        return None;
    };
    let source: SecretSource = reader.secret_source(key, text)?;
    let resolved = source.resolve(reader.environment);
    resolved
        .map_err(|problem| reader.miss(Need::Registry, key, problem))
        .ok()
}

const SCHEMA_ID: Kind<SchemaId> = Kind {
    accepted: "\"header\", \"prefix\" or \"none\"",
    read: |text| match text {
        "header" => Some(SchemaId::Header),
        "prefix" => Some(SchemaId::Prefix),
        "none" => Some(SchemaId::None),
        _ => None,
    },
};

const USERNAME: Kind<String> = Kind {
    accepted: "a user's name or a key's id, without a colon",
    read: |text| (!text.is_empty() && !text.contains(':')).then(|| text.to_owned()),
};
