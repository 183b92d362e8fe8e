//! One connection: with TLS or without, in HTTP/1.1 or HTTP/2, to its end.
//!
//! With TLS the handshake says which (ALPN); without, the first bytes do: HTTP/2 begins with a preface that is no
//! HTTP/1.1. What is read for that is read only once a connection, and passed on.
//!
//! Whatever the version, a request that is complete is not cancelled by a sender that goes away. HTTP/1.1 waits for the
//! answer by itself; a request of HTTP/2 is a task of its own, since a reset stream drops what answers it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use super::stream::HeaderTimedStream;
use super::tls::{HTTP2, Handshakes};

/// What answers the requests of a listener.
pub(crate) trait Answers: Clone + Send + Sync + 'static {
    /// Answers a request of that peer.
    fn answer(
        &self,
        peer: SocketAddr,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response> + Send;
}

impl Answers for Router {
    async fn answer(&self, _: SocketAddr, request: Request<Incoming>) -> Response {
        match self.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// How connections are spoken with.
#[derive(Clone)]
pub(super) struct Manner {
    /// How long a handshake, and then each header, may take.
    pub(super) header_timeout: Duration,
    /// `None`: without TLS.
    pub(super) handshakes: Option<Handshakes>,
}

/// Serves one connection to its end.
pub(super) async fn converse(
    (stream, peer): (TcpStream, SocketAddr),
    answers: impl Answers,
    manner: Manner,
    mut stopped: watch::Receiver<()>,
) {
    // Answers are small and must not wait for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let Some(handshakes) = &manner.handshakes else {
        let mut stream = HeaderTimedStream::new(stream, manner.header_timeout);
        return match asks_for_http2(&mut stream, stopped.clone()).await {
            Some(false) => over_http1(stream, peer, answers, stopped).await,
            // Boxed: the many connections that are none of it need not have room for it.
            Some(true) => Box::pin(over_http2(stream, peer, answers, stopped)).await,
            None => {}
        };
    };
    let handshake = TlsAcceptor::from(handshakes.config()).accept(stream);
    // Nothing was asked yet: who is told to stop need not wait.
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(manner.header_timeout, handshake) => shaken,
        _ = stopped.changed() => return,
    };
    match shaken {
        Ok(Ok(stream)) => {
            Box::pin(over_tls(
                stream,
                peer,
                answers,
                manner.header_timeout,
                stopped,
            ))
            .await
        }
        Ok(Err(error)) => tracing::debug!(%error, client = %peer.ip(), "a handshake failed"),
        Err(_) => tracing::debug!(client = %peer.ip(), "a handshake took too long"),
    }
}

async fn over_tls(
    stream: TlsStream<TcpStream>,
    peer: SocketAddr,
    answers: impl Answers,
    header_timeout: Duration,
    stopped: watch::Receiver<()>,
) {
    let is_http2 = stream.get_ref().1.alpn_protocol() == Some(HTTP2);
    let mut stream = HeaderTimedStream::new(stream, header_timeout);
    if is_http2 {
        over_http2(stream, peer, answers, stopped).await;
    } else if asks_for_http2(&mut stream, stopped.clone()).await.is_some() {
        over_http1(stream, peer, answers, stopped).await;
    }
}

/// Whether the first bytes are those of HTTP/2; `None` when the connection ends before it asks for anything, as those do
/// that a client's pool opened in advance: they do not hold up who is told to stop.
async fn asks_for_http2<S: AsyncRead + Unpin>(
    stream: &mut HeaderTimedStream<S>,
    mut stopped: watch::Receiver<()>,
) -> Option<bool> {
    let out_of_patience = async {
        // It is told once, or its sender is gone, which is the same.
        let _ = stopped.changed().await;
        tokio::time::sleep(FIRST_BYTES_GRACE).await;
    };
    let begins = tokio::select! {
        biased;
        begins = stream.begins_with(PREFACE) => begins,
        () = out_of_patience => return None,
    };
    begins
        .inspect_err(|error| tracing::debug!(%error, "a connection ended early"))
        .ok()
}

