//! A lift and its interval against zero, on one scale for all of a page.

use std::fmt::Write;

use super::{percent_tick, text, ticks};
use crate::domain::verdict::Verdict;

const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 30.0;

/// From where to where all intervals of a page are drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    low: f64,
    high: f64,
}

impl Scale {
    /// Zero is always on it. One that is far wider than the others is cut, lest the others be points.
    pub fn of(intervals: impl IntoIterator<Item = [f64; 2]>) -> Self {
        let intervals: Vec<_> = intervals.into_iter().filter(|ends| ends.iter().all(|end| end.is_finite())).collect();
        let mut reaches: Vec<f64> = intervals.iter().map(|[low, high]| low.abs().max(high.abs())).collect();
        reaches.sort_by(f64::total_cmp);
        let most = reaches.get(reaches.len() / 2).map_or(0.01, |middle| middle * 5.0).max(1e-6);
        let low = intervals.iter().map(|[low, _]| low.max(-most)).fold(0.0, f64::min);
        let high = intervals.iter().map(|[_, high]| high.min(most)).fold(0.0, f64::max);
        let room = ((high - low) * 0.06).max(1e-6);
        Self { low: low - room, high: high + room }
    }

    fn x(&self, value: f64) -> f64 {
        (value.clamp(self.low, self.high) - self.low) / (self.high - self.low) * WIDTH
    }

    /// The axis that stands above or below the rows.
    pub fn axis(&self) -> String {
        let all = ticks(self.low, self.high, 5);
        let mut svg = format!("<svg class=\"chart\" viewBox=\"0 0 {WIDTH} 18\" aria-hidden=\"true\">");
        for tick in &all {
            let (x, label) = (self.x(*tick), percent_tick(*tick, &all));
            let anchor = if x < 20.0 {
                "start"
            } else if x > WIDTH - 20.0 {
                "end"
            } else {
                "middle"
            };
            // Writing to text does not fail.
            let _ = write!(svg, "<text x=\"{x:.1}\" y=\"13\" text-anchor=\"{anchor}\">{label}</text>");
        }
        svg + "</svg>"
    }

    /// One row: where the lift is, how sure that is, where zero is, and where a guardrail breaks.
    pub fn row(
        &self,
        about: &str,
        lift: f64,
        interval: [f64; 2],
        verdict: Option<Verdict>,
        cutoff: Option<f64>,
    ) -> String {
        let class = match verdict {
            Some(Verdict::Better) => "better",
            Some(Verdict::Worse) => "worse",
            _ => "",
        };
        let middle = HEIGHT / 2.0;
        let (zero, [low, high]) = (self.x(0.0), interval.map(|end| self.x(end)));
        let mut svg = format!(
            "<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\"><title>{}</title>\
             <line class=\"axis\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{middle}\" y2=\"{middle}\"/>\
             <line class=\"zero\" x1=\"{zero:.1}\" x2=\"{zero:.1}\" y1=\"0\" y2=\"{HEIGHT}\"/>",
            text(about)
        );
        // One that lies outside of the scale would seem to lie at its end.
        let is_within = |cutoff: &f64| *cutoff != 0.0 && (self.low..=self.high).contains(cutoff);
        if let Some(at) = cutoff.filter(is_within).map(|cutoff| self.x(cutoff)) {
            let _ = write!(svg, "<line class=\"cutoff\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"0\" y2=\"{HEIGHT}\"/>");
        }
        let _ = write!(
            svg,
            "<line class=\"whisker {class}\" x1=\"{low:.1}\" x2=\"{high:.1}\" y1=\"{middle}\" y2=\"{middle}\"/>"
        );
        for (is_cut, x, sign) in [(interval[0] < self.low, low, 1.0), (interval[1] > self.high, high, -1.0)] {
            if is_cut {
                let (back, above, below) = (x + sign * 9.0, middle - 6.0, middle + 6.0);
                let _ = write!(
                    svg,
                    "<path class=\"point {class}\" d=\"M{x:.1} {middle} L{back:.1} {above} L{back:.1} {below} Z\"/>"
                );
            }
        }
        let _ =
            write!(svg, "<circle class=\"point {class}\" cx=\"{:.1}\" cy=\"{middle}\" r=\"6\"/></svg>", self.x(lift));
        svg
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_on_every_scale_and_what_is_far_is_cut() {
        let scale = Scale::of([[0.02, 0.04], [0.01, 0.05], [-3.0, 40.0]]);
        assert!(scale.low < 0.0 && scale.high > 0.05 && scale.high < 1.0, "{scale:?}");
        assert!(scale.row("wide", 1.0, [-3.0, 40.0], None, None).matches("<path").count() == 2);
        let alone = Scale::of([[0.2, 0.4]]);
        assert!(alone.low < 0.0 && alone.high > 0.4);
        assert!(!alone.row("near", 0.3, [0.2, 0.4], None, None).contains("<path"));
    }

    #[test]
    fn what_has_no_figures_has_a_scale() {
        for intervals in [vec![], vec![[f64::NAN, 1.0]], vec![[0.0, 0.0]]] {
            let scale = Scale::of(intervals);
            assert!(scale.low < 0.0 && scale.high > 0.0);
            assert!(!scale.axis().contains("NaN"));
        }
    }

    #[test]
    fn names_stand_in_it_harmlessly() {
        let row = Scale::of([[0.0, 1.0]]).row("<script>", 0.5, [0.0, 1.0], Some(Verdict::Better), Some(-0.02));
        assert!(row.contains("&lt;script&gt;") && row.contains("whisker better") && row.contains("cutoff"));
    }
}
