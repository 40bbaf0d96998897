//! Through a proxy: what it is told, what it is not, and what becomes of its refusals.

use std::net::Ipv6Addr;

use bellwether::delivery::transport::error::ErrorClass;
use bellwether::delivery::transport::settings::Proxy;
use tokio::sync::mpsc;

use super::*;

const USER: &str = "us:er:pass@word"; // the user is `us`, for HTTP ends it at the first colon

/// A proxy that leads to `receiver`, whatever it is asked for, and keeps what it was asked. It stands at an address that
/// webhooks may not go to: the operator's proxy is not vetted.
async fn proxy(protocol: &'static str, receiver: SocketAddr) -> (Raw, mpsc::UnboundedReceiver<String>) {
    let (asked, questions) = mpsc::unbounded_channel();
    let raw = Raw::at("127.0.0.3:0", move |mut stream| {
        let asked = asked.clone();
        async move {
            let question = match protocol {
                "http" => connect(&mut stream).await,
                _ => socks5(&mut stream).await,
            };
            let Some(question) = question else { return };
            let _ = asked.send(question);
            let mut onward = TcpStream::connect(receiver).await.unwrap();
            let _ = tokio::io::copy_bidirectional(&mut stream, &mut onward).await;
        }
    })
    .await;
    (raw, questions)
}

async fn connect(stream: &mut TcpStream) -> Option<String> {
    let request = read_request(stream).await?;
    stream.write_all(b"HTTP/1.1 200 Connection established\r\nx-proxy: yes\r\n\r\n").await.ok()?;
    Some(request)
}

/// `<user>:<password> <kind of address> <address> <port>`
async fn socks5(stream: &mut TcpStream) -> Option<String> {
    async fn text(stream: &mut TcpStream) -> Option<String> {
        let mut text = vec![0; usize::from(stream.read_u8().await.ok()?)];
        stream.read_exact(&mut text).await.ok()?;
        String::from_utf8(text).ok()
    }
    assert_eq!(stream.read_u8().await.ok()?, 5);
    let mut methods = vec![0; usize::from(stream.read_u8().await.ok()?)];
    stream.read_exact(&mut methods).await.ok()?;
    let credentials = if methods.contains(&2) {
        stream.write_all(&[5, 2]).await.ok()?;
        assert_eq!(stream.read_u8().await.ok()?, 1);
        let (user, password) = (text(stream).await?, text(stream).await?);
        stream.write_all(&[1, 0]).await.ok()?;
        format!("{user}:{password}")
    } else {
        stream.write_all(&[5, 0]).await.ok()?;
        "nobody".to_owned()
    };
    let mut head = [0; 4];
    stream.read_exact(&mut head).await.ok()?;
    assert_eq!(head[..3], [5, 1, 0]);
    let address = match head[3] {
        1 => format!("ipv4 {}", IpAddr::from(stream.read_u32().await.ok()?.to_be_bytes())),
        4 => format!("ipv6 {}", Ipv6Addr::from(stream.read_u128().await.ok()?)),
        _ => format!("name {}", text(stream).await?),
    };
    let port = stream.read_u16().await.ok()?;
    // It says that it connects from a name, which is long and of no use.
    stream.write_all(&[&[5, 0, 0, 3, 255][..], &[b'x'; 255], &[0, 0]].concat()).await.ok()?;
    Some(format!("{credentials} {address} {port}"))
}

fn through(proxy: &str, resolves: bool, names: &Arc<Names>) -> Outbound {
    let proxy: Option<Proxy> = Some(proxy.parse().unwrap());
    let settings = OutboundSettings { proxy, proxy_resolves: resolves, ..OutboundSettings::default() };
    outbound(&settings).with_resolver(names.clone())
}

#[tokio::test]
async fn an_http_proxy_is_given_the_address() {
    let receiver = Raw::answering(NO_CONTENT).await;
    let (raw, mut asked) = proxy("http", receiver.address).await;
    let names = Names::with("hooks.test", &[&["127.0.0.1"]]);
    let outbound = through(&format!("http://us:er%3Apass%40word@{}", raw.address), false, &names);
    let client = client("http://hooks.test:81/", &outbound);
    assert_eq!((code(&send(&client).await), code(&send(&client).await)), (204, 204));
    let request = asked.recv().await.unwrap();
    assert!(request.starts_with("CONNECT 127.0.0.1:81 HTTP/1.1\r\n"), "{request}");
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, USER);
    assert!(request.contains(&format!("Proxy-Authorization: Basic {encoded}\r\n")), "{request}");
    assert!(!request.contains("hooks.test"), "{request}");
    assert_eq!((raw.connections(), receiver.connections(), names.asked()), (1, 1, 1));
}