async fn over_http1<S: AsyncRead + AsyncWrite + Unpin>(
    stream: HeaderTimedStream<S>,
    peer: SocketAddr,
    answers: impl Answers,
    mut stopped: watch::Receiver<()>,
) {
    let phase = stream.phase();
    let service = service_fn(|request: Request<Incoming>| {
        phase.begin_request();
        let answer = answers.answer(peer, request);
        let phase = &phase;
        async move {
            let answer = answer.await;
            phase.end_request();
            Ok::<_, Infallible>(answer)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(IDLE_TIMEOUT)
        .max_buf_size(BUFFER_BYTES)
        .max_header_size(HEADER_BYTES)
        // A sender that hangs up behind a complete request must not cancel it.
        .half_close(true)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
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

async fn over_http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: HeaderTimedStream<S>,
    peer: SocketAddr,
    answers: impl Answers,
    mut stopped: watch::Receiver<()>,
) {
    // Frames come at any time; what is silent or trickles is found by pings that are not answered.
    stream.phase().begin_request();
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&begun);
    let until_answered = stopped.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        counted.fetch_add(1, Ordering::Relaxed);
        let under_way = (Arc::clone(&counted), until_answered.clone());
        let answers = answers.clone();
        let is_head = request.method() == Method::HEAD;
        tokio::spawn(async move {
            let mut answer = answers.answer(peer, request).await;
            if is_head {
                // In HTTP/1.1 hyper leaves it out by itself.
                *answer.body_mut() = Body::empty();
            }
            drop(under_way);
            answer
        })
    });
    let mut connection = pin!(http2_builder().serve_connection(TokioIo::new(stream), service));
    let mut seen = 0;
    let ended = loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => break ended,
            _ = stopped.changed() => {}
            () = tokio::time::sleep(IDLE_TIMEOUT) => {
                // One holder is this function, one the service.
                let is_idle = Arc::strong_count(&begun) <= 2;
                let before = std::mem::replace(&mut seen, begun.load(Ordering::Relaxed));
                if !is_idle || before != seen {
                    continue;
                }
            }
        }
        connection.as_mut().graceful_shutdown();
        break connection.await;
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// HTTP/2 within limits: many streams and large windows are for browsers; deliveries are few and small.
fn http2_builder() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_concurrent_streams(STREAMS)
        // Streams that their client resets as soon as it has opened them, and those that break the protocol: so many, then
        // the connection ends.
        .max_pending_accept_reset_streams(RESET_STREAMS)
        .max_local_error_reset_streams(RESET_STREAMS)
        .max_header_list_size(HEADER_LIST_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(SEND_BYTES);
    builder
}

/// How every connection of HTTP/2 begins.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How long a new connection may still send its first bytes after the order to stop: they may be on their way.
const FIRST_BYTES_GRACE: Duration = Duration::from_secs(1);
/// How long a connection may rest between requests: longer than load balancers let theirs (60 s; some 600 s).
const IDLE_TIMEOUT: Duration = Duration::from_secs(620);
/// The most that a request's header may be. hyper's own limit of 100 headers holds too, in HTTP/1.1.
const HEADER_BYTES: usize = 64 * 1024;
/// What a connection of HTTP/1.1 buffers at most.
const BUFFER_BYTES: usize = 64 * 1024;
const HEADER_LIST_BYTES: u32 = 64 * 1024;
const STREAMS: u32 = 100;
const RESET_STREAMS: usize = 50;
/// A body in a window is in memory beside what all bodies share, so these are small.
const STREAM_WINDOW_BYTES: u32 = 64 * 1024;
const CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;
/// Answers are a few hundred bytes.
const SEND_BYTES: usize = 16 * 1024;
/// How long a connection of HTTP/2 may be silent before it is asked whether somebody is there.
const PING_INTERVAL: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
