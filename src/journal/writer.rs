//! The one thread that writes: it takes whatever is queued, commits it together, and only then answers.
//!
//! A commit that fails fails for all who waited for it; the numbers go back to what is on disk, the connection is made
//! anew, and the next batch tries again, in the same place of the WAL: so the pages that an fsync failed to write are
//! written anew before anything is answered that lies behind them. Retention and the end of a checkpoint run between
//! batches, in small steps.

use std::collections::{HashMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::append::{Appender, Numbers};
use super::change::{Care, apply, settle};
use super::checkpoint::Checkpoints;
use super::error::{AppendError, is_damage};
use super::place::Files;
use super::queue::{Ask, Committed, Shared, Waiting};
use super::replay::Replayed;
use super::retention::Sweeper;
use super::space::Space;
use super::{Appended, AppendedKind, Options, schema};
use crate::failpoint;
use crate::receive::delivery::WebhookName;

pub(super) struct Writer {
    path: PathBuf,
    files: Files,
    shared: Arc<Shared>,
    /// `None` after it broke, until it could be opened again.
    conn: Option<Connection>,
    numbers: Numbers,
    webhooks: HashMap<WebhookName, i64>,
    space: Space,
    sweeper: Sweeper,
    checkpoints: Checkpoints,
    /// Settled, and not yet written.
    settle_below: u64,
    backlog: VecDeque<Waiting>,
    /// The last look ended in a refusal.
    refusing: bool,
    /// How many deliveries the last batch had.
    committed_together: usize,
}

/// What one transaction is about.
struct Batch {
    appends: Vec<Waiting>,
    asks: Vec<Ask>,
}

impl Writer {
    pub(super) fn new(
        (path, files): (PathBuf, Files),
        options: &Options,
        shared: Arc<Shared>,
        (conn, numbers): (Connection, Numbers),
        checkpoints: Checkpoints,
    ) -> Self {
        Self {
            space: Space::new(&path, options),
            sweeper: Sweeper::new(options),
            path,
            files,
            shared,
            conn: Some(conn),
            numbers,
            webhooks: HashMap::new(),
            checkpoints,
            settle_below: 0,
            refusing: false,
            committed_together: 0,
            backlog: VecDeque::new(),
        }
    }

    /// Runs until the journal is closed and its queue is empty.
    pub(super) fn run(mut self) {
        let _abandon = AbandonOnExit(Arc::clone(&self.shared));
        loop {
            let until = self.look_at();
            self.gather();
            let mut taken = self.shared.take(Some(until));
            self.settle_below = self.settle_below.max(taken.settle_below.unwrap_or(0));
            self.backlog.append(&mut taken.appends);
            let batch = Batch {
                appends: self.cut_batch(),
                asks: taken.asks,
            };
            self.committed_together = batch.appends.len();
            self.write(batch);
            self.look_again();
            self.between_batches();
            if taken.closed && self.backlog.is_empty() {
                break self.finish();
            }
        }
    }

    /// Until when it waits for something to write.
    fn look_at(&self) -> Instant {
        let now = Instant::now();
        if !self.backlog.is_empty() {
            return now;
        }
        let look_at = now + if self.refusing { LOOK_AGAIN } else { LOOK_IDLE };
        match self.conn {
            Some(_) => look_at.min(self.sweeper.next_at()),
            // Nothing can be swept.
            None => look_at,
        }
    }

    /// Where several came at a time, more come at once, unless they have come already: one commit for all of them costs
    /// little more than one for a few.
    fn gather(&self) {
        let more_come = self.committed_together >= SEVERAL && self.backlog.is_empty();
        if more_come && self.shared.waiting() < MANY {
            std::thread::sleep(GATHER);
        }
    }

    /// A bounded batch, so that no one waits for a transaction without end.
    fn cut_batch(&mut self) -> Vec<Waiting> {
        let mut bytes = 0;
        let most_bytes = self.space.batch_bytes();
        let within = |waiting: &&Waiting| {
            let fits = bytes == 0 || bytes < most_bytes;
            bytes += waiting.prepared.stored_bytes();
            fits
        };
        let count = self
            .backlog
            .iter()
            .take(BATCH_ROWS)
            .take_while(within)
            .count();
        self.backlog.drain(..count).collect()
    }

    fn write(&mut self, mut batch: Batch) {
        if !batch.appends.is_empty()
            && let Err(full) = self.make_room()
        {
            self.refuse(Some(full.clone()));
            for waiting in batch.appends.drain(..) {
                answer(waiting, Err(full.clone()));
            }
        }
        let settles = self.settle_below > self.numbers.settled_out_seq;
        if batch.appends.is_empty() && batch.asks.is_empty() && !settles {
            return;
        }
        let before = self.numbers;
        match self.commit(&batch, Store::WhenChanged) {
            Ok(done) => {
                // What was taken back is not to be settled again.
                self.settle_below = self.settle_below.min(self.numbers.settled_out_seq);
                if self.refusing && !done.appended.is_empty() {
                    self.refuse(None);
                }
                self.answer_all(batch, done);
                if settles {
                    self.sweeper.hurry();
                }
            }
            Err(error) => {
                self.roll_back(before);
                refuse_all(batch, &error, self.refusing);
                self.refuse(Some(error));
            }
        }
    }

    fn roll_back(&mut self, before: Numbers) {
        self.numbers = before;
        self.webhooks.clear();
        self.conn = None;
        self.space.forget();
    }

    /// Nobody is refused while something published could go.
    fn make_room(&mut self) -> Result<(), AppendError> {
        for _ in 0..CHUNKS_BEFORE_REFUSAL {
            match self.room() {
                Err(AppendError::Full { .. }) => {}
                other => return other,
            }
            self.sweeper.at_once();
            self.between_batches();
        }
        self.room()
    }

    /// Whether the journal is where it was opened, and may grow.
    fn room(&mut self) -> Result<(), AppendError> {
        self.in_place()?;
        self.space.check(self.conn.as_ref())
    }

    fn in_place(&self) -> Result<(), AppendError> {
        match Files::at(&self.path) {
            Ok(files) if files == self.files => Ok(()),
            Ok(_) => Err(AppendError::Moved),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(AppendError::Moved),
            Err(error) => Err(AppendError::Disk(Arc::new(error))),
        }
    }

    fn refuse(&mut self, refusal: Option<AppendError>) {
        self.refusing = refusal.is_some();
        self.shared.refuse(refusal);
    }

    /// While nobody delivers, the writer alone can find out that deliveries would be refused, or are not any more: it
    /// looks at the room, and while it refuses commits something small.
    fn look_again(&mut self) {
        if !self.refusing {
            if self.space.is_stale(LOOK_IDLE)
                && let Err(refusal) = self.room()
            {
                self.refuse(Some(refusal));
            }
            return;
        }
        let refusal = self.room().and_then(|()| self.probe()).err();
        if let (Some(AppendError::Full { .. }), Some(conn)) = (&refusal, &self.conn) {
            // What the WAL takes is most of what can be given back.
            self.checkpoints.cut_wal(conn);
        }
        self.refuse(refusal);
    }

    fn probe(&mut self) -> Result<(), AppendError> {
        let nothing = Batch {
            appends: Vec::new(),
            asks: Vec::new(),
        };
        let before = self.numbers;
        let probed = self.commit(&nothing, Store::Always);
        if probed.is_err() {
            self.roll_back(before);
        }
        probed.map(|_| ())
    }

    /// One transaction; `Ok` means that it is on disk and in the file that the path leads to.
    fn commit(&mut self, batch: &Batch, store: Store) -> Result<Done, AppendError> {
        self.in_place()?;
        let before = self.numbers;
        let mut done = self.transact(batch, store, Care::ForAll);
        if let Err(error) = &done
            && is_damage(error)
        {
            tracing::error!(
                error = error as &dyn std::error::Error,
                "the disk has damaged pages of the journal; going on beside them"
            );
            self.numbers = before;
            self.webhooks.clear();
            done = self.transact(batch, store, Care::ForDeliveries);
        }
        let done = done.map_err(AppendError::of_commit)?;
        self.in_place()?;
        Ok(done)
    }

    fn transact(&mut self, batch: &Batch, store: Store, care: Care) -> rusqlite::Result<Done> {
        let settle_below = self.settle_below;
        self.ensure_open()?;
        let Self {
            conn: Some(conn),
            numbers,
            webhooks,
            ..
        } = self
        else {
            return Err(rusqlite::Error::InvalidQuery);
        };
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let before = *numbers;
        // First, so that what Kafka has just got can be replayed.
        settle(&tx, numbers, settle_below, care)?;
        let mut changed = Vec::with_capacity(batch.asks.len());
        for ask in &batch.asks {
            changed.push(apply(&tx, numbers, &ask.change, care)?);
        }
        let mut appended = Vec::with_capacity(batch.appends.len());
        if !batch.appends.is_empty() {
            let mut appender = Appender::new(&tx)?;
            for waiting in &batch.appends {
                appended.push(appender.append(&waiting.prepared, numbers, webhooks)?);
            }
            failpoint::hit("journal.before-commit");
        }
        if *numbers != before {
            numbers.store(&tx)?;
        }
        if store == Store::Always {
            dirty_a_page(&tx)?;
        }
        tx.commit()?;
        Ok(Done { appended, changed })
    }

    /// After an error the connection is made anew: nothing is known about the old one.
    fn ensure_open(&mut self) -> rusqlite::Result<()> {
        if self.conn.is_none() {
            let conn = schema::reopen_writer(&self.path)?;
            // A commit that reported an error may be on disk all the same.
            self.numbers = Numbers::load(&conn)?;
            self.conn = Some(conn);
        }
        Ok(())
    }

    fn answer_all(&mut self, batch: Batch, done: Done) {
        failpoint::hit("journal.after-commit");
        let Numbers {
            next_out_seq,
            partitions,
            settled_out_seq,
            ..
        } = self.numbers;
        let mut bytes = 0;
        let (mut rows, mut answers) = (Vec::new(), Vec::with_capacity(batch.appends.len()));
        for (waiting, (appended, seq)) in batch.appends.into_iter().zip(done.appended) {
            let Waiting { prepared, answer } = waiting;
            if appended.kind == AppendedKind::Stored {
                bytes += prepared.stored_bytes();
                rows.push(prepared.into_row(&appended, seq));
            }
            answers.push((answer, appended));
        }
        // Before the publisher is woken, so that it finds them.
        self.shared.fresh().keep(rows.into_iter());
        self.shared.publish(
            Committed {
                next_out_seq,
                partitions,
            },
            settled_out_seq,
        );
        for (answer, appended) in answers {
            // Whoever stopped waiting has its delivery stored all the same.
            let _ = answer.send(Ok(appended));
        }
        for (ask, replayed) in batch.asks.into_iter().zip(done.changed) {
            // A caller that stopped waiting has its change all the same.
            let _ = ask.answer.send(Ok(replayed));
        }
        self.space.used(bytes);
        self.checkpoints.written(bytes + COMMIT_OVERHEAD_BYTES);
    }

    fn between_batches(&mut self) {
        let Some(conn) = self.conn.as_mut() else {
            return;
        };
        if self.space.is_tight() {
            self.checkpoints.cut_wal(conn);
        } else {
            self.checkpoints.finish(conn);
        }
        let pressure = self.space.pressure();
        if let Some(freed) = self
            .sweeper
            .step(conn, self.numbers.settled_out_seq, pressure)
        {
            self.checkpoints.written(freed);
            self.space.look(conn);
        }
    }

    /// Leaves a tidy directory, unless a checkpoint has failed: what is in the WAL is as safe as what is in the file.
    fn finish(mut self) {
        self.checkpoints.stop();
        if let Some(conn) = self.conn.take()
            && self.checkpoints.cut_wal(&conn)
        {
            // An empty WAL does no harm if it stays.
            let _ = schema::leave_wal_on_close(&conn, false);
        }
    }
}

/// What one transaction did: one for each of its batch, in order.
struct Done {
    /// Each with its place in the order of arrival.
    appended: Vec<(Appended, u64)>,
    /// Of changes that are no replay: nothing.
    changed: Vec<Replayed>,
}

/// Whether something is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Store {
    WhenChanged,
    Always,
}

