//! Values over days: a line for each variation, named at its end, with a band around it where it has an interval.

use std::fmt::Write;

use super::{percent_tick, short, text, ticks};
use crate::domain::figure;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 260.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 26.0;
/// The least distance of two names, one above the other.
const APART: f64 = 14.0;

pub struct Line {
    pub name: String,
    /// See `Experiment::style_of`.
    pub style: usize,
    pub points: Vec<Point>,
}

/// A value on a day, which is counted from the first one.
#[derive(Debug, Clone, Copy)]
pub struct Point {
    pub day: usize,
    pub value: f64,
    pub interval: Option<[f64; 2]>,
}

pub struct Chart<'a> {
    pub title: &'a str,
    pub about: &'a str,
    /// The first and the last.
    pub days: [&'a str; 2],
    pub day_count: usize,
    pub is_percent: bool,
    pub lines: Vec<Line>,
}

struct Area {
    low: f64,
    high: f64,
    last_day: f64,
}

impl Area {
    fn x(&self, day: usize) -> f64 {
        LEFT + day as f64 / self.last_day * (WIDTH - LEFT - RIGHT)
    }

    fn y(&self, value: f64) -> f64 {
        let share = (value.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)
    }
}

impl Chart<'_> {
    /// One chart, or where lines could not be told apart in it, several below each other on one scale.
    pub fn draw(&self) -> String {
        let (area, parts) = (self.area(), self.parts());
        let mut first = 1;
        let mut charts = String::new();
        for part in &parts {
            let end = first + part.len();
            let title = match parts.len() {
                1 => self.title.to_owned(),
                _ => format!("{}: lines {first} to {} of {}", self.title, end - 1, self.lines.len()),
            };
            charts += &self.draw_part(&title, part, &area);
            first = end;
        }
        charts
    }

    /// Whether something reaches beyond what is drawn, so as not to flatten the rest.
    pub fn is_cut(&self) -> bool {
        let area = self.area();
        let points = self.lines.iter().flat_map(|line| &line.points);
        let mut ends = points.flat_map(|point| point.interval.into_iter().flatten().chain([point.value]));
        ends.any(|end| end < area.low || end > area.high)
    }

    fn draw_part(&self, title: &str, lines: &[Line], area: &Area) -> String {
        let mut svg = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><title>{}</title><desc>{}</desc>",
            text(title),
            text(self.about)
        );
        self.axes(area, &mut svg);
        for line in lines {
            band(line, area, &mut svg);
        }
        for line in lines {
            let (style, path) = (line.style, path(line, area));
            let _ = write!(svg, "<path class=\"line v{style}\" d=\"{path}\"/>");
            // A line of one point is nothing to see.
            for point in line.points.iter().take(if line.points.len() == 1 { 1 } else { 0 }) {
                let (x, y) = (area.x(point.day), area.y(point.value));
                let _ = write!(svg, "<circle class=\"fill-v{style}\" cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\"/>");
            }
        }
        names(lines, area, &mut svg);
        svg + "</svg>"
    }

    /// Lines next to each other of which no two look alike.
    fn parts(&self) -> Vec<&[Line]> {
        let mut parts = Vec::new();
        let mut first = 0;
        for end in 1..=self.lines.len() {
            let looks_alike = |next: &Line| self.lines[first..end].iter().any(|line| line.style == next.style);
            if self.lines.get(end).is_none_or(looks_alike) {
                parts.push(&self.lines[first..end]);
                first = end;
            }
        }
        if parts.is_empty() { vec![&[]] } else { parts }
    }

    /// Zero is always in sight. The first days are often wild: what is far beyond the last intervals is cut.
    fn area(&self) -> Area {
        let last = self.lines.iter().filter_map(|line| line.points.last());
        let reach =
            |point: &Point| point.interval.unwrap_or([point.value; 2]).map(f64::abs).into_iter().fold(0.0, f64::max);
        let most = last.map(reach).fold(0.0, f64::max) * 3.0;
        let most = if most > 0.0 { most } else { f64::MAX };
        let all = self.lines.iter().flat_map(|line| &line.points);
        let ends = all.flat_map(|point| point.interval.unwrap_or([point.value; 2])).filter(|end| end.is_finite());
        let (low, high) =
            ends.fold((0.0f64, 0.0f64), |(low, high), end| (low.min(end.max(-most)), high.max(end.min(most))));
        let room = ((high - low) * 0.05).max(1e-9);
        let low = if low < 0.0 { low - room } else { 0.0 };
        Area { low, high: high + room, last_day: (self.day_count.max(2) - 1) as f64 }
    }

    fn axes(&self, area: &Area, svg: &mut String) {
        let all = ticks(area.low, area.high, 5);
        let right = WIDTH - RIGHT;
        for tick in &all {
            let y = area.y(*tick);
            let class = if tick.abs() < 1e-12 { "zero" } else { "axis" };
            let label = if self.is_percent { percent_tick(*tick, &all) } else { plain_tick(*tick) };
            let _ = write!(
                svg,
                "<line class=\"{class}\" x1=\"{LEFT}\" x2=\"{right}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
                LEFT - 6.0,
                y + 4.0
            );
        }
        let [first, last] = self.days.map(text);
        let below = HEIGHT - 8.0;
        let _ = write!(svg, "<text x=\"{LEFT}\" y=\"{below}\">{first}</text>");
        if self.day_count > 1 {
            let _ = write!(svg, "<text x=\"{right}\" y=\"{below}\" text-anchor=\"end\">{last}</text>");
        }
    }
}

