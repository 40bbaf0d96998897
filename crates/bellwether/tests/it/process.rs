//! The program as a process: what it writes, and how it ends when it is asked to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};

use bellwether::store::node_hints::EVERYTHING;
use bellwether_testkit::databases::Database;
use bellwether_testkit::receiver::PATIENCE;

use crate::server::{ADMIN_KEY, Server};

pub struct Process {
    child: Child,
    output: BufReader<ChildStdout>,
    pub address: String,
    pub folder: tempfile::TempDir,
}

impl Process {
    fn start() -> Self {
        Self::with(&[])
    }

    /// With these variables. Its log goes into a file.
    pub fn with(variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let mut child = Command::new(env!("CARGO_BIN_EXE_bellwether"))
            .args(["serve", "--listen", "127.0.0.1:0", "--data"])
            .arg(folder.path().join("data"))
            .env("BELLWETHER_ADMIN_KEY", ADMIN_KEY)
            .env("BELLWETHER_LOG", "info")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        let address = line.trim().rsplit('/').next().unwrap().to_owned();
        Self { child, output, address, folder }
    }

    pub fn signal(&self, name: &str) {
        let asked = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.child.id())).status().unwrap();
        assert!(asked.success());
    }

    /// How it ended, and all that it logged.
    pub fn ended(mut self) -> (ExitStatus, String) {
        let status = self.child.wait().unwrap();
        let _ = self.output.read_to_end(&mut Vec::new());
        (status, std::fs::read_to_string(self.folder.path().join("log")).unwrap())
    }
}

/// What it committed last, when its own lanes had ended, nobody else would look for within half a minute.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_has_left_has_told_the_others_to_look() {
    let database = Database::postgres();
    let server = Server::start(&database).await;
    let other = database.open().await;
    let mut told = other.listen().unwrap().unwrap();
    assert_eq!(told.recv().await.as_deref(), Some(EVERYTHING), "who begins to listen may have missed anything");
    server.stop().await;
    let hint = tokio::time::timeout(PATIENCE, told.recv()).await;
    assert_eq!(hint.unwrap().as_deref(), Some(EVERYTHING));
}

#[test]
fn a_log_that_no_terminal_shows_has_no_colours() {
    let process = Process::start();
    process.signal("TERM");
    let (status, log) = process.ended();
    assert!(status.success(), "{status}: {log}");
    assert!(log.contains("stopping") && !log.contains('\u{1b}'), "{log}");
}

/// The first signal waits for a request under way; the second waits for nothing.
#[test]
fn a_second_signal_ends_the_process_at_once() {
    let process = Process::start();
    let mut request = TcpStream::connect(&process.address).unwrap();
    let head = format!(
        "POST /api/v1/entities HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {ADMIN_KEY}\r\ncontent-type: application/json\r\n\
         content-length: 10\r\nexpect: 100-continue\r\n\r\n"
    );
    request.write_all(head.as_bytes()).unwrap();
    // The server has begun with the request when it asks for its body.
    let mut asked = [0; 12];
    request.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100");
    process.signal("TERM");
    // It listens no more, and waits.
    while TcpStream::connect(&process.address).is_ok() {}
    process.signal("TERM");
    let (status, log) = process.ended();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("ending at once"), "{log}");
    drop(request);
}

/// Of a trusted proxy's request the client that it names is logged; of anybody else's, who has sent it.
#[test]
fn wrong_keys_are_logged_with_the_address_of_whoever_tries_them() {
    for (variables, logged) in [(&[][..], "127.0.0.1"), (&[("BELLWETHER_TRUSTED_PROXIES", "127.0.0.0/8")], "192.0.2.7")]
    {
        let process = Process::with(variables);
        let mut request = TcpStream::connect(&process.address).unwrap();
        let head = "GET /api/v1/experiments HTTP/1.1\r\nhost: x\r\nauthorization: Bearer bw_wrong\r\n\
                    x-forwarded-for: 192.0.2.99, 192.0.2.7\r\nconnection: close\r\n\r\n";
        request.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        request.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        process.signal("TERM");
        let (_, log) = process.ended();
        let line = log.lines().find(|line| line.contains("a key was refused")).unwrap();
        assert!(line.contains(&format!("peer=\"{logged}\"")), "{line}");
    }
}

