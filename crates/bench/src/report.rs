//! What a report consists of: on what it was measured, percentiles, and the figures against their goals.

use std::time::Duration;

use bellwether_bench::Problem;

use crate::database;
use crate::stage::{Place, time_sync};

#[derive(Debug, Clone, Copy)]
pub enum Goal {
    AtLeast(f64),
    AtMost(f64),
    /// It is told for comparison.
    None,
}

#[derive(Debug, Clone)]
pub struct Figure {
    pub name: String,
    pub value: f64,
    unit: &'static str,
    goal: Goal,
}

impl Figure {
    pub fn of(name: impl Into<String>, value: f64, unit: &'static str, goal: Goal) -> Self {
        Self { name: name.into(), value, unit, goal }
    }

    fn row(&self) -> String {
        let shown = |value: f64| format!("{}{}", rounded(value), self.unit);
        let (goal, is_met) = match self.goal {
            Goal::AtLeast(least) => (format!("≥ {}", shown(least)), Some(self.value >= least)),
            Goal::AtMost(most) => (format!("≤ {}", shown(most)), Some(self.value <= most)),
            Goal::None => (String::new(), None),
        };
        let verdict = is_met.map_or("", |is_met| if is_met { "yes" } else { "no" });
        format!("| {} | {goal} | {} | {verdict} |", self.name, shown(self.value))
    }
}

/// To three digits or so, whatever the size.
fn rounded(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        0.0..1.0 => format!("{value:.3}"),
        1.0..100.0 => format!("{value:.2}"),
        _ => format!("{value:.0}"),
    }
}

/// The figures as a Markdown table.
pub fn table(figures: &[Figure]) -> String {
    let rows: Vec<_> = figures.iter().map(Figure::row).collect();
    format!("| figure | goal | measured | met |\n|---|---|---|---|\n{}", rows.join("\n"))
}

/// Prints processors, memory, how long a sync takes, and how the database is set.
pub fn machine(place: &Place) -> Result<(), Problem> {
    let file = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let line = |text: &str, name: &str| {
        let found = text.lines().find(|line| line.starts_with(name)).and_then(|line| line.split_once(':'));
        found.map_or_else(|| "unknown".to_owned(), |(_, value)| value.trim().to_owned())
    };
    println!(
        "- processors: {} × {}",
        std::thread::available_parallelism()?,
        line(&file("/proc/cpuinfo"), "model name")
    );
    println!(
        "- memory: {}; kernel: {}",
        line(&file("/proc/meminfo"), "MemTotal"),
        file("/proc/sys/kernel/osrelease").trim()
    );
    println!("- load average before: {}", file("/proc/loadavg").trim());
    println!("- fdatasync of 4 KiB in the data folder: {:.2?}", time_sync(&place.data)?);
    match &place.database_url {
        Some(url) => println!("- {}", database::describe(url)?),
        None => println!("- SQLite: WAL, synchronous=FULL"),
    }
    Ok(())
}

/// Durations in order, to ask for percentiles.
pub struct Measured(Vec<Duration>);

impl Measured {
    pub fn of(mut measured: Vec<Duration>) -> Self {
        measured.sort_unstable();
        Self(measured)
    }

    /// In milliseconds.
    pub fn at(&self, share: f64) -> f64 {
        let Some(last) = self.0.len().checked_sub(1) else { return 0.0 };
        self.0[((last as f64) * share).round() as usize].as_secs_f64() * 1e3
    }

    pub fn print(&self, name: &str) {
        let (p50, p90, p99, longest) = (self.at(0.5), self.at(0.9), self.at(0.99), self.at(1.0));
        let count = self.0.len();
        println!(
            "{name}: p50 {p50:.2} ms, p90 {p90:.2} ms, p99 {p99:.2} ms, longest {longest:.1} ms ({count} measured)"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_stands_beside_its_goal() {
        let row = |value, goal| Figure::of("x", value, " ms", goal).row();
        assert_eq!(row(4.25, Goal::AtMost(5.0)), "| x | ≤ 5.00 ms | 4.25 ms | yes |");
        assert_eq!(row(0.25, Goal::AtLeast(0.5)), "| x | ≥ 0.500 ms | 0.250 ms | no |");
        assert_eq!(row(8812.4, Goal::None), "| x |  | 8812 ms |  |");
    }

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let measured = Measured::of((1..=101).rev().map(Duration::from_millis).collect());
        assert_eq!((measured.at(0.0), measured.at(0.5), measured.at(1.0)), (1.0, 51.0, 101.0));
        assert_eq!(Measured::of(Vec::new()).at(0.99), 0.0);
    }
}
