//! Charts: SVG that the server draws, each with a title and a description, in one look. A table of the same figures stands beside
//! every one of them, on the page. Colours are never alone: lines are dashed in different ways and named where they end.

pub mod interval;
pub mod lines;
pub mod shares;

/// Escapes what stands in an SVG's text.
fn text(given: &str) -> String {
    let mut escaped = String::with_capacity(given.len());
    for c in given.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// As much of a name as a chart has room for.
fn short(name: &str) -> String {
    match name.char_indices().nth(24) {
        Some((end, _)) => text(&format!("{}…", &name[..end])),
        None => text(name),
    }
}

/// Round values from `low` to `high`, about so many.
fn ticks(low: f64, high: f64, about: u32) -> Vec<f64> {
    let span = high - low;
    if !(span.is_finite() && span > 0.0) {
        return vec![low];
    }
    let rough = span / f64::from(about);
    let scale = 10f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|step| step * scale).find(|step| *step >= rough).unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    (first..).take(50).map(|i| i as f64 * step).take_while(|tick| *tick <= high + step * 1e-9).collect()
}

/// A tick as a percentage, with as many digits as the steps need.
fn percent_tick(tick: f64, all: &[f64]) -> String {
    let step = all.windows(2).map(|pair| pair[1] - pair[0]).next().unwrap_or(1.0) * 100.0;
    let digits = (-step.abs().max(1e-9).log10().floor()).clamp(0.0, 6.0);
    let tick = if tick.abs() < 1e-12 { 0.0 } else { tick };
    format!("{:.*}%", digits as usize, tick * 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(ticks(-0.05, 0.12, 5), [-0.05, 0.0, 0.05, 0.1]);
        assert_eq!(ticks(0.0, 1000.0, 4), [0.0, 500.0, 1000.0]);
        assert_eq!(ticks(1.0, 1.0, 4), [1.0]);
        assert_eq!(ticks(f64::NEG_INFINITY, 1.0, 4).len(), 1);
        assert!(ticks(0.0, 1e300, 4).len() <= 6);
    }

    #[test]
    fn ticks_have_the_digits_that_tell_them_apart() {
        let all = ticks(-0.001, 0.002, 4);
        let shown: Vec<_> = all.iter().map(|tick| percent_tick(*tick, &all)).collect();
        assert_eq!(shown, ["-0.1%", "0.0%", "0.1%", "0.2%"]);
    }

    #[test]
    fn names_are_harmless() {
        assert_eq!(short("<script>alert(1)</script> & more"), "&lt;script&gt;alert(1)&lt;/script…");
    }
}
