//! Traces that go on from one process to the next (W3C Trace Context). Spans are made by `tracing` wherever something takes time;
//! who sends them to a collector is not known here.

use http::HeaderMap;
use tracing::Span;

/// Makes `span` a part of the trace that `headers` name, if they name one.
#[cfg(feature = "otel")]
pub fn follow(span: &Span, headers: &HeaderMap) {
    use opentelemetry::propagation::TextMapPropagator;
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    if headers.contains_key("traceparent") {
        let propagator = opentelemetry_sdk::propagation::TraceContextPropagator::new();
        let parent = propagator.extract(&opentelemetry_http::HeaderExtractor(headers));
        // Of a span that nobody sends, nobody has to know.
        let _ = span.set_parent(parent);
    }
}

/// Nobody sends traces.
#[cfg(not(feature = "otel"))]
pub fn follow(_: &Span, _: &HeaderMap) {}

/// Whether what is done now is part of something that is traced: what runs by itself, all the time, is worth no trace.
pub fn is_traced() -> bool {
    !Span::current().is_none()
}
