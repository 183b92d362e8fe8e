//! One append: what its caller computes before it queues, and the rows that the writer makes of it.
//!
//! Hashes, checksums and the peek at the body are the caller's, so that many workers share what one writer would have
//! to do alone. The writer's part runs within its transaction and is only true once that commits.

use std::collections::HashMap;

use bytes::Bytes;
use rusqlite::{CachedStatement, Connection, OptionalExtension, Transaction, params};

use super::fingerprint::{self, Fingerprint};
use super::headers;
use super::{Appended, AppendedKind, Row, id};
use crate::dialect::encoding;
use crate::event::Origin;
use crate::event::json::{Document, Scanned};
use crate::receive::delivery::{KeptHeaders, WebhookName};
use crate::time::Timestamp;
use crate::verify::VerifiedDelivery;

/// A delivery, ready to be written.
#[derive(Debug)]
pub(super) struct Prepared {
    webhook: WebhookName,
    own_id: String,
    origin: Origin,
    fingerprint: Fingerprint,
    received_ms: i64,
    /// The record's timestamp, if that is not when the delivery was received.
    record_ms: Option<i64>,
    kept: KeptHeaders,
    headers: Option<String>,
    crc: u32,
    body: Bytes,
    /// What the body was found to hold, so that it is not read a second time.
    scanned: Option<Scanned>,
}

impl Prepared {
    pub(super) fn new(delivery: &VerifiedDelivery) -> Self {
        let body = delivery.body().clone();
        let encodings = delivery.headers().content_encoding.as_deref();
        let is_encoded = encodings.is_some_and(encoding::is_encoded);
        let document = (!is_encoded).then(|| Document::parse(&body).ok()).flatten();
        let own_id = match delivery.answered_id() {
            Some(id) => id.to_owned(),
            None if is_encoded => id::own_id_within(encodings, &body),
            None => id::own_id(document.as_ref(), &body),
        };
        let scanned = document
            .map(Document::into_scanned)
            .filter(|_| body.len() <= SCANNED_BYTES);
        Self {
            webhook: delivery.webhook().clone(),
            own_id,
            origin: delivery.origin(),
            fingerprint: Fingerprint::of(&body),
            received_ms: delivery.received_at().unix_ms(),
            record_ms: None,
            kept: delivery.headers().clone(),
            headers: headers::write(delivery.headers(), delivery.origin()),
            crc: crc32c::crc32c(&body),
            body,
            scanned,
        }
    }

    /// For a delivery that was received long ago: its record's timestamp is to be this one.
    pub(super) fn with_record_at(mut self, at: Timestamp) -> Self {
        self.record_ms = Some(at.unix_ms());
        self
    }

    /// What the publisher would read back of it.
    pub(super) fn into_row(self, appended: &Appended, seq: u64) -> Row {
        Row {
            out_seq: appended.out_seq,
            seq,
            webhook: self.webhook.as_str().to_owned(),
            received_at: Timestamp::from_unix_ms(self.received_ms),
            record_at: Timestamp::from_unix_ms(self.record_ms.unwrap_or(self.received_ms)),
            id: appended.id.clone(),
            origin: self.origin,
            headers: self.kept,
            body: self.body,
            scanned: self.scanned,
            intact: true,
        }
    }

    /// About what its rows take in the file.
    pub(super) fn stored_bytes(&self) -> u64 {
        self.body.len() as u64 + ROW_OVERHEAD_BYTES
    }
}

/// The numbers that the next rows get; never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Numbers {
    pub(super) next_seq: u64,
    pub(super) next_out_seq: u64,
    pub(super) settled_out_seq: u64,
    pub(super) partitions: Option<u32>,
}

impl Numbers {
    pub(super) fn load(conn: &Connection) -> rusqlite::Result<Self> {
        let query = "SELECT next_seq, next_out_seq, settled_out_seq, partitions FROM state";
        conn.query_row(query, [], |row| {
            Ok(Self {
                next_seq: row.get::<_, i64>(0)?.cast_unsigned(),
                next_out_seq: row.get::<_, i64>(1)?.cast_unsigned(),
                settled_out_seq: row.get::<_, i64>(2)?.cast_unsigned(),
                partitions: row.get(3)?,
            })
        })
    }

    pub(super) fn store(&self, tx: &Transaction<'_>) -> rusqlite::Result<()> {
        tx.prepare_cached(
            "UPDATE state SET next_seq = ?1, next_out_seq = ?2, settled_out_seq = ?3, partitions = ?4",
        )?
        .execute(params![
            self.next_seq.cast_signed(),
            self.next_out_seq.cast_signed(),
            self.settled_out_seq.cast_signed(),
            self.partitions
        ])?;
        Ok(())
    }
}

/// The statements of an append, prepared once for a batch.
pub(super) struct Appender<'tx> {
    tx: &'tx Transaction<'tx>,
    find: CachedStatement<'tx>,
    find_reconciled: CachedStatement<'tx>,
    out_seq: CachedStatement<'tx>,
    delivery: CachedStatement<'tx>,
    body: CachedStatement<'tx>,
    seen: CachedStatement<'tx>,
    queue: CachedStatement<'tx>,
}

