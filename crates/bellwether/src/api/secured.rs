//! A connection to the API that becomes secure by its first reading, so that the handshake has no time but that of the first
//! request's head. Where TLS is wanted, whoever speaks none is let in to be told so.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::{Accept, TlsAcceptor};

use super::connection::{CutWhenStalled, LONGEST_STALL};
use crate::delivery::transport::stream::Stream;

/// With which a connection of TLS begins: the type of a handshake's record.
const HANDSHAKE: u8 = 0x16;

type Wire = CutWhenStalled<TcpStream>;

pub struct Secured {
    state: State,
    is_secure: Arc<AtomicBool>,
}

enum State {
    /// Nothing has come yet.
    Silent(TcpStream, Arc<ServerConfig>),
    Handshake(Box<Accept<Wire>>),
    Open(Stream),
    /// It never opened.
    Ended,
}

impl Secured {
    /// By the TLS of `config`; as it is, without.
    pub fn over(stream: TcpStream, config: Option<Arc<ServerConfig>>) -> Self {
        let state = match config {
            Some(config) => State::Silent(stream, config),
            None => State::Open(Box::new(CutWhenStalled::after(LONGEST_STALL, stream))),
        };
        Self { state, is_secure: Arc::default() }
    }

    /// Turns true when it is secure, which it is before its first request if it ever is.
    pub fn is_secure(&self) -> Arc<AtomicBool> {
        self.is_secure.clone()
    }

    fn open(&mut self, context: &mut Context<'_>) -> Poll<io::Result<Pin<&mut Stream>>> {
        loop {
            // What goes wrong ends it.
            self.state = match std::mem::replace(&mut self.state, State::Ended) {
                State::Silent(stream, config) => {
                    let mut first = [0];
                    let mut buffer = ReadBuf::new(&mut first);
                    if stream.poll_peek(context, &mut buffer)?.is_pending() {
                        self.state = State::Silent(stream, config);
                        return Poll::Pending;
                    }
                    let is_tls = buffer.filled() == [HANDSHAKE];
                    let wire = CutWhenStalled::after(LONGEST_STALL, stream);
                    match is_tls {
                        true => State::Handshake(Box::new(TlsAcceptor::from(config).accept(wire))),
                        false => State::Open(Box::new(wire)),
                    }
                }
                State::Handshake(mut accept) => match Pin::new(accept.as_mut()).poll(context) {
                    Poll::Pending => {
                        self.state = State::Handshake(accept);
                        return Poll::Pending;
                    }
                    Poll::Ready(accepted) => {
                        let stream = accepted.inspect_err(|error| tracing::debug!(%error, "a handshake failed"))?;
                        self.is_secure.store(true, Ordering::Relaxed);
                        State::Open(Box::new(stream))
                    }
                },
                other => other,
            };
            match self.state {
                State::Open(ref mut stream) => return Poll::Ready(Ok(Pin::new(stream))),
                State::Ended => return Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
                State::Silent(..) | State::Handshake(_) => {}
            }
        }
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.open(context))?.poll_read(context, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.open(context))?.poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.open(context))?.poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.open(context))?.poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.state {
            State::Open(stream) => Pin::new(stream).poll_shutdown(context),
            // Nothing was said that would have to be taken back.
            _ => Poll::Ready(Ok(())),
        }
    }
}
