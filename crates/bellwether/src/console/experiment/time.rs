//! How the figures of an experiment moved: what they were at the end of each day.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;

use super::Experiment;
use crate::console::chart::lines::{Chart, Line, Point as Mark};
use crate::console::failure::Failure;
use crate::console::page::{Frame, html};
use crate::console::visit::Visit;
use crate::domain::figure::{between, count, signed_percent};
use crate::domain::id::MetricId;
use crate::domain::point::{Point, VariationPoint, day_before};

#[derive(Template)]
#[template(path = "console/experiment/time.html")]
struct Page<'a> {
    frame: &'a Frame,
    tab: &'static str,
    experiment: &'a Experiment,
    day_count: usize,
    metrics: Vec<Metric>,
}

struct Metric {
    id: MetricId,
    name: String,
    chart: String,
    is_cut: bool,
    rows: Vec<Row>,
}

struct Row {
    day: String,
    variation: String,
    subjects: String,
    lift: String,
    between: String,
}

/// How many days after the first point another one is: runs may have left days out.
pub fn day_of(points: &[Point], point: &Point) -> usize {
    let day = |point: &Point| point.day.parse::<jiff::civil::Date>().ok();
    let first = points.first().and_then(day);
    let days = first.zip(day(point)).and_then(|(first, day)| first.until(day).ok()).map(|span| span.get_days());
    days.and_then(|days| usize::try_from(days).ok()).unwrap_or(0)
}

pub fn day_count(points: &[Point]) -> usize {
    points.last().map_or(0, |last| day_of(points, last) + 1)
}

/// The points of all days up to the experiment's end, oldest first.
pub async fn points(visit: &Visit, experiment: &Experiment) -> Result<Vec<Point>, Failure> {
    let path = format!("/experiments/{}/results/history?", experiment.id);
    let mut points: Vec<Point> = visit.all(&path).await?;
    // What a run found before there was an end, of days that count no more.
    if let Some(end) = experiment.configuration.end() {
        points.retain(|point| point.day <= day_before(end).to_string());
    }
    Ok(points)
}

pub async fn show(visit: Visit, Path(id): Path<String>) -> Result<Response, Failure> {
    let experiment = Experiment::of(&visit, &id).await?;
    let points = points(&visit, &experiment).await?;
    // What is attached now: the last day has it.
    let last = points.last().map(|point| point.metrics.as_slice()).unwrap_or_default();
    let metrics = last.iter().map(|metric| Metric::of(&experiment, &points, metric.metric_id, &metric.name));
    let page = Page {
        frame: &visit.frame,
        tab: "over time",
        experiment: &experiment,
        day_count: points.len(),
        metrics: metrics.collect(),
    };
    Ok(html(&visit.frame, page.render()))
}

impl Metric {
    fn of(experiment: &Experiment, points: &[Point], id: MetricId, name: &str) -> Self {
        let of_day = |point: &'_ Point| point.metrics.iter().find(|metric| metric.metric_id == id).cloned();
        let days: Vec<_> =
            points.iter().filter_map(|point| Some((day_of(points, point), point, of_day(point)?))).collect();
        let treatments = experiment.configuration.active_variations().filter(|variation| !variation.is_control);
        let lines = treatments.map(|variation| {
            let found = days.iter().filter_map(|(day, _, metric)| {
                let found = metric.variations.iter().find(|found| found.key == variation.key)?;
                Some(Mark { day: *day, value: found.lift?, interval: found.interval })
            });
            let name = experiment.name_of(&variation.key).to_owned();
            Line { name, style: experiment.style_of(&variation.key), points: found.collect() }
        });
        let end = |point: Option<&Point>| point.map(|point| point.day.clone()).unwrap_or_default();
        let (first, last) = (end(points.first()), end(points.last()));
        let chart = Chart {
            title: &format!("Lift of {name}, day by day"),
            about: "A line for each treatment, with its interval around it; the table below has the figures.",
            days: [&first, &last],
            day_count: day_count(points),
            is_percent: true,
            lines: lines.collect(),
        };
        let rows = days.iter().rev().flat_map(|(_, point, metric)| {
            let treatments = metric.variations.iter().filter(|found| !experiment.is_control(&found.key));
            treatments.map(|found| Row::of(experiment, &point.day, found)).collect::<Vec<_>>()
        });
        Self { id, name: name.to_owned(), chart: chart.draw(), is_cut: chart.is_cut(), rows: rows.collect() }
    }
}

impl Row {
    fn of(experiment: &Experiment, day: &str, found: &VariationPoint) -> Self {
        let figures = found.lift.zip(found.interval);
        Self {
            day: day.to_owned(),
            variation: experiment.name_of(&found.key).to_owned(),
            subjects: count(found.subjects),
            lift: figures.map_or("–".to_owned(), |(lift, [low, high])| signed_percent(lift, high - low)),
            between: figures.map_or("–".to_owned(), |(_, interval)| between(interval)),
        }
    }
}
