//! PostgreSQL behind TLS: whose certificate is trusted, and what is said where none is.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bellwether::store::{Db, Location, PostgresServer, StoreError, Tx, settings};
use bellwether_testkit::certificates::{Authority, Certificate};
use bellwether_testkit::cluster;
use bellwether_testkit::databases::{Database, close};
use rustls::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_rustls::TlsAcceptor;

use super::read;

/// What a client sends who wants TLS: the length of the message, and a version that there is none of.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// The tests' PostgreSQL, at a port of its own where it speaks TLS.
struct Front {
    database: Database,
    port: u16,
}

impl Front {
    async fn start(certificate: &Certificate) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der.clone()], certificate.key_der())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass_on(acceptor.clone(), client));
            }
        });
        Self { database: Database::postgres(), port }
    }

    async fn open(&self, ca_file: Option<PathBuf>) -> Result<Db, StoreError> {
        let name = self.database.url().unwrap().rsplit('/').next().unwrap();
        let url = format!("postgres://postgres@db.test:{}/{name}?hostaddr=127.0.0.1&sslmode=require", self.port);
        let location = Location::Postgres(PostgresServer { url, ca_file });
        tokio::task::spawn_blocking(move || Db::open(&location)).await.unwrap()
    }

    async fn refusal(&self, ca_file: Option<PathBuf>) -> String {
        self.open(ca_file).await.err().expect("the database is not opened").to_string()
    }
}

async fn pass_on(acceptor: TlsAcceptor, mut client: TcpStream) -> std::io::Result<()> {
    let mut asked = [0; SSL_REQUEST.len()];
    client.read_exact(&mut asked).await?;
    assert_eq!(asked, SSL_REQUEST, "nothing is said before TLS is asked for");
    client.write_all(b"S").await?;
    let mut client = acceptor.accept(client).await?;
    let mut server = UnixStream::connect(cluster::socket_folder().join(".s.PGSQL.5432")).await?;
    copy_bidirectional(&mut client, &mut server).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_a_private_authority_is_trusted_when_it_is_set() {
    let authority = Authority::make();
    let front = Front::start(&authority.certify("db.test")).await;
    let db = front.open(Some(authority.file())).await.unwrap();
    let absent = read(&db, |tx: &mut dyn Tx| settings::get(tx, "nothing of this name")).await.unwrap();
    assert_eq!(absent, None);
    close(db).await;
    let stranger = Authority::make();
    for other in [None, Some(stranger.file())] {
        let said = front.refusal(other).await;
        assert!(said.contains("certificate"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_of_another_name_is_not_trusted() {
    let authority = Authority::make();
    let front = Front::start(&authority.certify("other.test")).await;
    let said = front.refusal(Some(authority.file())).await;
    assert!(said.contains("certificate"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_authorities_that_is_none_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let written = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let front = Front::start(&Certificate::self_signed("db.test")).await;
    for (file, reason) in [
        (folder.path().join("missing.pem"), "cannot be read"),
        (written("empty.pem", ""), "no certificate"),
        (written("text.pem", "not a certificate"), "no certificate"),
        (written("cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB"), "PEM"),
        (written("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), "certificate"),
    ] {
        let said = front.refusal(Some(file.clone())).await;
        let names = |path: &Path| said.contains(path.to_str().unwrap());
        assert!(said.contains("database_ca_file") && names(&file) && said.contains(reason), "{said}");
    }
}
