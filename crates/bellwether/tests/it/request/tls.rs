//! Certificates, good and bad, on both sides; and HTTP/2.

use std::convert::Infallible;
use std::path::PathBuf;

use bellwether::delivery::transport::error::ErrorClass;
use bellwether::domain::endpoint::OwnTls;
use bellwether::platform::clock::SystemClock;
use bellwether::platform::pem::CertificateFiles;
use bellwether_testkit::certificates::{Authority, Certificate};
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::*;

/// Trusting this authority, and looking names up where the receivers are.
fn trusting(authority: &Authority, settings: OutboundSettings) -> Outbound {
    let settings = OutboundSettings { ca_file: Some(authority.file()), ..settings };
    outbound(&settings).with_resolver(Names::with("hooks.test", &[&["127.0.0.1"]]))
}

/// What a receiver saw of a request.
type Seen = (Version, bool);

struct Receiver {
    raw: Raw,
    seen: mpsc::UnboundedReceiver<Seen>,
}

impl Receiver {
    /// Answers 204 in TLS. With `asks_for`, it wants a certificate of that authority.
    async fn start(certificate: &Certificate, alpn: &[&str], asks_for: Option<&Authority>) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let builder = match asks_for {
            None => builder.unwrap().with_no_client_auth(),
            Some(authority) => {
                let mut roots = RootCertStore::empty();
                roots.add(authority.der.clone()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build().unwrap();
                builder.unwrap().with_client_cert_verifier(verifier)
            }
        };
        let mut config = builder.with_single_cert(vec![certificate.der.clone()], certificate.key_der()).unwrap();
        config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let (saw, seen) = mpsc::unbounded_channel();
        Self { raw: Raw::start(move |stream| serve(acceptor.clone(), stream, saw.clone())).await, seen }
    }

