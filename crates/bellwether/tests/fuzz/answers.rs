//! Answers of receivers: our reading of HTTP/1.1 against hyper's of the same bytes. Where both accept, they agree; what hyper
//! accepts, we do. Where we differ, the reason stands at `compare`.

use std::io;
use std::pin::Pin;
use std::sync::atomic::AtomicU16;
use std::task::{Context, Poll, Waker};

use bellwether::delivery::transport::http1::{Connection, Failure};
use bellwether::delivery::transport::slots::Slots;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// More than this of a head we do not read, and of headers we do not keep so many.
const MOST_DATA: usize = 3 * 1024;
const MOST_READ: usize = 16 * 1024;

/// The other side of a connection, which waits to be asked, says what it says in pieces, takes everything, and ends.
struct Script {
    left: Vec<u8>,
    piece: usize,
    is_asked: bool,
    /// Who waits for an answer without having asked.
    waiting: Option<Waker>,
}

impl Script {
    fn of(data: &[u8], piece: usize) -> Self {
        Self { left: data.to_vec(), piece, is_asked: false, waiting: None }
    }
}

impl AsyncRead for Script {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_asked {
            self.waiting = Some(context.waker().clone());
            return Poll::Pending;
        }
        let length = self.piece.min(self.left.len()).min(buffer.remaining());
        let piece: Vec<u8> = self.left.drain(..length).collect();
        buffer.put_slice(&piece);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Script {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.is_asked = true;
        self.waiting.take().into_iter().for_each(Waker::wake);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[derive(Debug, PartialEq)]
struct Answer {
    code: u16,
    /// In lower case and in order, for one side keeps neither.
    headers: Vec<String>,
    body: Vec<u8>,
}

/// The first byte says in which pieces the rest comes.
pub fn run(data: &[u8]) {
    let Some((piece, data)) = data.split_first() else { return };
    if data.len() > MOST_DATA {
        return;
    }
    let piece = usize::from(*piece) + 1;
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let ours = ours(data, piece).await;
        let theirs = theirs(data, piece).await;
        compare(&ours, &theirs);
        // Nobody is to see another answer for how the network cuts it.
        let at_once = self::ours(data, MOST_DATA).await;
        if let (Ok(ours), Ok(at_once)) = (&ours, &at_once) {
            assert_eq!(ours.code, at_once.code, "in pieces of {piece} and at once");
        }
    });
}

/// Headers that have fewer bytes together are kept whole.
const LEAST_CUT: usize = 3 * 1024;

async fn ours(data: &[u8], piece: usize) -> Result<Answer, Failure> {
    let slot = Slots::of(1).take().await.expect("there is one");
    let mut connection = Connection::over(Box::new(Script::of(data, piece)), slot);
    let mut head = connection.ask(b"POST / HTTP/1.1\r\nhost: x\r\n\r\n", &AtomicU16::new(0)).await?;
    let mut body = Vec::new();
    connection.read_body(&mut head, &mut body, MOST_READ).await;
    let name_first = |line: &str| match line.split_once(": ") {
        Some((name, value)) => format!("{}: {value}", name.to_ascii_lowercase()),
        None => line.to_owned(),
    };
    let mut headers: Vec<_> = head.headers.lines().map(name_first).collect();
    headers.sort();
    Ok(Answer { code: head.code, headers, body })
}

/// What hyper makes of it: the answer, with the body as far as it came, and whether all of that did.
async fn theirs(data: &[u8], piece: usize) -> Result<(Answer, bool), hyper::Error> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(Script::of(data, piece))).await?;
    let driving = tokio::spawn(connection);
    let request = Request::post("/").header("host", "x").body(Full::new(Bytes::new())).unwrap();
    let response = sender.send_request(request).await?;
    let code = response.status().as_u16();
    let of_header = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
    };
    let mut headers: Vec<_> = response.headers().iter().map(of_header).collect();
    headers.sort();
    let (mut body, mut stream, mut is_whole) = (Vec::new(), response.into_body(), true);
    while let Some(frame) = stream.frame().await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) => body.extend_from_slice(&data),
            Ok(Err(_trailers)) => {}
            Err(_) => {
                is_whole = false;
                break;
            }
        }
    }
    driving.abort();
    Ok((Answer { code, headers, body }, is_whole))
}

/// Whether both read an answer whole, and so can differ.
pub fn is_read_by_both(data: &[u8]) -> bool {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let theirs = theirs(&data[1..], MOST_DATA).await;
        ours(&data[1..], MOST_DATA).await.is_ok() && theirs.is_ok_and(|(_, is_whole)| is_whole)
    })
}

fn compare(ours: &Result<Answer, Failure>, theirs: &Result<(Answer, bool), hyper::Error>) {
    match (ours, theirs) {
        (Ok(ours), Ok((theirs, is_whole))) => {
            assert_eq!(ours.code, theirs.code);
            // Of many, we keep the first: they are shown, and decide nothing.
            if theirs.headers.iter().map(String::len).sum::<usize>() < LEAST_CUT {
                assert_eq!(ours.headers, theirs.headers);
            } else {
                assert!(ours.headers.iter().all(|header| theirs.headers.contains(header)), "{ours:?} and {theirs:?}");
            }
            let length = ours.body.len().min(theirs.body.len());
            assert_eq!(ours.body[..length], theirs.body[..length]);
            // What is cut off, or framed wrongly, each may leave at another place.
            assert!(!is_whole || ours.body == theirs.body, "{:?} and {:?}", ours.body, theirs.body);
        }
        (Err(failure), Ok((theirs, _))) => panic!("only hyper reads it, as {theirs:?}: {failure:?}"),
        // A status that can be read decides, whatever else is wrong with the head: see `http1/lenient.rs`.
        (Ok(_), Err(_)) | (Err(_), Err(_)) => {}
    }
}
