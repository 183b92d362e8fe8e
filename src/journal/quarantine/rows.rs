//! The quarantine's rows: what is written, listed, and deleted first.

use rusqlite::{Connection, Row, TransactionBehavior, named_params, params};

use super::super::{headers, space};
use super::Candidate;
use super::store::{Filter, Listed};
use crate::dialect::{self, encoding::is_encoded};
use crate::event::Origin;
use crate::receive::delivery::KeptHeaders;
use crate::time::Timestamp;
use crate::verify::proof::ProofKey;

pub(super) fn insert(
    conn: &mut Connection,
    key: &ProofKey,
    candidates: &[Candidate],
) -> rusqlite::Result<()> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut insert = tx.prepare_cached(
        "INSERT INTO kept(rank, webhook, received_ms, reason, call_id, headers, proof, body)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for candidate in candidates {
        let Candidate {
            delivery,
            refusal,
            proof,
        } = candidate;
        let call_id = call_id(&delivery.body);
        let is_closed = !is_looked_into(&delivery.body, &delivery.headers);
        let plausible = proof.looks_signed() && (call_id.is_some() || is_closed);
        let proof = serde_json::to_string(&proof.keep(key)).expect("lists of strings serialize");
        insert.execute(params![
            plausible,
            delivery.webhook.as_str(),
            delivery.received_at.unix_ms(),
            refusal.reason(),
            call_id,
            headers::write(&delivery.headers, Origin::Webhook),
            proof,
            &delivery.body[..],
        ])?;
    }
    drop(insert);
    tx.commit()
}

/// Of what anybody may send, so that reading it must not take much memory: 24 bytes for each byte of a body of brackets.
fn call_id(body: &[u8]) -> Option<String> {
    if body.len() > LOOKED_INTO_BYTES {
        return None;
    }
    dialect::call_id(body).filter(|id| id.len() <= CALL_ID_BYTES)
}

/// A large body is not, nor is one that is encoded.
fn is_looked_into(body: &[u8], headers: &KeptHeaders) -> bool {
    let encodings = headers.content_encoding.as_deref();
    body.len() <= LOOKED_INTO_BYTES && !encodings.is_some_and(is_encoded)
}

pub(super) fn make_room(conn: &mut Connection, max_bytes: u64) -> rusqlite::Result<()> {
    // A little more than needed, so that not every batch deletes.
    let wanted = max_bytes - max_bytes / 50;
    let mut used = space::used_bytes(conn)?;
    if used <= max_bytes {
        return Ok(());
    }
    while used > wanted {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut first =
            tx.prepare_cached("SELECT id, length(body) FROM kept ORDER BY rank, id LIMIT ?1")?;
        let mut rows = first.query([CHUNK_ROWS])?;
        let (mut over, mut ids) = (used - wanted, Vec::<i64>::new());
        while let Some(row) = rows.next()? {
            ids.push(row.get(0)?);
            over = over.saturating_sub(row.get::<_, i64>(1)?.cast_unsigned());
            if over == 0 {
                break;
            }
        }
        drop(rows);
        drop(first);
        if ids.is_empty() {
            return Ok(());
        }
        let mut delete = tx.prepare_cached("DELETE FROM kept WHERE id = ?1")?;
        for id in ids {
            delete.execute([id])?;
        }
        drop(delete);
        tx.commit()?;
        used = space::used_bytes(conn)?;
    }
    Ok(())
}

pub(super) fn list(
    conn: &Connection,
    filter: &Filter,
    above: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Listed>> {
    let ids = serde_json::to_string(&filter.ids).expect("numbers serialize");
    let mut select = conn.prepare_cached(
        "SELECT id, webhook, received_ms, reason, call_id, rank, length(body) FROM kept
         WHERE id > :above
           AND (:ids = '[]' OR id IN (SELECT value FROM json_each(:ids)))
           AND (:webhook IS NULL OR webhook = :webhook)
           AND (:since IS NULL OR received_ms >= :since)
           AND (:before IS NULL OR received_ms < :before)
         ORDER BY id LIMIT :limit",
    )?;
    let rows = select.query_map(
        named_params! {
            ":above": above.cast_signed(),
            ":ids": ids,
            ":webhook": filter.webhook,
            ":since": filter.since.map(Timestamp::unix_ms),
            ":before": filter.until.map(Timestamp::unix_ms),
            ":limit": i64::try_from(limit).unwrap_or(i64::MAX),
        },
        read_listed,
    )?;
    rows.collect()
}

pub(super) fn newest(
    conn: &Connection,
    before: u64,
    limit: usize,
) -> rusqlite::Result<Vec<Listed>> {
    let mut select = conn.prepare_cached(
        "SELECT id, webhook, received_ms, reason, call_id, rank, length(body) FROM kept
         WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
    )?;
    let before = i64::try_from(before).unwrap_or(i64::MAX);
    let rows = select.query_map(
        (before, i64::try_from(limit).unwrap_or(i64::MAX)),
        read_listed,
    )?;
    rows.collect()
}

fn read_listed(row: &Row<'_>) -> rusqlite::Result<Listed> {
    Ok(Listed {
        id: row.get::<_, i64>(0)?.cast_unsigned(),
        webhook: row.get(1)?,
        received_at: Timestamp::from_unix_ms(row.get(2)?),
        reason: row.get(3)?,
        call_id: row.get(4)?,
        plausible: row.get::<_, i64>(5)? > 0,
        body_bytes: row.get::<_, i64>(6)?.cast_unsigned(),
    })
}

pub(super) fn delete(conn: &mut Connection, ids: &[u64]) -> rusqlite::Result<u64> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut delete = tx.prepare_cached("DELETE FROM kept WHERE id = ?1")?;
    let mut deleted = 0;
    for id in ids {
        deleted += delete.execute([id.cast_signed()])? as u64;
    }
    drop(delete);
    tx.commit()?;
    Ok(deleted)
}

/// The sender's have 26; a stranger's must not fill the list.
const CALL_ID_BYTES: usize = 128;
/// An ordinary call has about 6 KiB.
const LOOKED_INTO_BYTES: usize = 1 << 20;
pub(super) const CHUNK_ROWS: i64 = 1024;
