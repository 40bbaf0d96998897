//! Bytes both ways, plain or in TLS.

use tokio::io::{AsyncRead, AsyncWrite};

pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A connection, plain or in TLS.
pub type Stream = Box<dyn Duplex>;
