//! Keys that later versions read: checked now, used by nothing yet, and said so.

use super::keys::Key;
use super::reader::Reader;
use super::values::ADDRESS;

pub(super) const KEYS: &[Key] = &[Key::optional("listen.console")];

pub(super) fn read(reader: &mut Reader<'_>) {
    reader.value("listen.console", &ADDRESS);
    for key in KEYS {
        let Some(setting) = reader.settings.get(key.name) else {
            continue;
        };
        reader.warn(format!(
            "{}: {} is not used by this version",
            setting.origin, key.name
        ));
    }
}
