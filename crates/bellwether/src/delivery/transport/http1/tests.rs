//! Answers as they come and as they should not come, without a network.

use proptest::prelude::*;
use tokio::io::duplex;

use super::*;
use crate::delivery::transport::slots::Slots;

/// What comes of an answer that arrives in parts, after which the other side closes: the code, the body, and whether the
/// connection could be used again if it had not.
async fn answered(parts: &[&[u8]], limit: usize) -> Result<(u16, Vec<u8>, bool), String> {
    let (near, mut far) = duplex(1 << 20);
    let mut connection = Connection::over(Box::new(near), Slots::of(1).take().await.unwrap());
    let parts: Vec<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
    let receiver = tokio::spawn(async move {
        let mut request = [0; 7];
        far.read_exact(&mut request).await.unwrap();
        for part in parts {
            far.write_all(&part).await.unwrap();
            tokio::task::yield_now().await;
        }
    });
    let mut head = connection.ask(b"request", &AtomicU16::new(0)).await.map_err(|failure| format!("{failure:?}"))?;
    let mut body = Vec::new();
    connection.read_body(&mut head, &mut body, limit).await;
    receiver.await.unwrap();
    let code = head.code;
    Ok((code, body, connection.kept(&head).is_some()))
}

fn run(parts: &[&[u8]]) -> Result<(u16, Vec<u8>, bool), String> {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(answered(parts, 1000))
}

#[track_caller]
fn expect(answer: &str, code: u16, body: &str, is_kept: bool) {
    let found = run(&[answer.as_bytes()]).unwrap();
    assert_eq!((found.0, String::from_utf8_lossy(&found.1).as_ref(), found.2), (code, body, is_kept), "{answer:?}");
}

#[test]
fn the_end_of_a_body_is_where_it_is_said_to_be() {
    expect("HTTP/1.1 204 No Content\r\n\r\n", 204, "", true);
    expect("HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n", 204, "", true);
    expect("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", 200, "", true);
    expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true);
    expect("HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\nContent-Length: 2\r\n\r\nok", 200, "ok", true);
    expect("HTTP/1.1 200 OK\r\n\r\nto the end", 200, "to the end", false);
    expect("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip\r\n\r\nto the end", 200, "to the end", false);
    expect("HTTP/1.1 200 OK\r\nContent-Length: 2, 002\r\n\r\nok", 200, "ok", true);
    // A coding that cannot be one: nobody knows how what follows is framed.
    let odd = "HTTP/1.1 200 OK\r\nTransfer-Encoding: g\u{e9}, chunked\r\nContent-Length: 1\r\n\r\n";
    expect(&format!("{odd}2\r\nok"), 200, "2\r\nok", false);
    let no_text = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: \xff\r\n\r\nok";
    assert_eq!(run(&[no_text]).unwrap(), (200, Vec::new(), false), "as with two lengths that differ");
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n";
    expect(&format!("{chunked}3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n"), 200, "hello", true);
    expect(&format!("{chunked}2\r\nok\r\n0\r\nx-trailer: 1\r\n\r\n"), 200, "ok", true);
    expect(&format!("{chunked}2\r\nok\r\n0\r\n"), 200, "ok", false);
    expect(&format!("{chunked}2\r\nokay\r\n0\r\n\r\n"), 200, "ok", false);
    expect(&format!("{chunked}ffffffffffffffffff\r\nok"), 200, "", false);
    // Both are told: the chunks count, as for everybody, and nobody knows what follows.
    expect(
        "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        200,
        "ok",
        false,
    );
}

