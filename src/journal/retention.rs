//! Deletes what is old, or what must go to make room, in chunks between the writer's batches.
//!
//! A body that is on no topic is never deleted: not while its row is pending, and not when it is dead. Ids outlive
//! bodies, so that duplicates are recognised for longer.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Row, Transaction, TransactionBehavior, params};

use super::error::is_damage;
use super::space::Pressure;
use super::{Options, append, headers, id};
use crate::event::Origin;
use crate::time::Timestamp;

/// Where retention is, between two chunks.
pub(super) struct Sweeper {
    retention_ms: i64,
    keep_ids_ms: i64,
    stage: Stage,
    next_at: Instant,
    /// Since bodies were last looked through from the start.
    published: bool,
    /// The last row when the stage began. A stage ends there: it must not run after the rows that keep coming.
    end: i64,
}

/// What the next chunk is about: everything above this sequence.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Bodies { above: i64 },
    Ids { above: i64 },
}

/// What a chunk found.
struct Chunk {
    /// `None` at the end, or where everything is too young.
    go_on_above: Option<i64>,
    deleted: u64,
}

struct Candidate {
    seq: i64,
    webhook: i64,
    id: String,
    /// Of its body.
    fingerprint: Vec<u8>,
    origin: Origin,
    received_ms: i64,
    published: bool,
    has_body: bool,
}

impl Sweeper {
    pub(super) fn new(options: &Options) -> Self {
        let ms = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        Self {
            retention_ms: ms(options.retention),
            // An id without its row could not say what the first delivery became.
            keep_ids_ms: ms(options.keep_ids.max(options.retention)),
            stage: Stage::Bodies { above: 0 },
            next_at: Instant::now(),
            published: false,
            end: 0,
        }
    }

    pub(super) fn next_at(&self) -> Instant {
        self.next_at
    }

    /// Something was published: if room is needed, there may be some now.
    pub(super) fn hurry(&mut self) {
        self.published = true;
        self.next_at = self.next_at.min(Instant::now() + BETWEEN_CHUNKS);
    }

    /// Room is needed before the next delivery.
    pub(super) fn at_once(&mut self) {
        self.next_at = Instant::now();
    }

    /// Deletes one chunk if one is due; about how many bytes that wrote.
    pub(super) fn step(
        &mut self,
        conn: &mut Connection,
        settled_out_seq: u64,
        pressure: Pressure,
    ) -> Option<u64> {
        if Instant::now() < self.next_at {
            return None;
        }
        if pressure > Pressure::None && matches!(self.stage, Stage::Ids { .. }) && self.published {
            // No id goes while a body could.
            self.published = false;
            self.stage = Stage::Bodies { above: 0 };
        }
        match self.chunk(conn, settled_out_seq.cast_signed(), pressure) {
            Ok(chunk) => {
                self.advance(&chunk, pressure);
                (chunk.deleted > 0).then_some(chunk.deleted * CHANGED_BYTES)
            }
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the journal's old rows could not be deleted; trying again"
                );
                if is_damage(&error) {
                    self.pass_over();
                }
                self.next_at = Instant::now() + AFTER_ERROR;
                None
            }
        }
    }

    /// Leaves a chunk that a damaged page keeps from going; the ones behind it may go.
    fn pass_over(&mut self) {
        let (Stage::Bodies { above } | Stage::Ids { above }) = &mut self.stage;
        *above += CHUNK_ROWS;
    }

    fn chunk(
        &mut self,
        conn: &mut Connection,
        settled: i64,
        pressure: Pressure,
    ) -> rusqlite::Result<Chunk> {
        let now_ms = Timestamp::now().unix_ms();
        if let Stage::Bodies { above: 0 } | Stage::Ids { above: 0 } = self.stage {
            let last = "SELECT coalesce(max(seq), 0) FROM delivery";
            self.end = conn.prepare_cached(last)?.query_row([], |r| r.get(0))?;
        }
        // A read finds out whether there is anything to do: most chunks need no transaction that writes.
        let (rows, older_than_ms) = match self.stage {
            Stage::Bodies { above } => {
                let first = "SELECT min(seq) FROM body WHERE seq > ?1";
                let first: Option<i64> = conn
                    .prepare_cached(first)?
                    .query_row([above], |r| r.get(0))?;
                let forced = pressure >= Pressure::Bodies;
                let limit = if forced {
                    i64::MAX
                } else {
                    now_ms.saturating_sub(self.retention_ms)
                };
                let rows =
                    first.map_or(Ok(Vec::new()), |first| candidates(conn, first - 1, settled))?;
                (rows, limit)
            }
            Stage::Ids { above } => {
                let forced = pressure >= Pressure::Ids;
                let limit = if forced {
                    i64::MAX
                } else {
                    now_ms.saturating_sub(self.keep_ids_ms)
                };
                (candidates(conn, above, settled)?, limit)
            }
        };
        let old = |row: &&Candidate| row.received_ms < older_than_ms;
        let any_old = rows.iter().any(|row| old(&row));
        let last = rows.last().filter(|_| any_old).map(|row| row.seq);
        let last = last.filter(|seq| *seq < self.end);
        let bodies = matches!(self.stage, Stage::Bodies { .. });
        let chosen: Vec<_> = rows
            .iter()
            .filter(|r| old(r) && r.published && r.has_body == bodies)
            .collect();
        if !chosen.is_empty() {
            let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for row in &chosen {
                if bodies {
                    delete_body(&tx, row)?
                } else {
                    delete_row(&tx, row)?
                }
            }
            tx.commit()?;
        }
        Ok(Chunk {
            go_on_above: last,
            deleted: chosen.len() as u64,
        })
    }

    fn advance(&mut self, chunk: &Chunk, pressure: Pressure) {
        let pause = match (self.stage, chunk.go_on_above) {
            (Stage::Bodies { .. }, Some(above)) => {
                self.stage = Stage::Bodies { above };
                BETWEEN_CHUNKS
            }
            (Stage::Bodies { .. }, None) => {
                self.stage = Stage::Ids { above: 0 };
                BETWEEN_CHUNKS
            }
            // As soon as there is room, the remaining ids may stay.
            (Stage::Ids { .. }, Some(above)) => {
                self.stage = Stage::Ids { above };
                BETWEEN_CHUNKS
            }
            (Stage::Ids { .. }, None) => {
                self.stage = Stage::Bodies { above: 0 };
                if pressure == Pressure::None {
                    BETWEEN_SWEEPS
                } else {
                    UNDER_PRESSURE
                }
            }
        };
        let hurried = pressure > Pressure::None && pause == BETWEEN_CHUNKS;
        self.next_at = Instant::now() + if hurried { Duration::ZERO } else { pause };
    }
}

