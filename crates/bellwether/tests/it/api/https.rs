//! The API over TLS: what is spoken there, what is refused, and certificates that are renewed while it is.

use std::path::Path;
use std::sync::Arc;

use bellwether::app;
use bellwether::config::Config;
use bellwether::platform::pem::CertificateFiles;
use bellwether_testkit::certificates::Authority;
use bellwether_testkit::databases::Database;
use bellwether_testkit::receiver::PATIENCE;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::server::{ADMIN_KEY, Server, config};

const NAME: &str = "bellwether.test";
const LIST: &str = "/api/v1/experiments";

fn secured(database: &Database, files: &CertificateFiles) -> Config {
    Config { tls: Some(files.clone()), ..config(database) }
}

/// A connection of somebody who trusts this authority.
async fn connect(server: &Server, authority: &Authority, alpn: &str) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.der.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![alpn.into()];
    let stream = TcpStream::connect(server.running().address()).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(NAME).unwrap(), stream).await
}

fn request(path: &str) -> Request<Empty<Bytes>> {
    let request = Request::builder().uri(format!("https://{NAME}{path}")).header(header::HOST, NAME);
    request.header(header::AUTHORIZATION, format!("Bearer {ADMIN_KEY}")).body(Empty::new()).unwrap()
}

type Http1 = http1::SendRequest<Empty<Bytes>>;

async fn http1(server: &Server, authority: &Authority) -> std::io::Result<Http1> {
    let stream = connect(server, authority, "http/1.1").await?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    Ok(sender)
}

async fn status(sender: &mut Http1, path: &str) -> StatusCode {
    let answer = tokio::time::timeout(PATIENCE, sender.send_request(request(path))).await;
    let answer = answer.expect("it is answered").expect("it is answered");
    let status = answer.status();
    answer.into_body().collect().await.expect("the answer is whole");
    status
}

/// Puts another certificate in the files' place.
fn replace(files: &CertificateFiles, by: &CertificateFiles) {
    std::fs::copy(&by.certificate, &files.certificate).unwrap();
    std::fs::copy(&by.key, &files.key).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_versions_of_http_are_spoken_and_none_without_tls() {
    let (database, authority) = (Database::sqlite(), Authority::make());
    let server = Server::with(secured(&database, &authority.client_files(NAME))).await;
    let address = server.running().address();
    assert_eq!(server.running().public_url(), format!("https://{address}"));

    let mut first = http1(&server, &authority).await.unwrap();
    assert_eq!(status(&mut first, LIST).await, 200);
    assert_eq!(status(&mut first, "/healthz").await, 200, "the connection is kept");

    let stream = connect(&server, &authority, "h2").await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut second, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let answer = second.send_request(request(LIST)).await.unwrap();
    assert_eq!(answer.status(), 200);
    drop((first, second));

    // Whoever speaks plain http is told so, and its key is not looked at.
    let mut plain = TcpStream::connect(address).await.unwrap();
    let asked =
        format!("GET {LIST} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_KEY}\r\nconnection: close\r\n\r\n");
    plain.write_all(asked.as_bytes()).await.unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("urn:bellwether:problem:https-only"), "{answer}");
    assert!(answer.contains(&format!("https://{address}")), "{answer}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_renewed_without_dropping_connections() {
    let (database, before, after) = (Database::sqlite(), Authority::make(), Authority::make());
    let files = before.client_files(NAME);
    let server = Server::with(secured(&database, &files)).await;
    let mut kept = http1(&server, &before).await.unwrap();
    assert_eq!(status(&mut kept, LIST).await, 200);

    // Half of a pair is no certificate; nor is what is cut off.
    let renewed = after.client_files(NAME);
    std::fs::copy(&renewed.certificate, &files.certificate).unwrap();
    assert!(server.running().reload());
    assert_eq!(status(&mut http1(&server, &before).await.unwrap(), LIST).await, 200);
    std::fs::write(&files.key, "-----BEGIN PRIVATE KEY-----\nMIG").unwrap();
    assert!(server.running().reload());
    assert_eq!(status(&mut http1(&server, &before).await.unwrap(), LIST).await, 200);
    std::fs::remove_file(&files.certificate).unwrap();
    assert!(server.running().reload());
    assert_eq!(status(&mut http1(&server, &before).await.unwrap(), LIST).await, 200);

    replace(&files, &renewed);
    assert!(server.running().reload());
    assert_eq!(status(&mut http1(&server, &after).await.unwrap(), LIST).await, 200);
    assert!(http1(&server, &before).await.is_err(), "the old one is shown no more");
    assert_eq!(status(&mut kept, LIST).await, 200, "who was there stays");
    server.stop().await;
}

/// Whoever does not go on with a handshake gives way to others, as any newcomer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_a_handshake_keeps_nobody_out() {
    let (database, authority) = (Database::sqlite(), Authority::make());
    let bounded = Config { max_connections: Some(20), ..secured(&database, &authority.client_files(NAME)) };
    let server = Server::with(bounded).await;
    let mut held = Vec::new();
    for turn in 0..60 {
        let mut stream = TcpStream::connect(server.running().address()).await.unwrap();
        // The head of a record that is said to be long; or nothing at all.
        if turn % 2 == 0 {
            stream.write_all(&[0x16, 3, 1, 2, 0, 1]).await.unwrap();
        }
        held.push(stream);
        assert_eq!(status(&mut http1(&server, &authority).await.unwrap(), "/healthz").await, 200, "turn {turn}");
    }
    // What is no TLS though it begins like it is closed.
    let mut stream = TcpStream::connect(server.running().address()).await.unwrap();
    stream.write_all(&[0x16; 600]).await.unwrap();
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "it is closed");
    drop(held);
    server.stop().await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_told_by_their_setting() {
    let (database, authority, other) = (Database::sqlite(), Authority::make(), Authority::make());
    let (files, other) = (authority.client_files(NAME), other.client_files(NAME));
    let refused = async |certificate: &Path, key: &Path| {
        let files = CertificateFiles { certificate: certificate.to_owned(), key: key.to_owned() };
        let started = app::start(secured(&database, &files)).await;
        started.err().expect("it does not start").to_string()
    };
    let nowhere = Path::new("/nowhere.pem");
    let error = refused(nowhere, &files.key).await;
    assert!(error.starts_with("tls_cert: /nowhere.pem: it cannot be read"), "{error}");
    let error = refused(&files.certificate, nowhere).await;
    assert!(error.starts_with("tls_key: /nowhere.pem: it cannot be read"), "{error}");
    let error = refused(&files.key, &files.key).await;
    assert!(error.starts_with("tls_cert: ") && error.contains("there is no certificate in PEM in it"), "{error}");
    let error = refused(&files.certificate, &files.certificate).await;
    assert!(error.starts_with("tls_key: ") && error.contains("no private key"), "{error}");
    let error = refused(&files.certificate, &other.key).await;
    assert!(error.starts_with("tls_cert: ") && error.contains("cannot be used with the key of tls_key"), "{error}");
}