#[tokio::test]
async fn a_socks5_proxy_is_given_the_address() {
    let receiver = Raw::answering(NO_CONTENT).await;
    let (raw, mut asked) = proxy("socks5", receiver.address).await;
    let names = Names::with("hooks.test", &[&["127.0.0.1"]]);
    let outbound = through(&format!("socks5://us:er%3Apass%40word@{}", raw.address), false, &names);
    assert_eq!(code(&send_once("http://hooks.test:81/", &outbound).await), 204);
    assert_eq!(asked.recv().await.unwrap(), format!("{USER} ipv4 127.0.0.1 81"));
    let outbound = through(&format!("socks5://{}", raw.address), false, &names);
    assert_eq!(code(&send_once("http://127.0.0.1:82/", &outbound).await), 204);
    assert_eq!(asked.recv().await.unwrap(), "nobody ipv4 127.0.0.1 82");
}

#[tokio::test]
async fn a_proxy_that_resolves_is_given_the_name() {
    let receiver = Raw::answering(NO_CONTENT).await;
    let names = Names::with("other.test", &[]);
    let (http, mut http_asked) = proxy("http", receiver.address).await;
    let (socks, mut socks_asked) = proxy("socks5", receiver.address).await;
    let outbound = through(&format!("http://{}", http.address), true, &names);
    assert_eq!(code(&send_once("http://hooks.test:81/", &outbound).await), 204);
    assert!(http_asked.recv().await.unwrap().starts_with("CONNECT hooks.test:81 HTTP/1.1\r\n"));
    let outbound = through(&format!("socks5://{}", socks.address), true, &names);
    assert_eq!(code(&send_once("http://hooks.test/", &outbound).await), 204);
    assert_eq!(socks_asked.recv().await.unwrap(), "nobody name hooks.test 80");
    assert_eq!(names.asked(), 0);
}

#[tokio::test]
async fn a_forbidden_target_is_not_told_to_the_proxy() {
    for scheme in ["http", "socks5"] {
        let raw = Raw::at("127.0.0.3:0", |_| std::future::pending()).await;
        let names = Names::with("hooks.test", &[&["10.0.0.1"]]);
        for (url, resolves) in [
            ("https://hooks.test/", false),
            ("https://10.0.0.1/", false),
            ("https://10.0.0.1/", true),
            ("https://[::ffff:10.0.0.1]/", true),
        ] {
            let outbound = through(&format!("{scheme}://{}", raw.address), resolves, &names);
            assert_failed(&send_once(url, &outbound).await, ErrorClass::BlockedAddress);
        }
        assert_eq!(raw.connections(), 0);
    }
}

#[tokio::test]
async fn a_proxy_that_refuses_is_quoted() {
    let refusals: [(&str, &[u8], &str); 9] = [
        ("http", b"HTTP/1.1 403 Forbidden by rule 7\r\ncontent-length: 2\r\n\r\nno", "403 Forbidden by rule 7"),
        ("http", b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "password"),
        ("http", b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "goes on"),
        ("http", b"SSH-2.0-OpenSSH_9\r\n\r\n", "not HTTP"),
        ("http", b"", "closed"),
        ("socks5", b"\x05\xff", "password"),
        ("socks5", b"\x05\x00\x05\x02\x00\x01\0\0\0\0\0\0", "2 (not allowed by its rules)"),
        ("socks5", b"HTTP/1.1 400 Bad Request\r\n\r\n", "not SOCKS5"),
        ("socks5", b"\x05\x00\x05", "closed"),
    ];
    for (scheme, answer, expected) in refusals {
        let raw = Raw::at("127.0.0.3:0", move |mut stream| async move {
            let _ = stream.read_buf(&mut Vec::with_capacity(1024)).await;
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
        .await;
        let names = Names::with("hooks.test", &[&["127.0.0.1"]]);
        let answer =
            send_once("http://hooks.test/", &through(&format!("{scheme}://{}", raw.address), false, &names)).await;
        let message = assert_failed(&answer, ErrorClass::Proxy);
        assert!(message.contains(expected) && message.contains("127.0.0.3"), "{message}");
    }
}

#[tokio::test]
async fn of_a_proxys_endless_answer_little_is_read() {
    let raw = Raw::at("127.0.0.3:0", |mut stream| async move {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n").await;
        while stream.write_all(b"x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n").await.is_ok() {}
    })
    .await;
    let names = Names::with("hooks.test", &[&["127.0.0.1"]]);
    let answer = send_once("http://hooks.test/", &through(&format!("http://{}", raw.address), false, &names)).await;
    assert!(assert_failed(&answer, ErrorClass::Proxy).contains("no end"));
}

#[tokio::test]
async fn a_proxy_that_is_not_there_is_told() {
    let listener = TcpListener::bind("127.0.0.3:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let names = Names::with("hooks.test", &[&["127.0.0.1"]]);
    let answer = send_once("http://hooks.test/", &through(&format!("http://{address}"), false, &names)).await;
    assert!(assert_failed(&answer, ErrorClass::Proxy).contains("refused"));
    let answer = send_once("http://hooks.test/", &through("http://proxy.test", false, &names)).await;
    assert!(assert_failed(&answer, ErrorClass::Proxy).contains("proxy.test"));
}
