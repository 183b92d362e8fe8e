//! Keys that later versions read: checked now, used by nothing yet, and said so.

use super::keys::Key;
use super::problem::ProblemKind;
use super::reader::Reader;
use super::settings::Value;
use super::values::URL;

pub(super) const KEYS: &[Key] = &[
    Key::optional("listen.tls"),
    Key::optional("listen.tls.cert"),
    Key::optional("listen.tls.key"),
    Key::optional("atoms.api_key"),
    Key::optional("atoms.base_url"),
];

pub(super) fn read(reader: &mut Reader<'_>) {
    reader.value("atoms.base_url", &URL);
    if let Some(setting) = reader.settings.get("atoms.api_key") {
        match &setting.value {
            Value::Scalar(text) => drop(reader.secret_source("atoms.api_key", text)),
            Value::List(_) | Value::Other(_) => {
                reader.reject("atoms.api_key", ProblemKind::SecretSpelling);
            }
        }
    }
    for key in KEYS {
        let Some(setting) = reader.settings.get(key.name) else {
            continue;
        };
        if key.name.starts_with("listen.tls") {
            reader.reject(key.name, ProblemKind::NoTls);
        } else {
            reader.warn(format!(
                "{}: {} is not used by this version",
                setting.origin, key.name
            ));
        }
    }
}
