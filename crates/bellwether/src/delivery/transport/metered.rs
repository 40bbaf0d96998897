//! A stream of which no more may be read than what has been allowed: bytes as they come, whatever they turn out to mean. For
//! protocols in which the other side can send without end and without saying anything.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How many bytes may still come.
#[derive(Clone)]
pub struct Allowance(Arc<AtomicI64>);

/// However much is allowed, no more is saved up than this.
const MOST_SAVED: i64 = 4 * 1024 * 1024;

impl Allowance {
    pub fn of(bytes: i64) -> Self {
        Self(Arc::new(AtomicI64::new(bytes)))
    }

    pub fn raise(&self, bytes: i64) {
        // What is read meanwhile is lost by nobody: a little more or less is no matter.
        if self.0.load(Ordering::Relaxed) < MOST_SAVED {
            self.0.fetch_add(bytes, Ordering::Relaxed);
        }
    }
}

pub struct Metered<S> {
    inner: S,
    allowance: Allowance,
}

impl<S> Metered<S> {
    pub fn over(inner: S, allowance: Allowance) -> Self {
        Self { inner, allowance }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buffer);
        let count = i64::try_from(buffer.filled().len() - before).unwrap_or(i64::MAX);
        if self.allowance.0.fetch_sub(count, Ordering::Relaxed) < count {
            let error = "more came from the receiver than all its answers may have";
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, error)));
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn no_more_is_read_than_is_allowed() {
        let allowance = Allowance::of(10);
        let mut stream = Metered::over(&[7_u8; 100][..], allowance.clone());
        let mut bytes = [0; 8];
        assert_eq!(stream.read(&mut bytes).await.unwrap(), 8);
        allowance.raise(6);
        assert_eq!(stream.read(&mut bytes).await.unwrap(), 8);
        assert!(stream.read(&mut bytes).await.unwrap_err().to_string().contains("more came"));
    }
}
