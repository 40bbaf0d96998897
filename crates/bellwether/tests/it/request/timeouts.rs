//! Every phase has its class when the time is up in it.

use bellwether::delivery::transport::error::ErrorClass;
use tokio::net::TcpSocket;

use super::*;

const SHORT_CONNECT: Timeouts = Timeouts { connect: SHORT, ..LONG_TIMEOUTS };

/// A receiver that takes whatever is sent and says nothing.
async fn black_hole(address: &str) -> Raw {
    Raw::at(address, |mut stream| async move {
        let mut read = Vec::new();
        let _ = stream.read_to_end(&mut read).await;
    })
    .await
}

#[tokio::test]
async fn looking_up() {
    struct Never;
    impl Resolve for Never {
        fn resolve<'a>(&'a self, _: &'a str) -> Resolving<'a> {
            Box::pin(std::future::pending())
        }
    }
    let outbound = outbound(&OutboundSettings::default()).with_resolver(Arc::new(Never)).with_timeouts(SHORT_CONNECT);
    let answer = send_once("https://hooks.test/", &outbound).await;
    let message = assert_failed(&answer, ErrorClass::TimeoutDns);
    assert_eq!(message, "no connection within 0.3 s; the time was up while looking up the name");
}

#[tokio::test]
async fn connecting() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(1).unwrap();
    let address = full.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(SHORT, TcpStream::connect(address)).await {
        queue.push(stream);
    }
    let outbound = outbound(&OutboundSettings::default()).with_timeouts(SHORT_CONNECT);
    assert_failed(&send_once(format!("http://{address}/"), &outbound).await, ErrorClass::TimeoutConnect);
}

#[tokio::test]
async fn the_tls_handshake() {
    let raw = black_hole("127.0.0.1:0").await;
    let outbound =
        outbound(&OutboundSettings::default()).with_timeouts(Timeouts { connect: SHORT * 3, ..LONG_TIMEOUTS });
    let answer = send_once(format!("https://{}/", raw.address), &outbound).await;
    assert_failed(&answer, ErrorClass::TimeoutTls);
}

#[tokio::test]
async fn the_proxy() {
    let proxy = black_hole("127.0.0.3:0").await;
    for scheme in ["http", "socks5"] {
        let proxy = format!("{scheme}://{}", proxy.address).parse().unwrap();
        let settings = OutboundSettings { proxy: Some(proxy), ..OutboundSettings::default() };
        let outbound = outbound(&settings).with_timeouts(SHORT_CONNECT);
        assert_failed(&send_once("http://127.0.0.1:9/", &outbound).await, ErrorClass::TimeoutProxy);
    }
}

#[tokio::test]
async fn the_answer() {
    let raw = black_hole("127.0.0.1:0").await;
    let outbound = outbound(&OutboundSettings::default()).with_timeouts(Timeouts { whole: SHORT, ..LONG_TIMEOUTS });
    let answer = send_once(raw.url(), &outbound).await;
    assert_eq!(assert_failed(&answer, ErrorClass::TimeoutAnswer), "no status came within 0.3 s");
}
