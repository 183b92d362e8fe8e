//! Accepts connections and serves them until told to stop; [`super::connection`] speaks on each.
//!
//! Nothing that a client does ends the loop: it waits out what the system refuses (descriptors, memory) and goes on. When
//! told to stop, it still takes what already waits to be accepted, gives the answers to requests under way, closes idle
//! connections, and ends after [`SHUTDOWN_DEADLINE`] at the latest.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::connection::{Answers, Manner, converse};

/// Serves `answers` on `listener` without TLS until `shutdown` resolves, and returns when the connections are closed.
pub(crate) async fn serve(
    listener: TcpListener,
    answers: impl Answers,
    header_timeout: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let manner = Manner {
        header_timeout,
        handshakes: None,
    };
    serve_with(listener, answers, manner, shutdown).await;
}

/// [`serve`], in whatever manner.
pub(super) async fn serve_with(
    listener: TcpListener,
    answers: impl Answers,
    manner: Manner,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopped) = watch::channel(());
    let open = |(stream, peer): (TcpStream, SocketAddr)| {
        tokio::spawn(converse(
            (stream, peer),
            answers.clone(),
            manner.clone(),
            stopped.clone(),
        ));
    };
    tokio::select! {
        () = accept_for_ever(&listener, open) => {}
        () = shutdown => {}
    }
    while let Ok(Ok(accepted)) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
        open(accepted);
    }
    drop(listener);
    stop.send_replace(());
    drop(stopped);
    // Each connection holds a receiver until it ends.
    if tokio::time::timeout(SHUTDOWN_DEADLINE, stop.closed())
        .await
        .is_err()
    {
        let left = stop.receiver_count();
        tracing::warn!(left, "connections did not end in time and are cut");
    }
}

async fn accept_for_ever(listener: &TcpListener, open: impl Fn((TcpStream, SocketAddr))) {
    let mut last_logged: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok(accepted) => open(accepted),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if last_logged.is_none_or(|at| at.elapsed() > LOG_INTERVAL) {
                    last_logged = Some(Instant::now());
                    tracing::error!(%error, "cannot accept connections; raise the limit of open files (ulimit -n) if it says so");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    [ConnectionAborted, ConnectionRefused, ConnectionReset].contains(&error.kind())
}

/// How long answers may take after the order to stop.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(8);
/// After the system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const LOG_INTERVAL: Duration = Duration::from_secs(10);
