//! A client of HTTP/1.1 and HTTP/2, with TLS and without, for many requests at once on a runtime of the test's own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};

use super::http::Answer;

/// A connection. Of HTTP/2, clones are the same one.
pub(crate) enum Connection {
    One(http1::SendRequest<BoxBody<Bytes, Infallible>>),
    Two(http2::SendRequest<BoxBody<Bytes, Infallible>>),
}

/// A version of HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Version {
    One,
    Two,
}

impl Version {
    /// Its name in ALPN.
    pub(crate) fn alpn(self) -> &'static [u8] {
        match self {
            Self::One => b"http/1.1",
            Self::Two => b"h2",
        }
    }
}

impl Connection {
    /// Connects without TLS; HTTP/2 without asking.
    pub(crate) async fn plain(address: SocketAddr, version: Version) -> hyper::Result<Self> {
        let stream = TcpStream::connect(address)
            .await
            .expect("the bridge listens");
        Self::over(stream, version).await
    }

    /// Connects with TLS; returns the certificate that was shown too. The other side chooses what the client offers.
    pub(crate) async fn secured(
        address: SocketAddr,
        tls: Arc<ClientConfig>,
    ) -> std::io::Result<(Self, CertificateDer<'static>)> {
        let stream = TcpStream::connect(address)
            .await
            .expect("the bridge listens");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(tls).connect(name, stream).await?;
        let session = stream.get_ref().1;
        let shown = session.peer_certificates().and_then(|chain| chain.first());
        let shown = shown.expect("a certificate").clone().into_owned();
        let version = match session.alpn_protocol() {
            Some(b"h2") => Version::Two,
            _ => Version::One,
        };
        let connection = Self::over(stream, version).await;
        Ok((connection.map_err(std::io::Error::other)?, shown))
    }

    async fn over<S>(stream: S, version: Version) -> hyper::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let io = TokioIo::new(stream);
        Ok(match version {
            Version::One => {
                let (sender, connection) = http1::handshake(io).await?;
                tokio::spawn(connection);
                Self::One(sender)
            }
            Version::Two => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                tokio::spawn(connection);
                Self::Two(sender)
            }
        })
    }

    /// The version that is spoken.
    pub(crate) fn version(&self) -> Version {
        match self {
            Self::One(_) => Version::One,
            Self::Two(_) => Version::Two,
        }
    }

    /// A second handle for requests at the same time; only HTTP/2 has it.
    pub(crate) fn share(&self) -> Self {
        match self {
            Self::One(_) => panic!("HTTP/1.1 takes one request at a time"),
            Self::Two(sender) => Self::Two(sender.clone()),
        }
    }

    /// Asks and reads the whole answer.
    pub(crate) async fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> hyper::Result<Answer> {
        let body = Full::new(Bytes::from(body)).boxed();
        self.request_with(method, path, headers, body).await
    }

    /// Posts a part of a body and then nothing.
    pub(crate) async fn stall(&mut self, path: &str, part: &'static str) -> hyper::Result<Answer> {
        let body = Stalling(Some(part)).boxed();
        self.request_with("POST", path, &[("content-length", "1000")], body)
            .await
    }

    async fn request_with(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: BoxBody<Bytes, Infallible>,
    ) -> hyper::Result<Answer> {
        // HTTP/2 wants a whole address, and makes of it what HTTP/1.1 has in `Host`.
        let uri = match self {
            Self::One(_) => path.to_owned(),
            Self::Two(_) => format!("http://localhost{path}"),
        };
        let mut request = Request::builder().method(method).uri(uri);
        if let Self::One(_) = self {
            request = request.header("host", "localhost");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).expect("a request");
        let answer = match self {
            Self::One(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Self::Two(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        let (head, body) = answer.into_parts();
        let text = |value: &hyper::header::HeaderValue| {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        };
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), text(value)))
                .collect(),
            body: body.collect().await?.to_bytes().to_vec(),
        })
    }
}

/// A body of which only the beginning comes.
struct Stalling(Option<&'static str>);

impl hyper::body::Body for Stalling {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Bytes>, Infallible>>> {
        match self.0.take() {
            Some(part) => Poll::Ready(Some(Ok(hyper::body::Frame::data(Bytes::from_static(
                part.as_bytes(),
            ))))),
            None => Poll::Pending,
        }
    }
}
