//! The quarantine's file: its table, and what is done with its rows.
//!
//! WAL without any fsync: a power cut may cost what is in it, and never what is signed. Only the process that has the
//! journal's lock changes it; anyone may read it.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params};

use super::super::{headers, place};
use super::rows::CHUNK_ROWS;
use super::{Candidate, file, rows};
use crate::receive::delivery::{Delivery, WebhookName};
use crate::time::Timestamp;
use crate::verify::proof::{KeptProof, ProofKey};
use crate::verify::{Refused, VerifiedDelivery, Verifier, verify_again};

/// The open file.
pub struct Store {
    path: PathBuf,
    conn: Connection,
    key: ProofKey,
}

/// Why the quarantine could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum QuarantineError {
    /// The file system refused.
    #[error("cannot prepare the quarantine {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// The file holds something else, or a newer program wrote it.
    #[error("{} is not a quarantine of this program's format: move it away, or run the newer program", .0.display())]
    Foreign(PathBuf),
    /// SQLite refused.
    #[error("cannot use the quarantine {}", path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        #[source]
        source: rusqlite::Error,
    },
}

/// Which deliveries to list.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only these; all when empty.
    pub ids: Vec<u64>,
    /// Only to this webhook.
    pub webhook: Option<String>,
    /// Received at this moment or later.
    pub since: Option<Timestamp>,
    /// Received before this moment.
    pub until: Option<Timestamp>,
}

/// A kept delivery without its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its number in the quarantine, never given twice.
    pub id: u64,
    /// The webhook that it was posted to.
    pub webhook: String,
    /// When its body was complete.
    pub received_at: Timestamp,
    /// Why it was refused.
    pub reason: String,
    /// The call that it says it belongs to.
    pub call_id: Option<String>,
    /// Whether it may be a real call: it has the form of a signature, and a call id.
    pub plausible: bool,
    /// The body's size.
    pub body_bytes: u64,
}

/// A kept delivery, whole.
#[derive(Debug)]
pub struct Kept {
    delivery: Delivery,
    proof: KeptProof,
    key: ProofKey,
}

impl Kept {
    /// The webhook that it was posted to.
    pub fn webhook(&self) -> &WebhookName {
        &self.delivery.webhook
    }

    /// How large its body is.
    pub fn body_bytes(&self) -> usize {
        self.delivery.body.len()
    }

    /// Verifies it again.
    ///
    /// # Errors
    ///
    /// Says why it is refused still.
    pub fn verify(self, verifier: &Verifier) -> Result<VerifiedDelivery, Box<Refused>> {
        verify_again(self.delivery, (&self.proof, &self.key), verifier)
    }
}

impl QuarantineError {
    /// Whether the file's content is at fault.
    pub(super) fn is_damage(&self) -> bool {
        let Self::Sqlite { source, .. } = self else {
            return false;
        };
        matches!(
            source.sqlite_error_code(),
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
        )
    }
}

