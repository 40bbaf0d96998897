//! Counters, gauges and histograms, and Prometheus's text format to print them in. Who counts what is not decided here.
//!
//! They are values that their owners hold, not entries in a recorder of the process: the servers of one process (the tests
//! run many) must not count each other's work, and the usual libraries know one recorder only. What is needed of them is
//! little enough to stand here.

use std::fmt::{Display, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// What only rises.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts one more, and gives how many that makes where it is worth a line in the log: of many, few are.
    pub fn add_notable(&self) -> Option<u64> {
        let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        (count <= 10 || count.is_multiple_of(100)).then_some(count)
    }
}

/// What rises and falls.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    pub fn set(&self, count: i64) {
        self.0.store(count, Ordering::Relaxed);
    }

    pub fn add(&self, count: i64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// One more, until what is given back is dropped.
    pub fn hold(self: &Arc<Self>) -> Held {
        self.add(1);
        Held(self.clone())
    }
}

pub struct Held(Arc<Gauge>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.add(-1);
    }
}

/// Upper ends of a histogram's buckets, in milliseconds: from an answer on the same machine to the longest request.
const BUCKETS_MS: [u64; 10] = [5, 10, 25, 50, 100, 250, 1000, 2500, 5000, 15_000];

/// Durations, by how many took at most so long.
#[derive(Debug, Default)]
pub struct Histogram {
    /// Each counts its own; the last, what took longer than all.
    buckets: [Counter; BUCKETS_MS.len() + 1],
    sum_us: Counter,
}

impl Histogram {
    pub fn observe(&self, duration: Duration) {
        let at = BUCKETS_MS.iter().position(|end| duration <= Duration::from_millis(*end));
        self.buckets[at.unwrap_or(BUCKETS_MS.len())].add(1);
        self.sum_us.add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }
}

type Labels<'a> = &'a [(&'a str, &'a str)];

/// A page of Prometheus's text format.
#[derive(Default)]
pub struct Exposition(String);

impl Exposition {
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    pub fn finish(self) -> String {
        self.0
    }

    pub fn counter(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, "counter", help)
    }

    pub fn gauge(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, "gauge", help)
    }

    pub fn histogram(&mut self, name: &str, help: &str) -> Family<'_> {
        self.family(name, "histogram", help)
    }

    fn family(&mut self, name: &str, kind: &str, help: &str) -> Family<'_> {
        // Writing to a string does not fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { page: &mut self.0, name: name.to_owned() }
    }
}

/// The samples of one metric.
pub struct Family<'a> {
    page: &'a mut String,
    name: String,
}

impl Family<'_> {
    pub fn sample(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        self.line("", labels, value);
        self
    }

    pub fn durations(&mut self, labels: Labels<'_>, histogram: &Histogram) -> &mut Self {
        let mut count = 0;
        let ends = BUCKETS_MS.iter().map(|end| format!("{}", *end as f64 / 1000.0)).chain(["+Inf".to_owned()]);
        for (end, bucket) in ends.zip(&histogram.buckets) {
            count += bucket.get();
            self.line("_bucket", &[labels, &[("le", &end)]].concat(), count);
        }
        self.line("_sum", labels, Duration::from_micros(histogram.sum_us.get()).as_secs_f64());
        self.line("_count", labels, count);
        self
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, value: impl Display) {
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.page, "{}{suffix}{labels} {value}", self.name);
    }
}

fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_in_the_text_format() {
        let (histogram, held) = (Histogram::default(), Arc::new(Gauge::default()));
        for millis in [3, 5, 40, 60_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let one = held.hold();
        let mut page = Exposition::default();
        page.gauge("held", "What is held.").sample(&[], held.get()).sample(&[("a", "say \"x\\y\"\n")], 2);
        drop(one);
        assert_eq!(held.get(), 0);
        page.histogram("took_seconds", "Durations.").durations(&[("to", "b")], &histogram);
        let page = page.finish();
        for line in [
            "# HELP held What is held.",
            "# TYPE held gauge",
            "held 1",
            "held{a=\"say \\\"x\\\\y\\\"\\n\"} 2",
            "took_seconds_bucket{to=\"b\",le=\"0.005\"} 2",
            "took_seconds_bucket{to=\"b\",le=\"0.05\"} 3",
            "took_seconds_bucket{to=\"b\",le=\"15\"} 3",
            "took_seconds_bucket{to=\"b\",le=\"+Inf\"} 4",
            "took_seconds_sum{to=\"b\"} 60.048",
            "took_seconds_count{to=\"b\"} 4",
        ] {
            assert!(page.lines().any(|found| found == line), "{line} is missing in\n{page}");
        }
    }
}
