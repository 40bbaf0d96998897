//! Queries of lists, asked of a server with something in it: whatever is asked, it is answered or refused, never failed; and
//! what a page gives as `next` is taken.

use std::cell::RefCell;
use std::path::Path;

use bellwether::app::{self, Running};
use bellwether::config::Config;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

const KEY: &str = "bw_01jzzzzzzzzzzzzzzzzzzzzzzz_0123456789abcdef0123456789abcdef";

const LISTS: [&str; 22] = [
    "experiments",
    "experiments/1/history",
    "experiments/1/runs",
    "experiments/1/results/history",
    "endpoints",
    "events",
    "deliveries",
    "entities",
    "warehouses",
    "assignment_sources",
    "fact_sources",
    "metrics",
    "collections",
    "schedules",
    "keys",
    "teams",
    "people",
    "sessions",
    "audit",
    // Instead of a query, the end of a path.
    "experiments/",
    "endpoints/",
    "events/",
];

struct Asker {
    runtime: Runtime,
    sender: SendRequest<Full<Bytes>>,
    _running: Running,
    _folder: tempfile::TempDir,
}

thread_local! {
    static ASKER: RefCell<Option<Asker>> = const { RefCell::new(None) };
}

/// The first byte says which list; the rest is the query.
pub fn run(data: &[u8]) {
    let Some((list, query)) = data.split_first() else { return };
    let list = LISTS[usize::from(*list) % LISTS.len()];
    let is_path = list.ends_with('/');
    let query = escaped(query, !is_path);
    ASKER.with_borrow_mut(|asker| {
        let asker = asker.get_or_insert_with(Asker::start);
        let page = asker.get(&if is_path { format!("{list}{query}") } else { format!("{list}?{query}") });
        if let Some(next) = page["next"].as_str().filter(|_| !is_path) {
            let next = url::form_urlencoded::byte_serialize(next.as_bytes()).collect::<String>();
            let others = query.split('&').filter(|pair| !pair.is_empty() && !pair.starts_with("after"));
            let query: Vec<_> = others.map(str::to_owned).chain([format!("after={next}")]).collect();
            let page = asker.get(&format!("{list}?{}", query.join("&")));
            assert!(page["items"].is_array(), "what a page gave as next is refused: {page}");
        }
    });
}

/// As it can stand in a request's first line; of a path, within one of its parts.
fn escaped(query: &[u8], has_slashes: bool) -> String {
    let as_it_is =
        |byte: u8| byte.is_ascii_alphanumeric() || b"%&=+-._~:,;*!@".contains(&byte) || has_slashes && byte == b'/';
    let of_byte = |byte: &u8| if as_it_is(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    query.iter().map(of_byte).collect()
}

impl Asker {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (running, sender) = runtime.block_on(start(folder.path()));
        let mut asker = Self { runtime, sender, _running: running, _folder: folder };
        let disabled = json!({"url": "https://example.invalid/", "enabled": false});
        for (path, body) in [
            ("entities", json!({"name": "user"})),
            ("endpoints", disabled.clone()),
            ("endpoints", disabled),
            ("teams", json!({"name": "growth"})),
            ("people", json!({"name": "Ada", "role": "read"})),
            ("schedules", json!({"name": "daily", "cron": "0 6 * * *"})),
            ("keys", json!({"name": "reader", "role": "read"})),
            ("experiments", json!({"key": "a", "name": "A", "tags": ["x"]})),
            ("experiments", json!({"key": "b", "name": "B", "owner": "Ada Lovelace", "hypothesis": "Größe wächst"})),
            ("experiments", json!({"key": "c", "name": "C"})),
        ] {
            let (status, answer) = asker.ask(Method::POST, path, body.to_string());
            assert_eq!(status, 201, "{answer}");
        }
        asker
    }

    fn get(&mut self, path: &str) -> Value {
        let (status, answer) = self.ask(Method::GET, path, String::new());
        assert!(matches!(status, 200 | 400 | 404 | 405 | 410 | 422), "{status} for {path}: {answer}");
        let answer: Value = serde_json::from_str(&answer).expect("the answer is JSON");
        assert_eq!(status != 200, answer["type"].is_string(), "{answer}");
        answer
    }

    fn ask(&mut self, method: Method, path: &str, body: String) -> (u16, String) {
        let request = Request::builder().method(method).uri(format!("/api/v1/{path}")).header("host", "x");
        let request =
            request.header("authorization", format!("Bearer {KEY}")).header("content-type", "application/json");
        let request = request.body(Full::new(body.into())).expect("a well-formed request");
        let Self { runtime, sender, .. } = self;
        runtime.block_on(async {
            sender.ready().await.expect("the connection is there");
            let answer = sender.send_request(request).await.expect("it is answered");
            let status = answer.status().as_u16();
            let body = answer.into_body().collect().await.expect("the answer is whole").to_bytes();
            (status, String::from_utf8(body.to_vec()).expect("the answer is text"))
        })
    }
}

async fn start(folder: &Path) -> (Running, SendRequest<Full<Bytes>>) {
    let listen = ([127, 0, 0, 1], 0).into();
    let config = Config { listen, admin_key: Some(KEY.to_owned()), ..Config::defaults(folder) };
    let running = app::start(config).await.expect("the server starts");
    let stream = TcpStream::connect(running.address()).await.expect("it listens");
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("it speaks HTTP");
    tokio::spawn(connection);
    (running, sender)
}
