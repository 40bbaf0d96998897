//! What receivers answer, well and badly.

use bellwether::delivery::transport::answer::Answer;
use bellwether::delivery::transport::error::ErrorClass;
use bellwether::delivery::transport::outbound::Timeouts;
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
    let headers = "retry-after: 120\ncontent-length: 4\n".to_owned();
    let expected = Answer::Status { code: 503, retry_after: Some("120".into()), headers, body: "a\u{fffd}bc".into() };
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
async fn a_head_that_is_too_large_is_read_no_further_than_its_status() {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(64 * 1024));
    let many = format!("HTTP/1.1 503 No\r\n{}\r\n", "x: y\r\n".repeat(200));
    assert_eq!(code(&answered(large).await), 200);
    assert_eq!(code(&answered(many).await), 503);
    let endless = Raw::start(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n").await.is_ok() {}
    })
    .await;
    assert_eq!(code(&send_once(endless.url(), &outbound(&OutboundSettings::default())).await), 200);
}

/// An accepted event must not be sent again because what follows the status is odd, or never comes.
#[tokio::test]
async fn a_status_decides_though_the_rest_is_odd_or_never_comes() {
    for odd in ["x: a\r\n folded\r\n\r\n", "Name : v\r\n\r\n", "no colon\r\n\r\n", "content-length: none\r\n\r\n"] {
        assert_eq!(code(&answered(format!("HTTP/1.1 200 OK\r\n{odd}")).await), 200, "{odd}");
    }
    let silent = Raw::start(|mut stream| async move {
        read_request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 202 Yes\r\nx: ").await;
        std::future::pending().await
    })
    .await;
    let outbound = outbound(&OutboundSettings::default()).with_timeouts(Timeouts { whole: SHORT, ..LONG_TIMEOUTS });
    assert_eq!(code(&send_once(silent.url(), &outbound).await), 202);
}

#[tokio::test]
async fn what_is_no_answer_is_shown() {
    let answer = answered("220 mail.example ESMTP\r\n").await;
    assert!(assert_failed(&answer, ErrorClass::MalformedAnswer).contains("'220 mail.example ESMTP'"), "{answer:?}");
    let alert = Raw::closing([0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 0x46]).await;
    let answer = send_once(alert.url(), &outbound(&OutboundSettings::default())).await;
    assert!(assert_failed(&answer, ErrorClass::MalformedAnswer).contains("is it https?"), "{answer:?}");
    let silent = Raw::closing("").await;
    let answer = send_once(silent.url(), &outbound(&OutboundSettings::default())).await;
    assert!(assert_failed(&answer, ErrorClass::Exchange).contains("is it https?"), "{answer:?}");
}

/// A body that comes late, behind an answer that has none, is not taken for the next answer.
#[tokio::test]
async fn a_late_body_costs_a_connection_and_no_event() {
    let raw = Raw::start(|mut stream| async move {
        while read_request(&mut stream).await.is_some() {
            let _ = stream.write_all(b"HTTP/1.1 204 No Content\r\ncontent-length: 4\r\n\r\n").await;
            let _ = stream.write_all(b"late").await;
        }
    })
    .await;
    let client = client(raw.url(), &outbound(&OutboundSettings::default()));
    for _ in 0..5 {
        assert_eq!(code(&send(&client).await), 204);
    }
}

#[tokio::test]
async fn an_echo_of_the_request_shows_no_token() {
    let raw = Raw::start(|mut stream| async move {
        let request = read_request(&mut stream).await.unwrap();
        let answer = format!(
            "HTTP/1.1 500 No\r\nx-echo: {}\r\ncontent-length: {}\r\n\r\n{request}",
            "t0ken-value",
            request.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await;
    let mut target = target(format!("http://{}/hooks?key=query-token", raw.address));
    target.headers.push(("authorization".parse().unwrap(), "Bearer t0ken-value".parse().unwrap()));
    let client = Client::connect(target, &outbound(&OutboundSettings::default())).unwrap();
    let exchanged = client.exchange(&MESSAGE, NOW, false).await;
    let shown = format!("{exchanged:?}");
    assert!(shown.contains("[hidden]") && shown.contains("webhook-id: evt_06f2"), "{shown}");
    assert!(!shown.contains("t0ken-value") && !shown.contains("query-token"), "{shown}");
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
