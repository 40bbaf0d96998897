//! Traces as a collector of OpenTelemetry's gets them, from the program as a process.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use bellwether_bench::api::Api;
use bellwether_testkit::receiver::Receiver;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value as AnyValue;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::process::Process;
use crate::server::ADMIN_KEY;

const TRACE: [u8; 16] =
    [0x4b, 0xf9, 0x2f, 0x35, 0x77, 0xb3, 0x4d, 0xa6, 0xa3, 0xce, 0x92, 0x9d, 0x0e, 0x0e, 0x47, 0x36];
const PARENT: [u8; 8] = [0, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7];
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// Takes what is sent, and notes the header that it asks for.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<(String, ExportTraceServiceRequest)>>>);

impl Collector {
    async fn start() -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let collector = Self::default();
        let taking = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let collector = taking.clone();
                let service = service_fn(move |request| collector.clone().take(request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        (collector, address)
    }

    async fn take(self, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
        assert_eq!(request.uri().path(), "/v1/traces");
        let token = request.headers()["x-token"].to_str().unwrap().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        self.0.lock().unwrap().push((token, ExportTraceServiceRequest::decode(body).unwrap()));
        Ok(Response::new(Empty::new()))
    }

    fn spans(&self) -> Vec<Span> {
        let taken = self.0.lock().unwrap();
        let resources = taken.iter().flat_map(|(_, request)| &request.resource_spans);
        resources.flat_map(|resource| &resource.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }

    /// All there is of it, for people.
    fn text(&self) -> String {
        format!("{:?}", self.0.lock().unwrap())
    }
}

fn attributes(span: &Span) -> BTreeMap<String, String> {
    let of = |value: &AnyValue| match value {
        AnyValue::StringValue(text) => text.clone(),
        AnyValue::IntValue(number) => number.to_string(),
        other => format!("{other:?}"),
    };
    let attribute = |pair: &opentelemetry_proto::tonic::common::v1::KeyValue| {
        let value = pair.value.as_ref().and_then(|value| value.value.as_ref());
        (pair.key.clone(), value.map(of).unwrap_or_default())
    };
    span.attributes.iter().map(attribute).collect()
}

fn named<'s>(spans: &'s [Span], name: &str) -> Vec<&'s Span> {
    spans.iter().filter(|span| span.name == name).collect()
}

