//! Accepts connections and speaks HTTP/1.1 on them until told to stop.
//!
//! Nothing that a client does ends the loop: it waits out what the system refuses (descriptors, memory) and goes on. When
//! told to stop, it still takes what already waits to be accepted, gives the answers to requests under way, closes idle
//! connections, and ends after [`SHUTDOWN_DEADLINE`] at the latest.

use std::io;
use std::time::{Duration, Instant};

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tower::ServiceExt;

use super::stream::HeaderTimedStream;

/// Serves `router` on `listener` until `shutdown` resolves, and returns when the connections are closed.
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    header_timeout: Duration,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopped) = watch::channel(());
    let open = |stream: TcpStream| {
        let connection = converse(stream, router.clone(), header_timeout, stopped.clone());
        tokio::spawn(connection);
    };
    tokio::select! {
        () = accept_for_ever(&listener, open) => {}
        () = shutdown => {}
    }
    while let Ok(Ok((stream, _))) = tokio::time::timeout(Duration::ZERO, listener.accept()).await {
        open(stream);
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

async fn accept_for_ever(listener: &TcpListener, open: impl Fn(TcpStream)) {
    let mut last_logged: Option<Instant> = None;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => open(stream),
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

/// Serves one connection to its end.
async fn converse(
    stream: TcpStream,
    router: Router,
    header_timeout: Duration,
    mut stopped: watch::Receiver<()>,
) {
    // Answers are small and must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let stream = HeaderTimedStream::new(stream, header_timeout);
    let phase = stream.phase();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        phase.begin_request();
        let answer = router.clone().oneshot(request);
        let phase = &phase;
        async move {
            let answer = answer.await;
            phase.end_request();
            answer
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        // A sender that hangs up behind a complete request must not cancel it.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    // The connection comes first: what has arrived by now is under way when it is told to end.
    let ended = tokio::select! {
        biased;
        ended = connection.as_mut() => ended,
        _ = stopped.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// How long answers may take after the order to stop.
const SHUTDOWN_DEADLINE: Duration = Duration::from_secs(8);
/// How long a connection may rest between requests: longer than load balancers let theirs (60 s; some 600 s).
const IDLE_TIMEOUT: Duration = Duration::from_secs(620);
/// What a connection buffers at most: also the limit of a request's header. hyper's own limit of 100 headers holds too.
const BUFFER_BYTES: usize = 64 * 1024;
/// After the system refused a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const LOG_INTERVAL: Duration = Duration::from_secs(10);
