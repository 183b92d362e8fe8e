//! A connection that ends when a request's header takes too long to arrive, while an idle one may rest; and that can
//! look at its first bytes before anyone reads them.
//!
//! hyper has one timeout for both. But a load balancer keeps idle connections for a minute and longer, and a request sent
//! into one that is just being closed is lost, since nobody sends it again. So the idle side must be the more patient.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
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

/// A stream with a limit on each request's header.
pub(super) struct HeaderTimedStream<S> {
    stream: S,
    /// What was looked at and not yet read.
    unread: Vec<u8>,
    phase: Phase,
    header_timeout: Duration,
    header_due: Instant,
    alarm: Option<Pin<Box<Sleep>>>,
}

impl<S: AsyncRead + Unpin> HeaderTimedStream<S> {
    /// A new connection has to send its first header at once.
    pub(super) fn new(stream: S, header_timeout: Duration) -> Self {
        Self {
            stream,
            unread: Vec::new(),
            phase: Phase(Arc::new(AtomicU8::new(HEADER))),
            header_timeout,
            header_due: Instant::now() + header_timeout,
            alarm: None,
        }
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.clone()
    }

    /// Waits until it is plain whether the connection begins with these bytes, all of which are still to be read then.
    ///
    /// # Errors
    ///
    /// When the first bytes do not come in the time for a header.
    pub(super) async fn begins_with(&mut self, start: &[u8]) -> io::Result<bool> {
        let mut seen = Vec::with_capacity(start.len());
        while seen.len() < start.len() && start.starts_with(&seen) {
            let wanted = u64::try_from(start.len() - seen.len()).unwrap_or(u64::MAX);
            if (&mut *self).take(wanted).read_buf(&mut seen).await? == 0 {
                break;
            }
        }
        let begins = seen == start;
        self.unread = seen;
        Ok(begins)
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

impl<S: AsyncRead + Unpin> AsyncRead for HeaderTimedStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if !self.unread.is_empty() {
            let taken = self.unread.len().min(buf.remaining());
            buf.put_slice(self.unread.get(..taken).unwrap_or_default());
            self.unread.drain(..taken);
            if !self.unread.is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
        let start = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        if read.is_ready() {
            if buf.filled().len() > start && self.phase.is(IDLE) {
                self.header_begins();
            }
            return read;
        }
        if start > before {
            return Poll::Ready(Ok(()));
        }
        if self.phase.is(HEADER) && self.is_overdue(cx) {
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        Poll::Pending
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for HeaderTimedStream<S> {
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