/// SIGHUP reads the certificate anew, and ends nothing.
#[test]
fn a_hangup_reads_the_certificate_anew() {
    let authority = bellwether_testkit::certificates::Authority::make();
    let files = authority.client_files("bellwether.test");
    let [certificate, key] = [&files.certificate, &files.key].map(|file| file.to_str().unwrap().to_owned());
    let public = "https://bellwether.test/registry";
    let mut process = Process::with(&[
        ("BELLWETHER_TLS_CERT", &certificate),
        ("BELLWETHER_TLS_KEY", &key),
        ("BELLWETHER_PUBLIC_URL", &format!("{public}/")),
    ]);
    let mut line = String::new();
    process.output.read_line(&mut line).unwrap();
    assert_eq!(line, format!("It is reached by {public}\n"));
    authority.client_files("bellwether.test");
    process.signal("HUP");
    let log = process.folder.path().join("log");
    let is_told = || std::fs::read_to_string(&log).unwrap().contains("shown the new certificate");
    while !is_told() {
        assert!(process.child.try_wait().unwrap().is_none(), "it goes on");
        std::thread::yield_now();
    }
    process.signal("TERM");
    let (status, log) = process.ended();
    assert!(status.success(), "{log}");
}

fn bellwether(arguments: &[&str], data: &std::path::Path) -> (bool, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_bellwether")).args(arguments).arg("--data").arg(data).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// A backup of a server that works, put back, is what it was.
#[test]
fn a_backup_made_while_the_server_runs_can_be_put_back() {
    let process = Process::start();
    let data = process.folder.path().join("data");
    let file = process.folder.path().join("backup.db");
    let to = ["backup", "--to", file.to_str().unwrap()];
    let (is_made, told) = bellwether(&to, &data);
    assert!(is_made && told.contains("secret.key is not in it"), "{told}");
    let (is_made, told) = bellwether(&to, &data);
    assert!(!is_made && told.contains("is there already"), "{told}");

    let other = process.folder.path().join("other");
    let from = ["restore", "--from", file.to_str().unwrap()];
    let (is_put, told) = bellwether(&from, &data);
    assert!(!is_put && told.contains("another process uses the data folder"), "{told}");
    let (is_put, told) = bellwether(&from, &other);
    assert!(is_put && told.contains("put the secret.key"), "{told}");
    let (is_put, told) = bellwether(&from, &other);
    assert!(!is_put && told.contains("bellwether.db is there"), "{told}");
    let tables = |path: &std::path::Path| -> i64 {
        let connection = rusqlite::Connection::open(path).unwrap();
        connection.query_row("SELECT COUNT(*) FROM keys", [], |row| row.get(0)).unwrap()
    };
    assert_eq!((tables(&file), tables(&other.join("bellwether.db"))), (1, 1));

    // A copy of files that were in use has a log beside it.
    let copied = process.folder.path().join("copied");
    std::fs::create_dir(&copied).unwrap();
    for name in ["bellwether.db", "bellwether.db-wal"] {
        std::fs::copy(data.join(name), copied.join(name)).unwrap();
    }
    let (third, from) = (process.folder.path().join("from-log"), copied.join("bellwether.db"));
    let (is_put, told) = bellwether(&["restore", "--from", from.to_str().unwrap()], &third);
    assert!(is_put, "{told}");
    assert_eq!(tables(&third.join("bellwether.db")), 1);

    std::fs::write(process.folder.path().join("text"), "no database").unwrap();
    let text = process.folder.path().join("text");
    let (is_put, told) =
        bellwether(&["restore", "--from", text.to_str().unwrap()], &process.folder.path().join("third"));
    assert!(!is_put && told.contains("not a database"), "{told}");
    process.signal("TERM");
    process.ended();
}

/// Links are made beside the running server, and let in there.
#[test]
fn links_are_made_beside_a_running_server() {
    let process = Process::start();
    let data = process.folder.path().join("data");
    let (is_success, said) = bellwether(&["invite", "Ada", "--role", "write"], &data);
    assert!(is_success, "{said}");
    let token = said.split_once("/login?token=").unwrap().1.split_whitespace().next().unwrap();
    let post = |token: &str| {
        let form = format!("token={token}");
        let mut request = TcpStream::connect(&process.address).unwrap();
        let head = format!(
            "POST /login HTTP/1.1\r\nhost: {address}\r\norigin: http://{address}\r\nconnection: close\r\n\
             content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{form}",
            form.len(),
            address = process.address,
        );
        request.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        request.read_to_string(&mut answer).unwrap();
        answer
    };
    let answer = post(token);
    assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
    assert!(post(token).starts_with("HTTP/1.1 401"), "once");
    let (is_success, said) = bellwether(&["invite", "Ada", "--role", "read"], &data);
    assert!(!is_success && said.contains("there is a person named 'Ada' already"), "{said}");
    let (is_success, said) = bellwether(&["login-link", "Bob"], &data);
    assert!(!is_success && said.contains("there are: admin, Ada"), "{said}");
    let (is_success, said) = bellwether(&["login-link"], &data);
    assert!(is_success && said.contains("It lets admin in, once"), "{said}");
    let nowhere = tempfile::tempdir().unwrap();
    let (is_success, said) = bellwether(&["login-link"], nowhere.path());
    assert!(!is_success && said.contains("--data"), "{said}");
    process.signal("TERM");
    let (_, log) = process.ended();
    assert!(!log.contains(token), "no link stands in the log");
}

/// Whatever is asked for, no secret stands in the log, however much it tells.
#[test]
fn the_log_tells_no_secret() {
    let process = Process::with(&[("BELLWETHER_LOG", "trace"), ("BELLWETHER_ALLOW_NETWORKS", "127.0.0.0/8")]);
    let ask = |method: &str, path: &str, headers: &str, body: &str| {
        let mut request = TcpStream::connect(&process.address).unwrap();
        let (address, length) = (&process.address, body.len());
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\norigin: http://{address}\r\n{headers}\
             content-length: {length}\r\n\r\n{body}"
        );
        request.write_all(head.as_bytes()).unwrap();
        let mut answer = String::new();
        request.read_to_string(&mut answer).unwrap();
        answer
    };
    let json = format!("authorization: Bearer {ADMIN_KEY}\r\ncontent-type: application/json\r\n");
    let text = |answer: &str, name: &str| {
        let (_, rest) = answer.split_once(&format!("\"{name}\":\"")).unwrap_or_else(|| panic!("{name}: {answer}"));
        rest.split('"').next().unwrap().to_owned()
    };
    let key = text(&ask("POST", "/api/v1/keys", &json, r#"{"name":"ci","role":"read"}"#), "key");
    let hook = r#"{"url":"http://127.0.0.1:9/h?token=s3cret-in-url","headers":{"x-token":"s3cret-in-header"},"secret":"s3cret-of-my-own-text-0123456789"}"#;
    let endpoint = text(&ask("POST", "/api/v1/endpoints", &json, hook), "id");
    ask("POST", "/api/v1/experiments", &format!("{json}idempotency-key: k\r\n"), r#"{"key":"k","name":"K"}"#);
    ask("POST", &format!("/api/v1/endpoints/{endpoint}/test"), &json, "");
    let rotated = text(&ask("POST", &format!("/api/v1/endpoints/{endpoint}/rotate"), &json, ""), "secret");
    ask("POST", "/api/v1/encryption_key/rotate", &json, "");
    let person = text(&ask("POST", "/api/v1/people", &json, r#"{"name":"Ada","role":"read"}"#), "id");
    let url = text(&ask("POST", &format!("/api/v1/people/{person}/login_links"), &json, "{}"), "url");
    let token = url.split_once("token=").unwrap().1.to_owned();
    ask("GET", &format!("/login?token={token}"), "", "");
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    let answer = ask("POST", "/login", form, &format!("token={token}"));
    let cookie = answer.split_once("bellwether_session=").unwrap().1.split(';').next().unwrap().to_owned();
    ask("GET", "/api/v1/me", &format!("cookie: bellwether_session={cookie}\r\n"), "");
    for wrong in ["bw_wrong-wrong-wrong-wrong-wrong-wrong", &key.replace("bw_", "bw_0")] {
        ask("GET", "/api/v1/me", &format!("authorization: Bearer {wrong}\r\n"), "");
    }
    process.signal("TERM");
    let (_, log) = process.ended();
    assert!(log.contains("a person has logged in") && log.contains("a key was refused"), "the log tells what went on");
    let of_the_key = key.rsplit('_').next().unwrap();
    let own = ["s3cret-in-url", "s3cret-in-header", "s3cret-of-my-own-text-0123456789", ADMIN_KEY, "wrong-wrong"];
    for secret in own.into_iter().chain([of_the_key, &rotated, &token, &cookie]) {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} stands in the log");
    }
}