/// Beside the ends of their lines, and never over each other: pushed down from above, and up from the bottom.
fn names(lines: &[Line], area: &Area, svg: &mut String) {
    let ends = lines.iter().filter_map(|line| Some((line, area.y(line.points.last()?.value))));
    let mut ends: Vec<_> = ends.collect();
    ends.sort_by(|(_, one), (_, other)| one.total_cmp(other));
    let mut above = f64::MIN;
    for (_, y) in &mut ends {
        *y = y.max(above + APART);
        above = *y;
    }
    let mut below = HEIGHT - BOTTOM + APART;
    for (_, y) in ends.iter_mut().rev() {
        *y = y.min(below - APART);
        below = *y;
    }
    for (line, y) in ends {
        let (x, name) = (WIDTH - RIGHT + 30.0, short(&line.name));
        let _ = write!(
            svg,
            "<line class=\"line v{}\" x1=\"{}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
             <text class=\"label\" x=\"{x}\" y=\"{:.1}\">{name}</text>",
            line.style,
            x - 24.0,
            x - 4.0,
            y + 4.0
        );
    }
}

fn plain_tick(tick: f64) -> String {
    let is_count = tick >= 0.0 && tick.fract() == 0.0 && tick < 1e15;
    if is_count { figure::count(tick as u64) } else { format!("{tick:.3}").trim_end_matches('0').to_owned() }
}

fn path(line: &Line, area: &Area) -> String {
    let mut path = String::new();
    for (i, point) in line.points.iter().enumerate() {
        let _ = write!(path, "{}{:.1} {:.1}", if i == 0 { 'M' } else { 'L' }, area.x(point.day), area.y(point.value));
    }
    path
}

fn band(line: &Line, area: &Area, svg: &mut String) {
    let known: Vec<_> = line.points.iter().filter_map(|point| Some((point.day, point.interval?))).collect();
    if known.len() < 2 {
        return;
    }
    let there = known.iter().map(|(day, [_, high])| (*day, *high));
    let back = known.iter().rev().map(|(day, [low, _])| (*day, *low));
    let corners: Vec<_> =
        there.chain(back).map(|(day, value)| format!("{:.1},{:.1}", area.x(day), area.y(value))).collect();
    let _ = write!(svg, "<polygon class=\"band fill-v{}\" points=\"{}\"/>", line.style, corners.join(" "));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(lines: Vec<Line>) -> String {
        Chart { title: "t", about: "a", days: ["2026-03-01", "2026-03-03"], day_count: 3, is_percent: true, lines }
            .draw()
    }

    fn line(name: &str, style: usize, values: &[f64]) -> Line {
        let point =
            |(day, value): (usize, &f64)| Point { day, value: *value, interval: Some([value - 0.1, value + 0.1]) };
        Line { name: name.to_owned(), style, points: values.iter().enumerate().map(point).collect() }
    }

    #[test]
    fn lines_have_bands_and_names_that_do_not_cover_each_other() {
        let svg = chart(vec![line("one", 1, &[0.1, 0.2, 0.2]), line("<other>", 2, &[0.0, 0.1, 0.2])]);
        assert_eq!(svg.matches("<polygon").count(), 2);
        assert!(svg.contains("&lt;other&gt;") && svg.contains(">one<"));
        let heights: Vec<f64> = svg
            .split("class=\"label\"")
            .skip(1)
            .map(|rest| rest.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap())
            .collect();
        assert!((heights[0] - heights[1]).abs() >= APART - 0.11, "{heights:?}");
    }

    #[test]
    fn what_is_cut_is_told() {
        let of = |values: &[f64]| {
            let lines = vec![line("one", 1, values)];
            Chart { title: "t", about: "a", days: ["2026-03-01", "2026-03-03"], day_count: 3, is_percent: true, lines }
        };
        assert!(of(&[500.0, 0.2, 0.2]).is_cut());
        assert!(!of(&[0.1, 0.2, 0.2]).is_cut() && !of(&[]).is_cut());
    }

    #[test]
    fn wild_first_days_are_cut_and_nothing_is_no_number() {
        let svg =
            chart(vec![line("one", 1, &[500.0, 0.2, 0.2]), line("none", 2, &[]), line("inf", 3, &[f64::INFINITY])]);
        assert!(!svg.contains("NaN") && !svg.contains("inf\""));
        assert!(!svg.contains("50000 %"), "{svg}");
    }

    #[test]
    fn lines_that_look_alike_stand_in_different_charts_on_one_scale() {
        let lines = (0..8).map(|i| line(&format!("treatment {i}"), i % 6 + 1, &[0.1, 0.1 * i as f64]));
        let svg = chart(lines.collect());
        let parts: Vec<_> = svg.split("</svg>").filter(|part| !part.is_empty()).collect();
        assert_eq!(parts.len(), 2);
        assert!(parts[0].contains("t: lines 1 to 6 of 8") && parts[1].contains("t: lines 7 to 8 of 8"));
        assert!(parts[0].contains(">treatment 5<") && parts[1].contains(">treatment 7<"));
        let ticks = |part: &str| part.matches(" %</text>").count();
        assert_eq!(ticks(parts[0]), ticks(parts[1]));
        assert_eq!(chart(Vec::new()).matches("<svg").count(), 1, "one of nothing is a chart");
    }
}
