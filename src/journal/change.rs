//! The changes that a commit makes beside its appends: what is settled, dead, replayed, taken back or numbered anew.
//!
//! They run within the writer's transaction and are only true once that commits.

use std::collections::BTreeMap;

use rusqlite::Transaction;

use super::append::Numbers;
use super::id;
use super::queue::Change;
use super::replay::{self, Replayed};
use crate::failpoint;

/// What a transaction must write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Care {
    ForAll,
    /// Not what only tidies: where a page is damaged, new deliveries and the mark are what counts. What stays in the
    /// queue below the mark is never read again.
    ForDeliveries,
}

/// Makes one change.
pub(super) fn apply(
    tx: &Transaction<'_>,
    numbers: &mut Numbers,
    change: &Change,
    care: Care,
) -> rusqlite::Result<Replayed> {
    match change {
        Change::FreezePartitions(count) => numbers.partitions = Some(*count),
        Change::RaiseOutSeq(at_least) => raise_out_seq(tx, numbers, *at_least)?,
        Change::MarkDead { out_seq, reason } => {
            let out_seq = out_seq.cast_signed();
            let mark = "UPDATE delivery SET dead = ?2
                        WHERE seq = (SELECT seq FROM queue WHERE out_seq = ?1)";
            if care == Care::ForAll {
                tx.execute(mark, (out_seq, reason))?;
                tx.execute("DELETE FROM queue WHERE out_seq = ?1", [out_seq])?;
            }
        }
        Change::Replay { seqs, record_ms } => {
            return replay::replay(tx, numbers, seqs, *record_ms);
        }
        Change::TakeBack { rows, below } => {
            return take_back(tx, numbers, rows, *below, care);
        }
        Change::Flush => {}
    }
    Ok(Replayed::default())
}

/// If any pending row is below `at_least`, all get new numbers above it and above all numbers given so far, in order.
fn raise_out_seq(
    tx: &Transaction<'_>,
    numbers: &mut Numbers,
    at_least: u64,
) -> rusqlite::Result<()> {
    // What a damaged page kept in the queue is settled all the same.
    let left = "DELETE FROM queue WHERE out_seq < ?1";
    tx.execute(left, [numbers.settled_out_seq.cast_signed()])?;
    let lowest: Option<i64> = tx.query_row("SELECT min(out_seq) FROM queue", [], |r| r.get(0))?;
    if lowest.is_none_or(|lowest| lowest.cast_unsigned() >= at_least) {
        numbers.next_out_seq = numbers.next_out_seq.max(at_least);
        return Ok(());
    }
    let mut pending = tx.prepare("SELECT seq FROM queue ORDER BY out_seq")?;
    let seqs = pending.query_map([], |row| row.get::<_, i64>(0))?;
    let seqs = seqs.collect::<rusqlite::Result<Vec<_>>>()?;
    let first = at_least.max(numbers.next_out_seq);
    tx.execute("DELETE FROM queue", [])?;
    let mut queue = tx.prepare("INSERT INTO queue VALUES (?1, ?2)")?;
    let mut delivery = tx.prepare("UPDATE delivery SET out_seq = ?1 WHERE seq = ?2")?;
    numbers.next_out_seq = first;
    for seq in seqs {
        let out_seq = numbers.next_out_seq.cast_signed();
        queue.execute((out_seq, seq))?;
        delivery.execute((out_seq, seq))?;
        numbers.next_out_seq += 1;
    }
    numbers.settled_out_seq = first;
    Ok(())
}

/// Settles what is below, and puts these rows back into the queue with their numbers; neither if one is without its body.
fn take_back(
    tx: &Transaction<'_>,
    numbers: &mut Numbers,
    rows: &BTreeMap<u64, String>,
    below: u64,
    care: Care,
) -> rusqlite::Result<Replayed> {
    let gone = Replayed {
        gone: 1,
        ..Replayed::default()
    };
    if care == Care::ForDeliveries {
        return Ok(gone);
    }
    let mut find = tx.prepare_cached(
        "SELECT d.seq, d.out_seq = ?3 AND d.dead IS NULL, EXISTS (SELECT 1 FROM body b WHERE b.seq = d.seq)
         FROM seen s JOIN delivery d ON d.seq = s.seq WHERE s.id IN (?1, ?2) AND d.id = ?1",
    )?;
    let mut found = Vec::with_capacity(rows.len());
    for (out_seq, id) in rows {
        let number = out_seq.cast_signed();
        let own_id = id::without_hash(id).unwrap_or(id);
        let known = find.query_map((id, own_id, number), |row| {
            Ok((row.get::<_, i64>(0)?, row.get(1)?, row.get(2)?))
        })?;
        let known: Vec<(i64, bool, bool)> = known.collect::<rusqlite::Result<_>>()?;
        match known.iter().find(|(_, same, _)| *same) {
            Some((seq, _, true)) => found.push((number, *seq)),
            // Replayed or dead since: that counts.
            None if !known.is_empty() => {}
            Some((_, _, false)) | None => return Ok(gone),
        }
    }
    settle(tx, numbers, below, care)?;
    let mut queue = tx.prepare_cached("INSERT OR IGNORE INTO queue VALUES (?1, ?2)")?;
    for row in &found {
        queue.execute(*row)?;
    }
    if let Some((first, _)) = rows.first_key_value() {
        numbers.settled_out_seq = numbers.settled_out_seq.min(*first);
    }
    Ok(Replayed {
        queued: found.len() as u64,
        ..Replayed::default()
    })
}

/// Everything below is published.
pub(super) fn settle(
    tx: &Transaction<'_>,
    numbers: &mut Numbers,
    below: u64,
    care: Care,
) -> rusqlite::Result<()> {
    if below > numbers.settled_out_seq {
        let range = [numbers.settled_out_seq, below].map(u64::cast_signed);
        let delete = "DELETE FROM queue WHERE out_seq >= ?1 AND out_seq < ?2";
        if care == Care::ForAll {
            tx.prepare_cached(delete)?.execute(range)?;
        }
        numbers.settled_out_seq = below;
        failpoint::hit("journal.settling");
    }
    Ok(())
}
