//! Whether subjects came to the variations as the weights say, in all and day by day.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;

use super::Experiment;
use super::time::{day_count, day_of, points};
use crate::console::chart::lines::{Chart, Line, Point as Mark};
use crate::console::chart::shares::{self, Share};
use crate::console::failure::Failure;
use crate::console::page::{Frame, escaped, filters, html};
use crate::console::visit::Visit;
use crate::domain::figure::{count, percent};
use crate::domain::point::Point;
use crate::domain::results::{AssignmentCounts, Results, Traffic};

#[derive(Template)]
#[template(path = "console/experiment/traffic.html")]
struct Page<'a> {
    frame: &'a Frame,
    tab: &'static str,
    experiment: &'a Experiment,
    found: Option<Found>,
}

struct Found {
    traffic: Traffic,
    assignments: AssignmentCounts,
    p_value: Option<String>,
    shares: String,
    rows: Vec<[String; 4]>,
    daily: Option<String>,
    days: Vec<(String, Vec<String>)>,
    names: Vec<String>,
}

pub async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let experiment = Experiment::of(&visit, &id).await?;
    let results: Option<Results> = visit.find(&format!("/experiments/{}/results", escaped(&id))).await?;
    let points = if results.is_some() { points(&visit, &experiment).await? } else { Vec::new() };
    let found = results.map(|results| Found::of(&experiment, results, &points));
    let page = Page { frame: &visit.frame, tab: "traffic", experiment: &experiment, found };
    Ok(html(&visit.frame, page.render()))
}

impl Found {
    fn of(experiment: &Experiment, results: Results, points: &[Point]) -> Self {
        let Results { traffic, assignments, .. } = results;
        let all: u64 = traffic.variations.iter().map(|variation| variation.subjects).sum();
        let weights: f64 = traffic.variations.iter().map(|variation| variation.weight).sum();
        let of = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let bars: Vec<_> = traffic
            .variations
            .iter()
            .map(|variation| Share {
                name: experiment.name_of(&variation.key),
                style: experiment.style_of(&variation.key),
                subjects: variation.subjects,
                observed: of(variation.subjects as f64, all as f64),
                expected: of(variation.weight, weights),
            })
            .collect();
        let row = |bar: &Share<'_>| {
            let [observed, expected] = [bar.observed, bar.expected].map(|share| percent(share, 0.02));
            [bar.name.to_owned(), count(bar.subjects), observed, expected]
        };
        Self {
            p_value: traffic.p_value.map(|p| if p < 0.0001 { format!("{p:.1e}") } else { format!("{p:.4}") }),
            shares: shares::draw("Share of subjects by variation, against the weights", &bars),
            rows: bars.iter().map(row).collect(),
            daily: (points.len() > 1).then(|| daily(experiment, &traffic, points)),
            days: points.iter().rev().map(|point| (point.day.clone(), counts(&traffic, point))).collect(),
            names: bars.iter().map(|bar| bar.name.to_owned()).collect(),
            traffic,
            assignments,
        }
    }
}

fn subjects(point: &Point, key: &str) -> Option<u64> {
    point.traffic.iter().find(|variation| variation.key == key).map(|variation| variation.subjects)
}

fn counts(traffic: &Traffic, point: &Point) -> Vec<String> {
    let shown = |key: &str| subjects(point, key).map_or("–".to_owned(), count);
    traffic.variations.iter().map(|variation| shown(&variation.key)).collect()
}

fn daily(experiment: &Experiment, traffic: &Traffic, points: &[Point]) -> String {
    let lines = traffic.variations.iter().map(|variation| {
        let found = points.iter().filter_map(|point| {
            Some(Mark { day: day_of(points, point), value: subjects(point, &variation.key)? as f64, interval: None })
        });
        let name = experiment.name_of(&variation.key).to_owned();
        Line { name, style: experiment.style_of(&variation.key), points: found.collect() }
    });
    let end = |point: Option<&Point>| point.map(|point| point.day.clone()).unwrap_or_default();
    let chart = Chart {
        title: "Subjects by variation up to each day",
        about: "A line for each variation; the table below has the figures.",
        days: [&end(points.first()), &end(points.last())],
        day_count: day_count(points),
        is_percent: false,
        lines: lines.collect(),
    };
    chart.draw()
}