#[test]
fn the_status_decides_whatever_is_wrong_behind_it() {
    for length in ["-1", "+1", "1x", "", "99999999999999999999999", "1, 2", "1\r\ncontent-length: 2", "\u{e9}"] {
        expect(&format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n"), 200, "", false);
    }
    expect("HTTP/1.1 200 OK\r\nx: folded\r\n value\r\n\r\n", 200, "", false);
    expect("HTTP/1.1 200 OK\r\nName : v\r\n\r\n", 200, "", false);
    expect("HTTP/1.1 202 Yes\r\nx: broken off", 202, "", false);
    expect(&format!("HTTP/1.1 201 Made\r\nx: {}", "x".repeat(50_000)), 201, "", false);
    expect("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nno colon\r\n\r\n", 200, "", false);
}

#[test]
fn what_has_no_body_and_says_that_it_has_one_is_not_trusted_with_another_request() {
    expect("HTTP/1.1 204 No Content\r\ncontent-length: 7\r\n\r\n", 204, "", false);
    expect("HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", 204, "", false);
    expect("HTTP/1.1 304 No\r\ncontent-length: 7\r\n\r\n", 304, "", true);
    expect("HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 200, "", false);
}

/// A receiver that sends its answer's body late: the next request must not take it for an answer.
#[tokio::test]
async fn garbage_on_a_connection_that_was_used_is_a_broken_connection() {
    let garbage = b"late body\r\n\r\n";
    let (near, mut far) = duplex(1 << 16);
    let mut connection = Connection::over(Box::new(near), Slots::of(1).take().await.unwrap());
    far.write_all(b"HTTP/1.1 204 No Content\r\n\r\n").await.unwrap();
    let seen = AtomicU16::new(0);
    let head = connection.ask(b"request", &seen).await.unwrap();
    let mut connection = connection.kept(&head).unwrap();
    far.write_all(garbage).await.unwrap();
    let failure = connection.ask(b"request", &seen).await.unwrap_err();
    assert!(matches!(failure, Failure::Broken { is_unanswered: true, .. }), "{failure:?}");
    let (near, mut far) = duplex(1 << 16);
    let mut fresh = Connection::over(Box::new(near), Slots::of(1).take().await.unwrap());
    far.write_all(garbage).await.unwrap();
    let failure = fresh.ask(b"request", &seen).await.unwrap_err();
    assert!(matches!(&failure, Failure::Malformed(message) if message.contains("'late body'")), "{failure:?}");
}

/// Only the bytes of a body would not count what is said about each of its parts.
#[tokio::test]
async fn the_limit_counts_what_comes_and_not_what_it_means() {
    let (near, mut far) = duplex(1 << 12);
    let mut connection = Connection::over(Box::new(near), Slots::of(1).take().await.unwrap());
    let sender = tokio::spawn(async move {
        let mut sent = 0;
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let mut part = head.to_vec();
        loop {
            if far.write_all(&part).await.is_err() {
                return sent;
            }
            sent += part.len();
            part = format!("1;x={}\r\na\r\n", "x".repeat(2000)).into_bytes();
        }
    });
    let mut head = connection.ask(b"request", &AtomicU16::new(0)).await.unwrap();
    let mut body = Vec::new();
    connection.read_body(&mut head, &mut body, 16 * 1024).await;
    drop(connection);
    assert!(body.len() < 20 && sender.await.unwrap() < 64 * 1024);
}

#[tokio::test]
async fn the_status_is_seen_while_the_head_drips_in() {
    let (near, mut far) = duplex(1 << 12);
    let mut connection = Connection::over(Box::new(near), Slots::of(1).take().await.unwrap());
    far.write_all(b"HTTP/1.1 202 Yes\r\nx: ").await.unwrap();
    let seen = AtomicU16::new(0);
    assert!(connection.ask(b"request", &seen).now_or_never().is_none());
    assert_eq!(seen.into_inner(), 202);
}

#[test]
fn a_connection_is_kept_unless_either_side_is_done_with_it() {
    expect("HTTP/1.1 204 No\r\nConnection: Close\r\n\r\n", 204, "", false);
    expect("HTTP/1.1 204 No\r\nconnection: x, close\r\n\r\n", 204, "", false);
    expect("HTTP/1.0 204 No\r\n\r\n", 204, "", false);
    expect("HTTP/1.0 204 No\r\nconnection: keep-alive\r\n\r\n", 204, "", true);
    expect("HTTP/1.1 101 Switching\r\n\r\n", 101, "", false);
    // More came than was asked for: whoever used it again would take that for an answer.
    expect("HTTP/1.1 204 No\r\n\r\nHTTP/1.1 500 No\r\n\r\n", 204, "", false);
    // So too where the head was so large that its buffer is not kept.
    let large = format!("HTTP/1.1 204 No\r\nx: {}\r\n\r\n", "x".repeat(20_000));
    expect(&large, 204, "", true);
    expect(&format!("{large}HTTP/1.1 500 No\r\n\r\n"), 204, "", false);
    let long = format!("HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n{}", "x".repeat(10_000));
    let (_, body, is_kept) = run(&[long.as_bytes()]).unwrap();
    assert_eq!((body.len(), is_kept), (1000, false), "what is beyond the limit is not waited for");
}

#[test]
fn interim_answers_are_passed_over_but_not_for_ever() {
    expect(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nlink: x\r\n\r\nHTTP/1.1 202 Yes\r\n\r\nok",
        202,
        "ok",
        false,
    );
    let endless = "HTTP/1.1 100 Continue\r\n\r\n".repeat(10_000);
    assert!(run(&[endless.as_bytes()]).unwrap_err().contains("more than 32768 bytes"));
}

#[test]
fn what_breaks_before_any_byte_is_told_from_what_breaks_in_the_midst() {
    assert!(run(&[]).unwrap_err().contains("is_unanswered: true"));
    assert!(run(&[b"HTTP/1.1 2"]).unwrap_err().contains("is_unanswered: false"));
}

#[tokio::test]
async fn one_that_was_closed_or_talked_to_is_not_usable() {
    let (near, mut far) = duplex(64);
    let mut connection = Connection::over(Box::new(near), Slots::of(1).take().await.unwrap());
    assert!(connection.is_usable() && connection.is_usable());
    far.write_all(b"HTTP/1.1 408 Request Timeout\r\n\r\n").await.unwrap();
    assert!(!connection.is_usable() && !connection.is_usable());
    let (near, far) = duplex(64);
    let mut connection = Connection::over(Box::new(near), Slots::of(1).take().await.unwrap());
    drop(far);
    assert!(!connection.is_usable());
}

proptest! {
    /// However an answer is cut into packets, it is the same answer.
    #[test]
    fn an_answer_is_the_same_however_it_is_cut(
        body in proptest::collection::vec(any::<u8>(), 0..300),
        is_chunked: bool,
        sizes in proptest::collection::vec(1_usize..40, 1..8),
        cuts in proptest::collection::vec(1_usize..90, 1..8),
    ) {
        let mut answer = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx: y\r\n".to_vec();
        if is_chunked {
            answer.extend(b"transfer-encoding: chunked\r\n\r\n");
            let mut rest = body.as_slice();
            for size in sizes.iter().cycle() {
                let (chunk, behind) = rest.split_at((*size).min(rest.len()));
                answer.extend(format!("{:x}\r\n", chunk.len()).bytes());
                answer.extend(chunk);
                answer.extend(b"\r\n");
                if chunk.is_empty() {
                    break;
                }
                rest = behind;
            }
        } else {
            answer.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes());
            answer.extend(&body);
        }
        let (mut parts, mut rest) = (Vec::new(), answer.as_slice());
        for cut in cuts.iter().cycle() {
            let (part, behind) = rest.split_at((*cut).min(rest.len()));
            parts.push(part);
            rest = behind;
            if rest.is_empty() {
                break;
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        prop_assert_eq!(runtime.block_on(answered(&parts, 16 * 1024)), Ok((200, body, true)));
    }
}
