//! A command's side: asks the process that has the journal open, or takes the lock and does it itself.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::{Actions, LINE_BYTES, Request, Response, socket_path};
use crate::bridge;
use crate::config::Config;
use crate::journal::{Journal, OpenError};

/// A way to change the journal and the quarantine.
pub struct Control(Way);

enum Way {
    /// A running bridge does it.
    Running(BufReader<UnixStream>),
    /// This process does it, and has the lock meanwhile.
    Own(Box<Actions>),
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// There is no journal.
    #[error("there is no journal at {}: `serve` creates it; is [journal] path right?", .0.display())]
    Missing(PathBuf),
    /// The journal cannot be opened, though nobody else has it.
    #[error(transparent)]
    Journal(OpenError),
    /// Somebody has the journal, but nobody answers at its socket.
    #[error("the journal is in use by process {pid}, which does not answer at {}: is it starting, stopping, or of another version?", socket.display())]
    NoAnswer {
        /// Who has it.
        pid: String,
        /// Where nobody answers.
        socket: PathBuf,
    },
    /// The running bridge could not be asked.
    #[error("the running bridge could not be asked")]
    Io(#[from] io::Error),
    /// The running bridge said something that this program does not understand.
    #[error(
        "the running bridge answers in a way that this program does not know: run commands of its version"
    )]
    Unknown,
    /// It could not be done.
    #[error("{0}")]
    Failed(String),
}

impl Control {
    /// Finds out who can change things; waits a little for a bridge that is starting or stopping.
    ///
    /// # Errors
    ///
    /// When nobody can.
    pub fn open(config: &Config) -> Result<Self, ControlError> {
        let path = &config.journal.path;
        if !path.exists() {
            return Err(ControlError::Missing(path.clone()));
        }
        let socket = socket_path(path);
        let deadline = Instant::now() + STARTING;
        loop {
            if let Ok(stream) = connect(&socket) {
                return Ok(Self(Way::Running(stream?)));
            }
            match Journal::open_with(path, &bridge::journal_options(config)) {
                Ok(journal) => {
                    return Ok(Self(Way::Own(Box::new(Actions::new(config, journal)))));
                }
                Err(OpenError::Locked { pid, .. }) if Instant::now() >= deadline => {
                    return Err(ControlError::NoAnswer { pid, socket });
                }
                Err(OpenError::Locked { .. }) => std::thread::sleep(BETWEEN_TRIES),
                Err(error) => return Err(ControlError::Journal(error)),
            }
        }
    }

    /// A running bridge, if there is one on the journal.
    ///
    /// # Errors
    ///
    /// It cannot be talked to.
    pub fn of_running(config: &Config) -> Result<Option<Self>, ControlError> {
        match connect(&socket_path(&config.journal.path)) {
            Ok(stream) => Ok(Some(Self(Way::Running(stream?)))),
            Err(_) => Ok(None),
        }
    }

    /// Whether a running bridge does it, with the secrets that it runs with.
    pub fn is_running(&self) -> bool {
        matches!(self.0, Way::Running(_))
    }

    /// Has something done and waits for it.
    ///
    /// # Errors
    ///
    /// When it was not done, or not wholly.
    pub fn ask(&mut self, request: Request) -> Result<Response, ControlError> {
        let response = match &mut self.0 {
            Way::Own(actions) => actions.act(request),
            Way::Running(stream) => ask(stream, &request)?,
        };
        match response {
            Response::Failed { message } => Err(ControlError::Failed(message)),
            done @ (Response::Replayed { .. }
            | Response::Retried(_)
            | Response::Dropped { .. }
            | Response::Reconciling
            | Response::Reconciled(_)) => Ok(done),
        }
    }
}

/// `Err`: nobody listens there.
fn connect(socket: &Path) -> io::Result<io::Result<BufReader<UnixStream>>> {
    let stream = UnixStream::connect(socket)?;
    let patient = stream.set_read_timeout(Some(PATIENCE));
    let patient = patient.and_then(|()| stream.set_write_timeout(Some(PATIENCE)));
    Ok(patient.map(|()| BufReader::new(stream)))
}

fn ask(stream: &mut BufReader<UnixStream>, request: &Request) -> Result<Response, ControlError> {
    let mut line = serde_json::to_vec(request).map_err(io::Error::from)?;
    line.push(b'\n');
    stream.get_mut().write_all(&line)?;
    let mut answer = Vec::new();
    stream
        .take(LINE_BYTES as u64)
        .read_until(b'\n', &mut answer)?;
    if answer.is_empty() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    serde_json::from_slice(&answer).map_err(|_| ControlError::Unknown)
}

/// For a bridge between its lock and its socket.
const STARTING: Duration = Duration::from_secs(5);
const BETWEEN_TRIES: Duration = Duration::from_millis(50);
/// For an answer: a commit may wait for a slow disk.
const PATIENCE: Duration = Duration::from_secs(120);
