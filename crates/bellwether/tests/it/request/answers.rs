//! What receivers answer, well and badly.

use bellwether::delivery::answer::{Answer, ErrorClass};
use bellwether::delivery::outbound::Timeouts;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::*;

async fn answered(answer: impl Into<Vec<u8>>) -> Answer {
    let raw = Raw::closing(answer).await;
    send_once(raw.url(), &outbound(&OutboundSettings::default())).await
}

#[tokio::test]
async fn the_status_the_wait_and_the_body_are_kept() {
    let answer = answered("HTTP/1.1 503 Later\r\nretry-after: 120\r\ncontent-length: 4\r\n\r\na\0bc").await;
    let expected = Answer::Status { code: 503, retry_after: Some("120".into()), body: "a\u{fffd}bc".into() };
    assert_eq!(answer, expected);
    assert!(!answer.is_success() && answered(NO_CONTENT).await.is_success());
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = Raw::answering(NO_CONTENT).await;
    let location = elsewhere.url();
    for status in [301, 302, 303, 307, 308] {
        let answer = format!("HTTP/1.1 {status} Moved\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
        assert_eq!(code(&answered(answer).await), status);
    }
    assert_eq!(elsewhere.connections(), 0);
}

#[tokio::test]
async fn compressed_bodies_stay_as_they_are() {
    // 10 MB of zeros in gzip begin so; here they are cut after 18 bytes.
    let bomb = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\xff\xec\xc1\x01\x01\x00\x00\x00\x80";
    let head = format!("HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: {}\r\n\r\n", bomb.len());
    let answer = answered([head.as_bytes(), bomb].concat()).await;
    assert_eq!(body(&answer), String::from_utf8_lossy(bomb).replace('\0', "\u{fffd}"));
}

#[tokio::test]
async fn of_an_endless_body_the_beginning_is_read_and_the_connection_is_closed() {
    let (ended, mut has_ended) = tokio::sync::mpsc::unbounded_channel();
    let raw = Raw::start(move |mut stream| {
        let ended = ended.clone();
        async move {
            read_request(&mut stream).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
            let mut written = 0;
            while stream.write_all(b"400\r\n").await.is_ok()
                && stream.write_all(&[b'x'; 0x400]).await.is_ok()
                && stream.write_all(b"\r\n").await.is_ok()
            {
                written += 0x400;
            }
            let _ = ended.send(written);
        }
    })
    .await;
    let client = client(raw.url(), &outbound(&OutboundSettings::default()));
    let answer = send(&client).await;
    assert_eq!((code(&answer), body(&answer)), (200, "x".repeat(4096).as_str()));
    // What the operating system buffers on both sides is written, but never read.
    assert!(has_ended.recv().await.unwrap() < 32 * 1024 * 1024);
    send(&client).await;
    assert_eq!(raw.connections(), 2);
}

#[tokio::test]
async fn a_body_that_does_not_come_keeps_nobody_waiting_and_does_not_undo_the_status() {
    let raw = Raw::start(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 201 Created\r\ncontent-length: 1000000\r\n\r\n").await;
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        while stream.write_all(b"x").await.is_ok() {
            ticks.tick().await;
        }
    })
    .await;
    let outbound = outbound(&OutboundSettings::default()).with_timeouts(Timeouts { body: SHORT, ..LONG_TIMEOUTS });
    let answer = tokio::time::timeout(LONG / 2, send_once(raw.url(), &outbound)).await.unwrap();
    assert!(answer.is_success() && body(&answer).starts_with('x'), "{answer:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_does_not_undo_the_status() {
    let answer = answered("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf").await;
    assert_eq!((code(&answer), body(&answer)), (200, "half"));
    let answer = answered("HTTP/1.1 500 Oh\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\nzzz\r\n").await;
    assert_eq!((code(&answer), body(&answer)), (500, "half"));
}

#[tokio::test]
async fn what_is_not_http_is_told_from_a_connection_that_broke() {
    for answer in ["220 mail.example ESMTP\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/3.7 200 OK\r\n\r\n"] {
        assert_failed(&answered(answer).await, ErrorClass::MalformedAnswer);
    }
    for answer in ["", "HTTP/1.1 2"] {
        assert_failed(&answered(answer).await, ErrorClass::Exchange);
    }
}

#[tokio::test]
async fn a_reset_before_the_status_is_a_broken_exchange() {
    let raw = Raw::start(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 ").await;
        socket_reset(stream);
    })
    .await;
    assert_failed(&send_once(raw.url(), &outbound(&OutboundSettings::default())).await, ErrorClass::Exchange);
}

/// Closes without the courtesy of FIN.
fn socket_reset(stream: TcpStream) {
    let _ = stream.set_zero_linger();
    drop(stream);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(64 * 1024));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(200));
    for answer in [large, many] {
        assert_failed(&answered(answer).await, ErrorClass::MalformedAnswer);
    }
    let endless = Raw::start(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n").await.is_ok() {}
    })
    .await;
    let answer = send_once(endless.url(), &outbound(&OutboundSettings::default())).await;
    assert_failed(&answer, ErrorClass::MalformedAnswer);
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let answer = answered("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No\r\n\r\n").await;
    assert_eq!(code(&answer), 204);
}

#[tokio::test]
async fn nobody_listening_is_told_with_address_and_port() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let answer = send_once(format!("http://{address}/"), &outbound(&OutboundSettings::default())).await;
    let message = assert_failed(&answer, ErrorClass::Connect);
    assert!(message.contains(&format!("127.0.0.1 port {}", address.port())), "{message}");
}
