//! Makes rows pending again: the writer's part of a replay.
//!
//! A row keeps its id and gets the next `out_seq`, as everything does that becomes pending. Its record's timestamp is that
//! of the replay, since a topic would drop what is stamped with an old call's time.

use rusqlite::{OptionalExtension, Transaction};

use super::append::Numbers;

/// What became of the rows that were to be replayed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Pending again.
    pub queued: u64,
    /// Pending anyway; left where they are.
    pub pending: u64,
    /// Without a body, or not in the journal.
    pub gone: u64,
}

pub(super) fn replay(
    tx: &Transaction<'_>,
    numbers: &mut Numbers,
    seqs: &[u64],
    record_ms: i64,
) -> rusqlite::Result<Replayed> {
    let mut state = tx.prepare_cached(
        "SELECT dead IS NULL AND out_seq >= ?2 FROM delivery
         WHERE seq = ?1 AND EXISTS (SELECT 1 FROM body WHERE seq = ?1)",
    )?;
    let mut queue = tx.prepare_cached("INSERT INTO queue VALUES (?1, ?2)")?;
    let mut delivery = tx.prepare_cached(
        "UPDATE delivery SET out_seq = ?1, dead = NULL, record_ms = ?3 WHERE seq = ?2",
    )?;
    let settled = numbers.settled_out_seq.cast_signed();
    let mut replayed = Replayed::default();
    for seq in seqs {
        let seq = seq.cast_signed();
        let pending = state.query_row([seq, settled], |row| row.get::<_, bool>(0));
        match pending.optional()? {
            None => replayed.gone += 1,
            Some(true) => replayed.pending += 1,
            Some(false) => {
                let out_seq = numbers.next_out_seq.cast_signed();
                queue.execute((out_seq, seq))?;
                delivery.execute((out_seq, seq, record_ms))?;
                numbers.next_out_seq += 1;
                replayed.queued += 1;
            }
        }
    }
    Ok(replayed)
}
