//! A secret: never empty, never printed.

use std::fmt;

/// Bytes that sign or prove something. `Debug` and logs show `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<[u8]>);

impl Secret {
    /// Takes the bytes of a secret, less one trailing newline; `None` when nothing is left.
    ///
    /// Anyone could sign with an empty secret.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let bytes = bytes.strip_suffix(b"\r").unwrap_or(bytes);
        (!bytes.is_empty()).then(|| Self(bytes.into()))
    }

    /// The bytes, for a MAC or a comparison in constant time.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
