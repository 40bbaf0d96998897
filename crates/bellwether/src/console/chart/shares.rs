//! How subjects are spread: a bar for each variation, and what its weight would have given it.

use std::fmt::Write;

use super::{short, text};
use crate::domain::figure::{count, percent};

const WIDTH: f64 = 760.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 190.0;
const ROW: f64 = 34.0;

pub struct Share<'a> {
    pub name: &'a str,
    pub style: usize,
    pub subjects: u64,
    /// Of all, from 0 to 1.
    pub observed: f64,
    pub expected: f64,
}

pub fn draw(title: &str, shares: &[Share<'_>]) -> String {
    let height = ROW * shares.len() as f64;
    let most = shares.iter().flat_map(|share| [share.observed, share.expected]).fold(1e-9, f64::max);
    let scale = (WIDTH - LEFT - RIGHT) / most;
    let mut svg =
        format!("<svg class=\"chart\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\"><title>{}</title>", text(title));
    for (i, share) in shares.iter().enumerate() {
        let top = ROW * i as f64;
        let (base, observed, expected) = (top + 21.0, share.observed * scale, share.expected * scale);
        // Writing to text does not fail.
        let _ = write!(
            svg,
            "<text class=\"label\" x=\"{}\" y=\"{base}\" text-anchor=\"end\">{}</text>\
             <rect class=\"fill-v{}\" x=\"{LEFT}\" y=\"{}\" width=\"{observed:.1}\" height=\"16\"/>\
             <rect class=\"bar-expected\" x=\"{LEFT}\" y=\"{}\" width=\"{expected:.1}\" height=\"22\"/>\
             <text x=\"{:.1}\" y=\"{base}\">{} · {} of {}</text>",
            LEFT - 10.0,
            short(share.name),
            share.style,
            top + 9.0,
            top + 6.0,
            LEFT + observed.max(expected) + 8.0,
            count(share.subjects),
            percent(share.observed, 0.02),
            percent(share.expected, 0.02),
        );
    }
    svg + "</svg>"
}
