//! Puts the id of its schema on a record, as consumers were told to expect it; pure.

use std::collections::HashMap;

use crate::config::SchemaId;
use crate::route::Record;

/// A schema's id as it travels: a zero, then the id, the highest byte first.
pub type Frame = [u8; 5];

/// Which topic's records say which id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framing {
    place: SchemaId,
    frames: HashMap<String, Frame>,
}

impl Framing {
    /// No record says anything.
    pub fn none() -> Self {
        Self::new(SchemaId::None)
    }

    /// Nothing is known yet.
    pub fn new(place: SchemaId) -> Self {
        Self {
            place,
            frames: HashMap::new(),
        }
    }

    /// Notes a topic's id; whether it is news.
    pub fn learn(&mut self, topic: &str, id: u32) -> bool {
        self.frames.insert(topic.to_owned(), frame(id)) != Some(frame(id))
    }

    /// Whether a topic's id is known.
    pub fn knows(&self, topic: &str) -> bool {
        self.frames.contains_key(topic)
    }

    /// Puts the id on a record. A dead letter's topic has none, and its bytes stay as they came.
    pub fn apply(&self, record: &mut Record) {
        let Some(frame) = self.frames.get(&record.topic) else {
            return;
        };
        match self.place {
            SchemaId::Header => record.schema_id = Some(*frame),
            SchemaId::Prefix => drop(record.value.splice(..0, frame.iter().copied())),
            SchemaId::None => {}
        }
    }
}

/// An event's value without the id that may stand before it. An event is a JSON object, and nothing else begins so.
pub fn unframed(value: &[u8]) -> &[u8] {
    match value {
        [0, _, _, _, _, event @ ..] if event.first() == Some(&b'{') => event,
        plain => plain,
    }
}

fn frame(id: u32) -> Frame {
    let [a, b, c, d] = id.to_be_bytes();
    [0, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn framed(place: SchemaId, topic: &str) -> Record {
        let mut record = Record {
            topic: topic.to_owned(),
            partition: 0,
            key: None,
            headers: Vec::new(),
            schema_id: None,
            timestamp: Timestamp::from_unix_ms(0),
            value: b"{}".to_vec(),
        };
        let mut framing = Framing::new(place);
        assert!(framing.learn("a", 0x0102_03ff));
        assert!(!framing.learn("a", 0x0102_03ff));
        framing.apply(&mut record);
        record
    }

    #[test]
    fn an_id_stands_where_it_was_asked_for() {
        let id = [0, 1, 2, 3, 0xff];
        let header = framed(SchemaId::Header, "a");
        assert_eq!(
            (header.schema_id, header.value.as_slice()),
            (Some(id), &b"{}"[..])
        );
        let prefix = framed(SchemaId::Prefix, "a");
        assert_eq!(
            (prefix.schema_id, prefix.value.as_slice()),
            (None, &b"\0\x01\x02\x03\xff{}"[..])
        );
        assert_eq!(unframed(&prefix.value), b"{}");
        for plain in [framed(SchemaId::None, "a"), framed(SchemaId::Prefix, "b")] {
            assert_eq!(
                (plain.schema_id, plain.value.as_slice()),
                (None, &b"{}"[..])
            );
            assert_eq!(unframed(&plain.value), b"{}");
        }
    }
}