    fn url(&self) -> String {
        format!("https://hooks.test:{}/", self.raw.address.port())
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, saw: mpsc::UnboundedSender<Seen>) {
    let tls = match acceptor.accept(stream).into_fallible().await {
        Ok(tls) => tls,
        // What is unread when a connection is closed makes it a reset, which may overtake the alert.
        Err((_, mut stream)) => {
            let _ = stream.read_to_end(&mut Vec::new()).await;
            return;
        }
    };
    let connection = tls.get_ref().1;
    let (is_h2, has_certificate) =
        (connection.alpn_protocol() == Some(b"h2"), connection.peer_certificates().is_some());
    let service = service_fn(move |request: Request<Incoming>| {
        let saw = saw.clone();
        async move {
            let version = request.version();
            let _ = request.into_body().collect().await;
            let _ = saw.send((version, has_certificate));
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.status_mut() = http::StatusCode::NO_CONTENT;
            Ok::<_, Infallible>(response)
        }
    });
    let io = TokioIo::new(tls);
    let _ = match is_h2 {
        true => hyper::server::conn::http2::Builder::new(TokioExecutor::new()).serve_connection(io, service).await,
        false => hyper::server::conn::http1::Builder::new().serve_connection(io, service).await,
    };
}

#[tokio::test]
async fn a_private_authority_is_trusted_when_it_is_set() {
    let authority = Authority::make();
    let mut receiver = Receiver::start(&authority.certify("hooks.test"), &[], None).await;
    let answer = send_once(receiver.url(), &trusting(&authority, OutboundSettings::default())).await;
    assert_eq!(code(&answer), 204);
    assert_eq!(receiver.seen.recv().await.unwrap(), (Version::HTTP_11, false));
    let names = Names::with("hooks.test", &[&["127.0.0.1"]]);
    let without = outbound(&OutboundSettings::default()).with_resolver(names);
    assert_failed(&send_once(receiver.url(), &without).await, ErrorClass::Tls);
}

#[tokio::test]
async fn certificates_that_do_not_fit_are_refused() {
    let authority = Authority::make();
    let outbound = trusting(&authority, OutboundSettings::default());
    let wrong_name = authority.certify("other.test");
    for certificate in [wrong_name, Certificate::self_signed("hooks.test"), Authority::make().certify("hooks.test")] {
        let receiver = Receiver::start(&certificate, &[], None).await;
        assert_failed(&send_once(receiver.url(), &outbound).await, ErrorClass::Tls);
    }
}

#[tokio::test]
async fn a_receiver_without_tls_is_told() {
    let authority = Authority::make();
    let outbound = trusting(&authority, OutboundSettings::default());
    for raw in [
        Raw::start(|mut stream| async move {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n").await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        })
        .await,
        Raw::start(|mut stream| async move {
            let _ = stream.read_buf(&mut Vec::with_capacity(4096)).await;
        })
        .await,
    ] {
        let answer = send_once(format!("https://hooks.test:{}/", raw.address.port()), &outbound).await;
        assert_failed(&answer, ErrorClass::Tls);
    }
}

#[tokio::test]
async fn a_certificate_is_shown_to_whoever_asks_for_one() {
    let authority = Authority::make();
    let mut receiver = Receiver::start(&authority.certify("hooks.test"), &[], Some(&authority)).await;
    let answer = send_once(receiver.url(), &trusting(&authority, OutboundSettings::default())).await;
    assert_failed(&answer, ErrorClass::Tls);
    let client_certificate = Some(authority.client_files("bellwether.test"));
    let settings = OutboundSettings { client_certificate, ..OutboundSettings::default() };
    assert_eq!(code(&send_once(receiver.url(), &trusting(&authority, settings)).await), 204);
    assert_eq!(receiver.seen.recv().await.unwrap(), (Version::HTTP_11, true));
}

#[tokio::test]
async fn http_2_is_spoken_where_it_is_offered_over_one_connection() {
    let authority = Authority::make();
    let certificate = authority.certify("hooks.test");
    let mut receiver = Receiver::start(&certificate, &["h2", "http/1.1"], None).await;
    let target = Target { max_in_flight: 8, ..target(receiver.url()) };
    let client = Arc::new(Client::connect(target, &trusting(&authority, OutboundSettings::default())).unwrap());
    assert_eq!(code(&send(&client).await), 204);
    assert_eq!(receiver.seen.recv().await.unwrap(), (Version::HTTP_2, false));
    let mut sending = JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        sending.spawn(async move { code(&send(&client).await) });
    }
    assert_eq!(sending.join_all().await, [204; 8]);
    assert_eq!(receiver.raw.connections(), 1);
}

#[tokio::test]
async fn many_at_once_agree_on_http_2() {
    let authority = Authority::make();
    let mut receiver = Receiver::start(&authority.certify("hooks.test"), &["h2", "http/1.1"], None).await;
    let target = Target { max_in_flight: 8, ..target(receiver.url()) };
    let client = Arc::new(Client::connect(target, &trusting(&authority, OutboundSettings::default())).unwrap());
    let mut sending = JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        sending.spawn(async move { code(&send(&client).await) });
    }
    assert_eq!(sending.join_all().await, [204; 8]);
    for _ in 0..8 {
        assert_eq!(receiver.seen.recv().await.unwrap().0, Version::HTTP_2);
    }
    // The others wait until the first one says that it carries all.
    assert_eq!(receiver.raw.connections(), 1);
    assert_eq!(code(&send(&client).await), 204);
    assert_eq!(receiver.raw.connections(), 1);
}

/// Whoever waits for another's handshake fails with it, and not by its own time.
#[tokio::test]
async fn many_at_once_fail_with_the_first_handshake() {
    let authority = Authority::make();
    let receiver = Receiver::start(&Certificate::self_signed("hooks.test"), &["h2"], None).await;
    let target = Target { max_in_flight: 8, ..target(receiver.url()) };
    let client = Arc::new(Client::connect(target, &trusting(&authority, OutboundSettings::default())).unwrap());
    let mut sending = JoinSet::new();
    for _ in 0..8 {
        let client = client.clone();
        sending.spawn(async move { assert_failed(&send(&client).await, ErrorClass::Tls).len() });
    }
    sending.join_all().await;
    assert!(receiver.raw.connections() < 8, "{}", receiver.raw.connections());
}

/// The receiver's own idea of HTTP/2, behind TLS.
async fn speaking_h2<F>(
    certificate: &Certificate,
    serve: impl Fn(TlsStream<TcpStream>) -> F + Send + Clone + 'static,
) -> Raw
where
    F: Future<Output = ()> + Send + 'static,
{
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = builder.with_no_client_auth();
    let mut config = config.with_single_cert(vec![certificate.der.clone()], certificate.key_der()).unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    Raw::start(move |stream| {
        let (acceptor, serve) = (acceptor.clone(), serve.clone());
        async move {
            if let Ok(tls) = acceptor.accept(stream).await {
                serve(tls).await;
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_receiver_that_wants_http_1_1_gets_it() {
    let authority = Authority::make();
    let raw = speaking_h2(&authority.certify("hooks.test"), |mut tls| async move {
        if tls.get_ref().1.alpn_protocol() != Some(b"h2") {
            while read_request(&mut tls).await.is_some() {
                let _ = tls.write_all(NO_CONTENT).await;
            }
            return;
        }
        let mut connection = h2::server::handshake(tls).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            respond.send_reset(h2::Reason::HTTP_1_1_REQUIRED);
        }
    })
    .await;
    let url = format!("https://hooks.test:{}/", raw.address.port());
    let client = client(url, &trusting(&authority, OutboundSettings::default()));
    for _ in 0..3 {
        assert_eq!(code(&send(&client).await), 204);
    }
    assert_eq!(raw.connections(), 2, "it is asked once");
}

/// A receiver that never comes to its answer, and sends interim ones without end.
#[tokio::test]
async fn a_flood_over_http_2_is_cut_off() {
    let authority = Authority::make();
    let (tell, mut told) = mpsc::unbounded_channel();
    let raw = speaking_h2(&authority.certify("hooks.test"), move |mut tls| {
        let tell = tell.clone();
        async move {
            // SETTINGS, then HEADERS with `:status: 103` on the first stream, for ever.
            let _ = tls.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).await;
            let mut begun = [0; 300];
            let _ = tls.read(&mut begun).await;
            let interim = [0, 0, 5, 1, 4, 0, 0, 0, 1, 8, 3, b'1', b'0', b'3'].repeat(1000);
            let mut sent = 0;
            while tls.write_all(&interim).await.is_ok() {
                sent += interim.len();
            }
            let _ = tell.send(sent);
        }
    })
    .await;
    let url = format!("https://hooks.test:{}/", raw.address.port());
    let answer = send_once(url, &trusting(&authority, OutboundSettings::default())).await;
    assert!(matches!(answer, Answer::Failed { .. }), "{answer:?}");
    let sent = told.recv().await.unwrap();
    assert!(sent < 8 * 1024 * 1024, "{sent} bytes were taken");
}

/// An endpoint's own authorities are the only ones it trusts, and its certificate is the one that it shows.
#[tokio::test]
async fn an_endpoint_has_certificates_of_its_own() {
    let (authority, other) = (Authority::make(), Authority::make());
    let mut receiver = Receiver::start(&other.certify("hooks.test"), &[], Some(&other)).await;
    let outbound = trusting(&authority, OutboundSettings::default());
    assert_failed(&send_once(receiver.url(), &outbound).await, ErrorClass::Tls);
    let files = other.client_files("bellwether.test");
    let read = |file: PathBuf| Some(std::fs::read_to_string(file).unwrap());
    let own = OwnTls {
        ca_pem: read(other.file()),
        client_cert_pem: read(files.certificate),
        client_key_pem: read(files.key),
    };
    let tls = outbound.tls_with(&own).unwrap();
    let target = Target { tls: Some(tls), ..target(receiver.url()) };
    assert_eq!(code(&send(&Client::connect(target, &outbound).unwrap()).await), 204);
    assert_eq!(receiver.seen.recv().await.unwrap(), (Version::HTTP_11, true));
    let wrong = OwnTls { client_key_pem: read(authority.client_files("x").key), ..own };
    assert_eq!(outbound.tls_with(&wrong).unwrap_err().0, "tls.client_cert_pem");
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named_with_their_setting() {
    let authority = Authority::make();
    let refused = |settings: OutboundSettings| {
        let refusal =
            Outbound::from_settings(&settings, AddressPolicy::default(), Arc::new(SystemClock::start())).err().unwrap();
        refusal.to_string()
    };
    let empty = authority.folder.path().join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    for ca_file in [empty.clone(), PathBuf::from("/nowhere/ca.pem")] {
        let error = refused(OutboundSettings { ca_file: Some(ca_file.clone()), ..OutboundSettings::default() });
        assert!(error.starts_with("outbound_ca_file") && error.contains(ca_file.to_str().unwrap()), "{error}");
    }
    let files = authority.client_files("one.test");
    let other_authority = Authority::make();
    let other = other_authority.client_files("other.test");
    std::fs::copy(&other.key, &files.key).unwrap();
    let wrong_pair =
        refused(OutboundSettings { client_certificate: Some(files.clone()), ..OutboundSettings::default() });
    assert!(wrong_pair.contains("outbound_client_cert_file") && wrong_pair.contains("key"), "{wrong_pair}");
    let no_key = CertificateFiles { key: empty, ..files };
    let no_key = refused(OutboundSettings { client_certificate: Some(no_key), ..OutboundSettings::default() });
    assert!(no_key.starts_with("outbound_client_key_file"), "{no_key}");
}
