//! A connection that ends when a request's header takes too long to arrive, while an idle one may rest.
//!
//! hyper has one timeout for both. But a load balancer keeps idle connections for a minute and longer, and a request sent
//! into one that is just being closed is lost, since nobody sends it again. So the idle side must be the more patient.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

/// What a connection is doing; shared by its stream and its service.
#[derive(Clone)]
pub(super) struct Phase(Arc<AtomicU8>);

impl Phase {
    /// A request's header has arrived.
    pub(super) fn begin_request(&self) {
        self.0.store(REQUEST, Ordering::Relaxed);
    }

    /// It is answered.
    pub(super) fn end_request(&self) {
        self.0.store(IDLE, Ordering::Relaxed);
    }

    fn is(&self, phase: u8) -> bool {
        self.0.load(Ordering::Relaxed) == phase
    }
}

/// A TCP stream with a limit on each request's header.
pub(super) struct HeaderTimedStream {
    stream: TcpStream,
    phase: Phase,
    header_timeout: Duration,
    header_due: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl HeaderTimedStream {
    /// A new connection has to send its first header at once.
    pub(super) fn new(stream: TcpStream, header_timeout: Duration) -> Self {
        Self {
            stream,
            phase: Phase(Arc::new(AtomicU8::new(HEADER))),
            header_timeout,
            header_due: Instant::now() + header_timeout,
            alarm: None,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.clone()
    }

    fn header_begins(&mut self) {
        self.phase.0.store(HEADER, Ordering::Relaxed);
        self.header_due = Instant::now() + self.header_timeout;
        self.alarm = None;
    }

    fn is_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let due = self.header_due;
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
        alarm.as_mut().poll(cx).is_ready()
    }
}

impl AsyncRead for HeaderTimedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            if buf.filled().len() > before && self.phase.is(IDLE) {
                self.header_begins();
            }
            return read;
        }
        if self.phase.is(HEADER) && self.is_overdue(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl AsyncWrite for HeaderTimedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}

const IDLE: u8 = 0;
const HEADER: u8 = 1;
const REQUEST: u8 = 2;
