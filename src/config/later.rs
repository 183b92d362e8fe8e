//! Keys that later versions read: checked now, used by nothing yet, and said so.

use super::keys::Key;
use super::problem::ProblemKind;
use super::reader::Reader;
use super::values::ADDRESS;

pub(super) const KEYS: &[Key] = &[
    Key::optional("listen.console"),
    Key::optional("listen.tls"),
    Key::optional("listen.tls.cert"),
    Key::optional("listen.tls.key"),
];

pub(super) fn read(reader: &mut Reader<'_>) {
    reader.value("listen.console", &ADDRESS);
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