/// SQLite writes and syncs nothing for a row that is set to what it is: only a page that did change in between asks the disk.
fn dirty_a_page(tx: &Transaction<'_>) -> rusqlite::Result<()> {
    tx.execute("INSERT INTO webhook VALUES (0, '')", [])?;
    tx.execute("DELETE FROM webhook WHERE n = 0", [])?;
    Ok(())
}

fn answer(waiting: Waiting, result: Result<Appended, AppendError>) {
    // Whoever stopped waiting has its delivery stored all the same.
    let _ = waiting.answer.send(result);
}

/// Says once what is wrong, and then only how many it costs.
fn refuse_all(batch: Batch, error: &AppendError, is_known: bool) {
    if !is_known || !batch.appends.is_empty() {
        tracing::error!(
            error = error as &dyn std::error::Error,
            refused = batch.appends.len(),
            "a commit of the journal failed; its deliveries were refused with 503"
        );
    }
    for waiting in batch.appends {
        answer(waiting, Err(error.clone()));
    }
    for ask in batch.asks {
        let _ = ask.answer.send(Err(error.clone()));
    }
}

/// Whatever ends the thread, nobody waits for it in vain.
struct AbandonOnExit(Arc<Shared>);

impl Drop for AbandonOnExit {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// How often a writer that refuses looks whether it still must.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// How often one that has nothing to write looks whether it would have to.
const LOOK_IDLE: Duration = Duration::from_secs(1);
const BATCH_ROWS: usize = 512;
/// From so many deliveries in a commit on, the next waits for more.
const SEVERAL: usize = 4;
/// So many need not wait for more.
const MANY: usize = 2 * SEVERAL;
/// For how long: about what a commit takes.
const GATHER: Duration = Duration::from_micros(200);
/// Enough to pass the end of the bodies and to come to the first ids.
const CHUNKS_BEFORE_REFUSAL: usize = 4;
/// What a commit writes beside its rows: a page of each table.
const COMMIT_OVERHEAD_BYTES: u64 = 4 * schema::PAGE_BYTES as u64;
