//! Reads a request's body: within a size, within a time, and within the room that all bodies share.
//!
//! The time counts from the end of the header to the last byte, not from byte to byte. What is refused is not read, but
//! for a while thrown away behind the answer: closing with unread bytes resets the connection, and the sender would lose
//! the answer.

use std::time::Duration;

use axum::http::HeaderMap;
use axum::http::header::EXPECT;
use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};

use super::budget::{Budget, Share};

/// How large a body may be and how long it may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) max_bytes: u64,
    pub(super) read_timeout: Duration,
}

/// A whole body and its share of the budget.
pub(super) struct Whole<'a> {
    pub(super) bytes: Bytes,
    pub(super) share: Share<'a>,
}

/// Why a body was not read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum BodyError {
    #[error("the body is larger than listen.max_body")]
    TooLarge,
    #[error("the body did not arrive within listen.read_timeout")]
    TooSlow,
    #[error("bodies under way filled the memory set aside for them")]
    NoRoom,
    #[error("the connection ended or broke the protocol within the body")]
    Broken,
}

impl BodyError {
    /// A stable word for it.
    pub(super) fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::TooSlow => "too-slow",
            Self::NoRoom => "no-room",
            Self::Broken => "not-read",
        }
    }
}

/// Reads a body to its end.
pub(super) async fn read<'a>(
    headers: &HeaderMap,
    body: Incoming,
    limits: Limits,
    budget: &'a Budget,
) -> Result<Whole<'a>, BodyError> {
    let declared_bytes = body.size_hint().lower();
    if declared_bytes > limits.max_bytes {
        refuse(headers, body, limits);
        return Err(BodyError::TooLarge);
    }
    let mut intake = Intake {
        body,
        max_bytes: limits.max_bytes,
        declared_bytes,
        share: budget.share(declared_bytes),
        waits_for_room: false,
    };
    let read = tokio::time::timeout(limits.read_timeout, intake.read()).await;
    match read {
        Ok(Ok(bytes)) => Ok(Whole {
            bytes,
            share: intake.share,
        }),
        Ok(Err(error)) => {
            discard(intake.body, limits);
            Err(error)
        }
        Err(_) if intake.waits_for_room => {
            discard(intake.body, limits);
            Err(BodyError::NoRoom)
        }
        Err(_) => Err(BodyError::TooSlow),
    }
}

/// Leaves a body unread.
pub(super) fn refuse(headers: &HeaderMap, body: Incoming, limits: Limits) {
    // A sender that asked first sends no body; reading on would ask for it.
    if !headers.contains_key(EXPECT) {
        discard(body, limits);
    }
}

/// Throws away what still comes of a body that nobody reads, within limits, so that the sender gets to its answer.
fn discard(mut body: Incoming, limits: Limits) {
    if body.is_end_stream() {
        return;
    }
    tokio::spawn(tokio::time::timeout(limits.read_timeout, async move {
        let mut left_bytes = limits.max_bytes.saturating_add(DISCARDED_BYTES);
        while let Some(Ok(frame)) = body.frame().await {
            let frame_bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
            match left_bytes.checked_sub(frame_bytes) {
                Some(left) => left_bytes = left,
                None => return,
            }
        }
    }));
}

/// A body on its way in.
struct Intake<'a> {
    body: Incoming,
    max_bytes: u64,
    declared_bytes: u64,
    share: Share<'a>,
    waits_for_room: bool,
}

impl Intake<'_> {
    async fn read(&mut self) -> Result<Bytes, BodyError> {
        let Some(first) = self.next(0).await? else {
            return Ok(Bytes::new());
        };
        // Most bodies are one frame, which is taken as it is.
        if self.body.is_end_stream() {
            return Ok(first);
        }
        let Some(second) = self.next(first.len()).await? else {
            return Ok(first);
        };
        let mut whole = Vec::with_capacity(self.declared().min(FIRST_RESERVED_BYTES));
        whole.extend_from_slice(&first);
        drop(first);
        self.append(&mut whole, second);
        while let Some(frame) = self.next(whole.len()).await? {
            self.append(&mut whole, frame);
        }
        Ok(whole.into())
    }

    /// The next bytes, for which there is room beside the `read` ones.
    async fn next(&mut self, read: usize) -> Result<Option<Bytes>, BodyError> {
        while let Some(frame) = self.body.frame().await {
            let Ok(data) = frame.map_err(|_| BodyError::Broken)?.into_data() else {
                continue;
            };
            let total_bytes = (read + data.len()) as u64;
            if total_bytes > self.max_bytes {
                return Err(BodyError::TooLarge);
            }
            self.waits_for_room = true;
            self.share.grow_to(total_bytes).await;
            self.waits_for_room = false;
            return Ok(Some(data));
        }
        Ok(None)
    }

    /// Once a good part has come, the declared size is believed and reserved whole.
    fn append(&self, whole: &mut Vec<u8>, frame: Bytes) {
        if whole.len() >= FIRST_RESERVED_BYTES {
            whole.reserve_exact(self.declared().saturating_sub(whole.len()));
        }
        whole.extend_from_slice(&frame);
    }

    fn declared(&self) -> usize {
        usize::try_from(self.declared_bytes).unwrap_or(usize::MAX)
    }
}

/// What is reserved on the word of a header alone.
const FIRST_RESERVED_BYTES: usize = 64 * 1024;
/// What is thrown away beyond the largest body before a connection is closed on its sender.
const DISCARDED_BYTES: u64 = 16 * 1024 * 1024;