/// An experiment of one day, with a run.
async fn tell_story(api: &Api, data: &std::path::Path, receiver: &Receiver) {
    let make = async |path: &str, body: Value| api.post(path, &body).await.unwrap();
    let files = data.join("files");
    std::fs::write(
        files.join("seen.csv"),
        "user,at,experiment,variation\nu1,2026-03-01T10:00:00Z,k,a\nu2,2026-03-01T10:00:00Z,k,b\n",
    )
    .unwrap();
    let endpoint = json!({"url": receiver.url("/hook?token=hunter2"), "headers": {"x-key": "hunter2"}});
    make("/endpoints", endpoint).await;
    let entity = make("/entities", json!({"name": "user"})).await["id"].clone();
    let experiment = json!({"key": "k", "name": "K", "entity_id": entity, "assignments_start_date": "2026-03-01",
        "variations": [{"key": "a", "weight": 1, "is_control": true}, {"key": "b", "weight": 1}]});
    let mut experiment = experiment;
    if cfg!(feature = "embedded") {
        let warehouse = json!({"name": "w", "kind": "files", "path": files.to_str().unwrap()});
        let warehouse = make("/warehouses", warehouse).await["id"].clone();
        let columns =
            json!({"subject": "user", "timestamp": "at", "experiment_key": "experiment", "variation": "variation"});
        let source = json!({"name": "s", "warehouse_id": warehouse, "entity_id": entity, "sql": "SELECT * FROM seen", "columns": columns});
        experiment["assignment_source_id"] = make("/assignment_sources", source).await["id"].clone();
    }
    let id = make("/experiments", experiment).await["id"].clone();
    if cfg!(feature = "embedded") {
        make(&format!("/experiments/{id}/start"), json!({})).await;
        make(&format!("/experiments/{id}/runs"), json!({"mode": "full"})).await;
        receiver.wait_until(|received| received.iter().any(|one| one.event_type().contains("calculated"))).await;
    } else {
        receiver.wait_for(1).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_gets_spans_of_requests_transactions_attempts_and_runs() {
    let ((collector, address), receiver) = (Collector::start().await, Receiver::start().await);
    let process = Process::with(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}")),
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-token=t0ken"),
        ("OTEL_SERVICE_NAME", "experiments"),
        ("BELLWETHER_ALLOW_NETWORKS", "127.0.0.0/8"),
    ]);
    let server: SocketAddr = process.address.parse().unwrap();
    let api = Api::at(server, ADMIN_KEY);
    tell_story(&api, &process.folder.path().join("data"), &receiver).await;
    let request = Request::get(format!("http://{server}/api/v1/experiments/key:k?secret=hunter2"));
    let request = request.header("traceparent", TRACEPARENT).header("authorization", format!("Bearer {ADMIN_KEY}"));
    assert_eq!(api.send(request.body(Full::default()).unwrap()).await.unwrap().status(), 200);
    process.signal("TERM");
    let (status, log) = tokio::task::spawn_blocking(|| process.ended()).await.unwrap();
    assert!(status.success(), "{log}");
    assert!(!log.contains("request{"), "lines of the log are as without traces: {log}");

    let spans = collector.spans();
    let followed = named(&spans, "GET /api/v1/experiments/{id}")[0];
    assert_eq!((followed.trace_id.as_slice(), followed.parent_span_id.as_slice()), (&TRACE[..], &PARENT[..]));
    let told = attributes(followed);
    assert_eq!((told["http.request.method"].as_str(), told["http.response.status_code"].as_str()), ("GET", "200"));
    assert_eq!(told["http.route"], "/api/v1/experiments/{id}");
    let read = spans.iter().find(|span| span.name == "read" && span.trace_id == TRACE).expect("what it read");
    assert_eq!(read.parent_span_id, followed.span_id);

    let made = named(&spans, "POST /api/v1/experiments")[0];
    let is_within = |span: &&&Span| span.parent_span_id == made.span_id;
    let transactions = named(&spans, "transaction");
    let transaction = transactions.iter().find(is_within).expect("a change is a transaction");
    assert_eq!(attributes(transaction)["db.system.name"], "sqlite");

    let attempts = named(&spans, "attempt");
    assert_eq!(attempts.len(), receiver.received().len());
    let told = attributes(attempts[0]);
    assert_eq!((told["http.response.status_code"].as_str(), told["bellwether.attempt"].as_str()), ("204", "1"));
    assert!(told["bellwether.endpoint"].starts_with("ep_") && told["bellwether.event"].starts_with("evt_"), "{told:?}");
    // Receivers are told nothing of it.
    assert!(receiver.received().iter().all(|request| !request.headers.contains_key("traceparent")));

    if cfg!(feature = "embedded") {
        let run = named(&spans, "run")[0];
        assert!(run.parent_span_id.is_empty() && attributes(run)["bellwether.run"].starts_with("run_"));
        let steps = spans.iter().filter(|span| span.parent_span_id == run.span_id);
        assert!(steps.filter(|span| attributes(span).contains_key("bellwether.rows")).count() >= 2);
    }
    let text = collector.text();
    assert!(text.contains("t0ken") && text.contains("experiments") && !text.contains("hunter2"), "{text}");
    assert!(!text.contains(ADMIN_KEY));
}

/// A collector that is not there costs nothing but a line in the log.
#[test]
fn a_collector_that_is_away_keeps_nobody_waiting() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let process = Process::with(&[("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://{address}"))]);
    let mut request = std::net::TcpStream::connect(&process.address).unwrap();
    request.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    request.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    process.signal("TERM");
    let (status, log) = process.ended();
    assert!(status.success() && log.contains("opentelemetry"), "{log}");
}

/// What the variables say wrongly is told before anything starts.
#[test]
fn a_collector_that_cannot_be_named_is_refused() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_bellwether"))
        .args(["serve", "--listen", "127.0.0.1:0", "--data", "/nowhere/at/all"])
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "not a url")
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && told.contains("traces cannot be sent"), "{told}");
}
