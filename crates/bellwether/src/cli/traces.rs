//! Sends spans to a collector of OpenTelemetry's, by OTLP over HTTP, where the standard variables name one.

use std::error::Error;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use opentelemetry::trace::TracerProvider;
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{SpanExporter, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use rustls::{ClientConfig, RootCertStore};
use tokio::runtime::Handle;
use tracing::level_filters::LevelFilter;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::registry::LookupSpan;

/// For what is left at the end.
const LAST_SPANS: Duration = Duration::from_secs(3);
const LARGEST_ANSWER: usize = 64 * 1024;

/// Spans on their way to the collector; those that are left are sent when it is let go.
pub struct Sending(SdkTracerProvider);

/// What notes spans, and what sends them; nothing where no collector is named.
pub fn sending<S>() -> Result<Option<(impl Layer<S> + Send + Sync, Sending)>, String>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let is_off = std::env::var("OTEL_SDK_DISABLED").is_ok_and(|value| value.eq_ignore_ascii_case("true"));
    if is_off || !super::names_collector() {
        return Ok(None);
    }
    let wrong = |error: &dyn Error| format!("traces cannot be sent as the variables OTEL_… say: {error}");
    let collector = Collector::new().map_err(|error| wrong(&error))?;
    let exporter = SpanExporter::builder().with_http().with_http_client(collector).build();
    let exporter = exporter.map_err(|error| wrong(&error))?;
    let service = std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "bellwether".to_owned());
    let version = opentelemetry::KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
    let resource = Resource::builder().with_attribute(version).with_service_name(service).build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
    let layer = tracing_opentelemetry::layer()
        .with_tracer(provider.tracer("bellwether"))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false);
    let filter = FilterFn::new(is_sent).with_max_level_hint(LevelFilter::DEBUG);
    Ok(Some((layer.with_filter(filter), Sending(provider))))
}

/// Our spans, and what is logged within them.
fn is_sent(metadata: &Metadata<'_>) -> bool {
    let is_loud = metadata.is_span() || *metadata.level() <= Level::INFO;
    is_loud && metadata.target().starts_with("bellwether")
}

impl Drop for Sending {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown_with_timeout(LAST_SPANS) {
            eprintln!("bellwether: the last spans may not have been sent: {error}");
        }
    }
}

/// Asks from the server's runtime, whatever thread it is called on: the library's has none.
#[derive(Debug)]
struct Collector {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    runtime: Handle,
}

impl Collector {
    fn new() -> Result<Self, rustls::Error> {
        let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = tls.with_root_certificates(roots).with_no_client_auth();
        let connector = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), runtime: Handle::current() })
    }
}

type Answer = Result<Response<Bytes>, HttpError>;

impl HttpClient for Collector {
    fn send_bytes<'a, 'f>(&'a self, request: Request<Bytes>) -> Pin<Box<dyn Future<Output = Answer> + Send + 'f>>
    where
        'a: 'f,
    {
        let asking = self.client.request(request.map(Full::new));
        let answered = self.runtime.spawn(async {
            let (head, body) = asking.await?.into_parts();
            let body = Limited::new(body, LARGEST_ANSWER).collect().await?.to_bytes();
            Ok(Response::from_parts(head, body))
        });
        Box::pin(async { answered.await? })
    }
}
