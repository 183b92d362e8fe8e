//! The journal's rows as JSON, for programs: a field that is not known is absent.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{named, state_name};
use crate::journal::read::{Entry, Status};
use crate::receive::delivery::KeptHeaders;
use crate::time::Timestamp;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct StatusLine {
    journal: String,
    format_version: u32,
    rows: u64,
    pending: u64,
    published: u64,
    dead: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    oldest_pending: Option<Timestamp>,
    next_out_seq: u64,
    settled_out_seq: u64,
    used_bytes: u64,
    file_bytes: u64,
}

impl StatusLine {
    pub(super) fn new(status: &Status) -> Self {
        Self {
            journal: status.uuid.to_string(),
            format_version: status.format_version,
            rows: status.rows,
            pending: status.pending,
            published: status.published,
            dead: status.dead,
            oldest_pending: status.oldest_pending,
            next_out_seq: status.next_out_seq,
            settled_out_seq: status.settled_out_seq,
            used_bytes: status.used_bytes,
            file_bytes: status.file_bytes,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EntryLine<'a> {
    seq: u64,
    out_seq: u64,
    webhook: &'a str,
    id: &'a str,
    received_at: Timestamp,
    origin: &'static str,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_bytes: Option<u64>,
}

impl<'a> EntryLine<'a> {
    pub(super) fn new(entry: &'a Entry) -> Self {
        Self {
            seq: entry.seq,
            out_seq: entry.out_seq,
            webhook: &entry.webhook,
            id: &entry.id,
            received_at: entry.received_at,
            origin: entry.origin.name(),
            state: state_name(entry.state),
            reason: entry.reason.as_deref(),
            body_bytes: entry.body_bytes,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ShownLine<'a> {
    #[serde(flatten)]
    entry: EntryLine<'a>,
    headers: BTreeMap<&'static str, &'a str>,
    intact: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_hex: Option<String>,
}

impl<'a> ShownLine<'a> {
    pub(super) fn new(
        entry: &'a Entry,
        headers: &'a KeptHeaders,
        body: Option<&'a [u8]>,
        intact: bool,
    ) -> Self {
        let text = body.map(std::str::from_utf8);
        Self {
            entry: EntryLine::new(entry),
            headers: named(headers)
                .into_iter()
                .filter_map(|(name, value)| Some((name, value?)))
                .collect(),
            intact,
            body: text.and_then(Result::ok),
            body_hex: body
                .filter(|_| text.is_some_and(|text| text.is_err()))
                .map(hex::encode),
        }
    }
}
