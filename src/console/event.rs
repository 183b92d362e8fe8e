//! A stored delivery read as the publisher reads it.

use crate::dialect::{self, Arrival, Unreadable, encoding};
use crate::event::Event;
use crate::event::json::Document;
use crate::journal::read::Shown;

/// A delivery's body with its `Content-Encoding` undone.
///
/// # Errors
///
/// When it cannot be undone, or the disk has damaged the body.
pub(super) fn decoded(
    (_, headers, body, intact): &Shown,
    limit_bytes: usize,
) -> Result<Vec<u8>, Unreadable> {
    if !intact {
        return Err(Unreadable::Damaged);
    }
    let body = body.as_deref().unwrap_or_default();
    let encodings = headers.content_encoding.as_deref();
    encoding::decode(body, encodings, limit_bytes).map(std::borrow::Cow::into_owned)
}

/// What a delivery is otherwise known by.
pub(super) fn arrival((entry, ..): &Shown) -> Arrival<'_> {
    Arrival {
        webhook: &entry.webhook,
        id: &entry.id,
        received_at: entry.received_at,
        origin: entry.origin,
    }
}

/// Reads a decoded body.
///
/// # Errors
///
/// When it is no event.
pub(super) fn read<T>(
    body: &[u8],
    arrival: &Arrival<'_>,
    take: impl FnOnce(&Event<'_>) -> T,
) -> Result<T, Unreadable> {
    let document = Document::parse(body)?;
    Ok(take(&dialect::parse(&document, arrival)?))
}

/// The canonical event as the topics have it.
pub(super) fn written(event: &Event<'_>) -> String {
    // As in `route`: writing to memory cannot fail.
    serde_json::to_string(event).unwrap_or_default()
}
