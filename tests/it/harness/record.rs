//! A record as a foreign client printed it.

use serde_json::Value;

/// One record read back from Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    /// Its topic.
    pub(crate) topic: String,
    /// Its partition.
    pub(crate) partition: i32,
    /// Its offset. Control records take offsets too: count records, never offsets.
    pub(crate) offset: i64,
    /// Milliseconds since 1970.
    pub(crate) timestamp_ms: i64,
    /// Its key, if it has one.
    pub(crate) key: Option<String>,
    /// Its headers, in their order. Bytes that are not UTF-8 are replaced.
    pub(crate) headers: Vec<(String, String)>,
    /// Its value, byte for byte.
    pub(crate) value: Vec<u8>,
}

impl Record {
    /// The first header of that name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    /// The value as JSON. Panics with the value when it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.value)
            .unwrap_or_else(|error| panic!("{error} in {}", String::from_utf8_lossy(&self.value)))
    }

    /// A key that must be there.
    pub(crate) fn key(&self) -> &str {
        self.key
            .as_deref()
            .unwrap_or_else(|| panic!("no key on {self:?}"))
    }
}

/// Puts records into the order of topic, partition and offset.
pub(crate) fn sort(records: &mut [Record]) {
    records.sort_by(|a, b| {
        let place = |record: &Record| (record.partition, record.offset);
        a.topic.cmp(&b.topic).then(place(a).cmp(&place(b)))
    });
}