impl<'tx> Appender<'tx> {
    pub(super) fn new(tx: &'tx Transaction<'tx>) -> rusqlite::Result<Self> {
        Ok(Self {
            tx,
            find: tx.prepare_cached("SELECT hash, seq FROM seen WHERE id = ?1 AND webhook = ?2")?,
            find_reconciled: tx.prepare_cached(FIND_RECONCILED)?,
            out_seq: tx.prepare_cached("SELECT id, out_seq FROM delivery WHERE seq = ?1")?,
            delivery: tx.prepare_cached(
                "INSERT INTO delivery(seq, webhook, id, hash, received_ms, headers, crc, out_seq, record_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?,
            body: tx.prepare_cached("INSERT INTO body VALUES (?1, ?2)")?,
            seen: tx.prepare_cached("INSERT INTO seen VALUES (?1, ?2, ?3, ?4)")?,
            queue: tx.prepare_cached("INSERT INTO queue VALUES (?1, ?2)")?,
        })
    }

    /// Writes the delivery, unless the same one is there; and which place in the order of arrival it has.
    pub(super) fn append(
        &mut self,
        prepared: &Prepared,
        numbers: &mut Numbers,
        webhooks: &mut HashMap<WebhookName, i64>,
    ) -> rusqlite::Result<(Appended, u64)> {
        let webhook = webhook_number(self.tx, &prepared.webhook, webhooks)?;
        let id = match self.look_up(prepared, webhook)? {
            Known::Same { seq } => return Ok((self.duplicate(seq)?, seq.cast_unsigned())),
            Known::OtherBody => id::with_hash(&prepared.own_id, &prepared.body),
            Known::New => prepared.own_id.clone(),
        };
        let (seq, out_seq) = (numbers.next_seq, numbers.next_out_seq);
        self.insert(
            prepared,
            webhook,
            &id,
            seq.cast_signed(),
            out_seq.cast_signed(),
        )?;
        numbers.next_seq += 1;
        numbers.next_out_seq += 1;
        let appended = Appended {
            kind: AppendedKind::Stored,
            id,
            out_seq,
        };
        Ok((appended, seq))
    }

    fn look_up(&mut self, prepared: &Prepared, webhook: i64) -> rusqlite::Result<Known> {
        if let Origin::Reconcile(_) = prepared.origin {
            let id = [&prepared.own_id];
            let found = self.find_reconciled.query_row(id, |row| row.get(0));
            return Ok(found
                .optional()?
                .map_or(Known::New, |seq| Known::Same { seq }));
        }
        let mut rows = self.find.query(params![prepared.own_id, webhook])?;
        let mut known = Known::New;
        while let Some(row) = rows.next()? {
            let stored = row.get_ref(0)?.as_blob()?;
            if prepared.fingerprint.is_stored(stored, &prepared.body) {
                return Ok(Known::Same { seq: row.get(1)? });
            }
            known = Known::OtherBody;
        }
        Ok(known)
    }

    fn duplicate(&mut self, seq: i64) -> rusqlite::Result<Appended> {
        self.out_seq.query_row([seq], |row| {
            let out_seq = row.get::<_, i64>(1)?.cast_unsigned();
            Ok(Appended {
                kind: AppendedKind::Duplicate,
                id: row.get(0)?,
                out_seq,
            })
        })
    }

    fn insert(
        &mut self,
        prepared: &Prepared,
        webhook: i64,
        id: &str,
        seq: i64,
        out_seq: i64,
    ) -> rusqlite::Result<()> {
        let Prepared {
            origin,
            fingerprint,
            received_ms,
            record_ms,
            headers,
            crc,
            body,
            ..
        } = prepared;
        self.delivery.execute(params![
            seq,
            webhook,
            id,
            fingerprint.stored(),
            received_ms,
            headers,
            crc,
            out_seq,
            record_ms
        ])?;
        self.body.execute(params![seq, &body[..]])?;
        self.seen.execute(params![
            prepared.own_id,
            webhook,
            seen_key(fingerprint.stored(), *origin),
            seq
        ])?;
        self.queue.execute(params![out_seq, seq])?;
        Ok(())
    }
}

/// What `seen` says about a delivery.
enum Known {
    New,
    OtherBody,
    Same { seq: i64 },
}

/// What `seen` holds of a delivery's fingerprint. Of a reconciled event nothing: its id alone says what it is, whatever the API
/// makes of the body, and no webhook's delivery can be taken for it.
pub(super) fn seen_key(of_delivery: &[u8], origin: Origin) -> &[u8] {
    match origin {
        Origin::Webhook => fingerprint::in_seen(of_delivery),
        Origin::Reconcile(_) => &[],
    }
}

/// The row of a reconciled event, by its id: its sequence, and its place in the order of publishing.
pub(super) const FIND_RECONCILED: &str = "SELECT s.seq, d.out_seq FROM seen s JOIN delivery d ON d.seq = s.seq WHERE s.id = ?1 AND s.hash = x''";

fn webhook_number(
    tx: &Transaction<'_>,
    name: &WebhookName,
    known: &mut HashMap<WebhookName, i64>,
) -> rusqlite::Result<i64> {
    if let Some(n) = known.get(name) {
        return Ok(*n);
    }
    let find = "SELECT n FROM webhook WHERE name = ?1";
    let found = tx
        .query_row(find, [name.as_str()], |row| row.get(0))
        .optional()?;
    let n = match found {
        Some(n) => n,
        None => {
            tx.execute("INSERT INTO webhook(name) VALUES (?1)", [name.as_str()])?;
            tx.last_insert_rowid()
        }
    };
    known.insert(name.clone(), n);
    Ok(n)
}

/// Of larger bodies what was found is not kept in memory, where it can take more than they.
const SCANNED_BYTES: usize = 64 << 10;
/// What a row takes beside its body, over all tables.
const ROW_OVERHEAD_BYTES: u64 = 512;