impl Store {
    /// Opens the quarantine to change it, and makes one if there is none. The caller has the journal's lock.
    ///
    /// # Errors
    ///
    /// When disk or SQLite refuse, or the file is something else.
    pub fn open_or_create(path: &Path) -> Result<Self, QuarantineError> {
        place::create_file(path).map_err(|source| QuarantineError::Io {
            path: path.to_owned(),
            source,
        })?;
        let sqlite = |source| error(path, source);
        let conn = file::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE).map_err(sqlite)?;
        let version = file::format(&conn).map_err(sqlite)?;
        if version.is_none() {
            return Err(QuarantineError::Foreign(path.to_owned()));
        }
        let set_up =
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -4096;
                      PRAGMA journal_size_limit = 16777216;";
        conn.execute_batch(set_up).map_err(sqlite)?;
        if version == Some(0) {
            file::create(&conn).map_err(sqlite)?;
        }
        Self::of(path, conn)
    }

    /// Opens the quarantine to read it; `None` when there is none.
    ///
    /// # Errors
    ///
    /// As [`Store::open_or_create`].
    pub fn open_to_read(path: &Path) -> Result<Option<Self>, QuarantineError> {
        if !path.exists() {
            return Ok(None);
        }
        let sqlite = |source| error(path, source);
        let conn = file::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(sqlite)?;
        match file::format(&conn).map_err(sqlite)? {
            Some(0) => Ok(None),
            Some(_) => Self::of(path, conn).map(Some),
            None => Err(QuarantineError::Foreign(path.to_owned())),
        }
    }

    fn of(path: &Path, conn: Connection) -> Result<Self, QuarantineError> {
        let key = conn.query_row("SELECT key FROM proof_key", [], |row| row.get(0));
        Ok(Self {
            key: ProofKey::new(key.map_err(|source| error(path, source))?),
            path: path.to_owned(),
            conn,
        })
    }

    /// Writes refused deliveries.
    pub(super) fn insert(&mut self, candidates: &[Candidate]) -> Result<(), QuarantineError> {
        let Self { path, conn, key } = self;
        rows::insert(conn, key, candidates).map_err(|source| error(path, source))
    }

    /// Deletes what goes first until no more than so many bytes are used.
    pub(super) fn make_room(&mut self, max_bytes: u64) -> Result<(), QuarantineError> {
        let Self { path, conn, .. } = self;
        rows::make_room(conn, max_bytes).map_err(|source| error(path, source))
    }

    /// Deletes what was received before; whether there may be more of it.
    pub(super) fn expire(&mut self, before_ms: i64) -> Result<bool, QuarantineError> {
        let delete = "DELETE FROM kept WHERE id IN
            (SELECT id FROM kept WHERE received_ms < ?1 ORDER BY id LIMIT ?2)";
        let deleted = self.conn.execute(delete, params![before_ms, CHUNK_ROWS]);
        let deleted = deleted.map_err(|source| error(&self.path, source))?;
        Ok(i64::try_from(deleted) == Ok(CHUNK_ROWS))
    }

    /// Up to `limit` deliveries behind `above`, in the order in which they came.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn list(
        &self,
        filter: &Filter,
        above: u64,
        limit: usize,
    ) -> Result<Vec<Listed>, QuarantineError> {
        rows::list(&self.conn, filter, above, limit).map_err(|source| error(&self.path, source))
    }

    /// Up to `limit` deliveries below `before`, the newest first.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn newest(&self, before: u64, limit: usize) -> Result<Vec<Listed>, QuarantineError> {
        rows::newest(&self.conn, before, limit).map_err(|source| error(&self.path, source))
    }

    /// The number of the newest delivery; 0 without any.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn last_id(&self) -> Result<u64, QuarantineError> {
        let last = self
            .conn
            .query_row("SELECT coalesce(max(id), 0) FROM kept", [], |row| {
                row.get::<_, i64>(0)
            });
        let last = last.map_err(|source| error(&self.path, source))?;
        Ok(last.cast_unsigned())
    }

    /// One delivery, whole; `None` when it is not there any more, or not readable.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn load(&self, id: u64) -> Result<Option<Kept>, QuarantineError> {
        let select = "SELECT webhook, received_ms, headers, proof, body FROM kept WHERE id = ?1";
        let row = self
            .conn
            .query_row(select, [id.cast_signed()], |row| self.read_kept(row))
            .optional();
        Ok(row.map_err(|source| error(&self.path, source))?.flatten())
    }

    fn read_kept(&self, row: &Row<'_>) -> rusqlite::Result<Option<Kept>> {
        let webhook = WebhookName::parse(row.get_ref(0)?.as_str()?);
        let headers = headers::read(row.get_ref(2)?.as_str_or_null()?);
        let proof = serde_json::from_str(row.get_ref(3)?.as_str()?).ok();
        let (Some(webhook), Some((headers, _)), Some(proof)) = (webhook, headers, proof) else {
            return Ok(None);
        };
        Ok(Some(Kept {
            delivery: Delivery {
                webhook,
                received_at: Timestamp::from_unix_ms(row.get(1)?),
                headers,
                body: row.get::<_, Vec<u8>>(4)?.into(),
            },
            proof,
            key: self.key.clone(),
        }))
    }

    /// Deletes these; how many were there.
    ///
    /// # Errors
    ///
    /// When SQLite refuses.
    pub fn delete(&mut self, ids: &[u64]) -> Result<u64, QuarantineError> {
        let Self { path, conn, .. } = self;
        rows::delete(conn, ids).map_err(|source| error(path, source))
    }
}

fn error(path: &Path, source: rusqlite::Error) -> QuarantineError {
    QuarantineError::Sqlite {
        path: path.to_owned(),
        source,
    }
}