fn candidates(conn: &Connection, above: i64, settled: i64) -> rusqlite::Result<Vec<Candidate>> {
    let mut select = conn.prepare_cached(
        "SELECT seq, webhook, id, hash, received_ms, dead IS NULL AND out_seq < ?2,
                EXISTS (SELECT 1 FROM body WHERE body.seq = delivery.seq), headers
         FROM delivery WHERE seq > ?1 ORDER BY seq LIMIT ?3",
    )?;
    let rows = select.query_map(params![above, settled, CHUNK_ROWS], read_candidate)?;
    rows.collect()
}

fn read_candidate(row: &Row<'_>) -> rusqlite::Result<Candidate> {
    let kept = headers::read(row.get_ref(7)?.as_str_or_null()?);
    Ok(Candidate {
        origin: kept.map_or(Origin::Webhook, |(_, origin)| origin),
        seq: row.get(0)?,
        webhook: row.get(1)?,
        id: row.get(2)?,
        fingerprint: row.get(3)?,
        received_ms: row.get(4)?,
        published: row.get(5)?,
        has_body: row.get(6)?,
    })
}

fn delete_body(tx: &Transaction<'_>, row: &Candidate) -> rusqlite::Result<()> {
    tx.prepare_cached("DELETE FROM body WHERE seq = ?1")?
        .execute([row.seq])?;
    Ok(())
}

fn delete_row(tx: &Transaction<'_>, row: &Candidate) -> rusqlite::Result<()> {
    let mut seen = tx.prepare_cached(
        "DELETE FROM seen WHERE id = ?1 AND webhook = ?2 AND hash = ?3 AND seq = ?4",
    )?;
    let own_ids = [Some(row.id.as_str()), id::without_hash(&row.id)];
    for own_id in own_ids.into_iter().flatten() {
        seen.execute(params![
            own_id,
            row.webhook,
            append::seen_key(&row.fingerprint, row.origin),
            row.seq
        ])?;
    }
    tx.prepare_cached("DELETE FROM delivery WHERE seq = ?1")?
        .execute([row.seq])?;
    Ok(())
}

const CHUNK_ROWS: i64 = 256;
/// About what deleting a row changes in the file.
const CHANGED_BYTES: u64 = 1024;
/// Without pressure, so that appends have the disk for themselves in between.
const BETWEEN_CHUNKS: Duration = Duration::from_millis(20);
const BETWEEN_SWEEPS: Duration = Duration::from_secs(60);
/// When nothing more can go, until something is published.
const UNDER_PRESSURE: Duration = Duration::from_secs(1);
const AFTER_ERROR: Duration = Duration::from_secs(5);
