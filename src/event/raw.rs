//! JSON that passes as it is: numbers digit for digit, `variables`, whatever no field carries.

use std::borrow::Cow;

use serde::ser::Error as _;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// A JSON value as text. Whoever makes one has it from a body that was read, or from a writer of JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raw<'a>(Cow<'a, str>);

impl<'a> Raw<'a> {
    /// A text that is known to be JSON.
    pub fn of(json: impl Into<Cow<'a, str>>) -> Self {
        Self(json.into())
    }

    /// The text.
    pub fn json(&self) -> &str {
        &self.0
    }
}

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &RawValue = serde_json::from_str(&self.0).map_err(S::Error::custom)?;
        raw.serialize(serializer)
    }
}
