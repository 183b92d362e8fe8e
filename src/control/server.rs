//! The socket's side of a running `serve`.
//!
//! Whoever binds it has the journal's lock, so a file that lies there already is what a killed process left. Besides the
//! file's mode the system is asked who the caller is: the directory may be open to others.

use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;

use super::{Actions, LINE_BYTES, Request, Response, socket_path, with_suffix};

/// The bound socket; its file goes with it.
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    owner: u32,
}

impl Socket {
    /// Binds the socket of the journal at that path, whose lock this process has; within a runtime.
    ///
    /// # Errors
    ///
    /// When the system refuses, for example because the path is longer than a socket's may be.
    pub fn bind(journal: &Path) -> io::Result<Self> {
        let path = socket_path(journal);
        let new = with_suffix(&path, ".new");
        remove_if_there(&new)?;
        let listener = UnixListener::bind(&new)?;
        // Under its own name it is there with its mode, or not at all; what was there before goes.
        std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o600))?;
        std::fs::rename(&new, &path)?;
        let owner = std::fs::metadata(&path)?.uid();
        Ok(Self {
            listener,
            path,
            owner,
        })
    }

    /// Does what is asked for until `shutdown` resolves.
    pub async fn serve(self, actions: Arc<Actions>, shutdown: impl Future<Output = ()>) {
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        let accept = async {
            loop {
                let Ok(place) = Arc::clone(&places).acquire_owned().await else {
                    return;
                };
                match self.listener.accept().await {
                    Ok((stream, _)) if self.is_owner(&stream) => {
                        let actions = Arc::clone(&actions);
                        tokio::spawn(async move {
                            // A caller that goes away has what it asked for all the same.
                            let _ = converse(stream, &actions).await;
                            drop(place);
                        });
                    }
                    Ok(_) => tracing::warn!("control socket: refused another user"),
                    Err(_) => tokio::time::sleep(AFTER_ERROR).await,
                }
            }
        };
        tokio::select! {
            () = accept => {}
            () = shutdown => {}
        }
    }

    fn is_owner(&self, stream: &UnixStream) -> bool {
        let caller = stream.peer_cred().map(|peer| peer.uid());
        caller.is_ok_and(|uid| uid == self.owner || uid == ROOT)
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // What cannot be removed is stale, as after a kill.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Answers line by line until the caller has no more.
async fn converse(stream: UnixStream, actions: &Arc<Actions>) -> io::Result<()> {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let mut line = Vec::new();
        let mut limited = (&mut read).take(LINE_BYTES as u64);
        let reading = limited.read_until(b'\n', &mut line);
        let bytes = tokio::time::timeout(PATIENCE, reading).await??;
        if bytes == 0 {
            return Ok(());
        }
        let response = match serde_json::from_slice::<Request>(&line) {
            Ok(request) => {
                let actions = Arc::clone(actions);
                let acting = tokio::task::spawn_blocking(move || actions.act(request));
                acting.await.map_err(io::Error::other)?
            }
            Err(_) => Response::Failed {
                message: "the running bridge does not know this request: is it of another version?"
                    .to_owned(),
            },
        };
        let mut answer = serde_json::to_vec(&response).map_err(io::Error::other)?;
        answer.push(b'\n');
        tokio::time::timeout(PATIENCE, write.write_all(&answer)).await??;
        if line.last() != Some(&b'\n') {
            // What follows is the rest of a line that was too long.
            return Ok(());
        }
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

const CONNECTIONS: usize = 4;
const ROOT: u32 = 0;
/// For a line to come or to go.
const PATIENCE: Duration = Duration::from_secs(60);
const AFTER_ERROR: Duration = Duration::from_millis(100);
