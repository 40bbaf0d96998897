//! Figures as people read them: with the digits that their uncertainty justifies, two of half the width of its interval.

/// A share or a lift as a percentage, where its interval has this width.
pub fn percent(share: f64, width: f64) -> String {
    let text = rounded(share * 100.0, width * 100.0);
    format!("{text} %")
}

/// The same with its sign, also where it is positive.
pub fn signed_percent(share: f64, width: f64) -> String {
    let text = percent(share, width);
    let is_positive = !text.starts_with('-') && text.contains(|c: char| c.is_ascii_digit() && c != '0');
    if is_positive { format!("+{text}") } else { text }
}

/// An interval of lifts, with the digits that its own width justifies.
pub fn between([low, high]: [f64; 2]) -> String {
    let [low, high] = [low, high].map(|end| signed_percent(end, high - low));
    format!("{low} to {high}")
}

/// A value, where its interval has this width.
pub fn rounded(value: f64, width: f64) -> String {
    let half = (width / 2.0).abs();
    if half > 0.0 && half < 1e-6 && value != 0.0 && value.abs() < 1e-3 {
        return format!("{value:.1e}");
    }
    let digits = if half > 0.0 { (1.0 - half.log10().floor()).clamp(0.0, 6.0) } else { 6.0 };
    let text = format!("{value:.*}", digits as usize);
    let is_zero = !text.contains(|c: char| c.is_ascii_digit() && c != '0');
    if is_zero { text.trim_start_matches('-').to_owned() } else { grouped(&text) }
}

/// A count in groups of three digits, with narrow spaces between that break no line.
pub fn count(count: u64) -> String {
    grouped(&count.to_string())
}

fn grouped(number: &str) -> String {
    let (sign, number) = number.strip_prefix('-').map_or(("", number), |rest| ("-", rest));
    let (digits, fraction) = number.find('.').map_or((number, ""), |point| number.split_at(point));
    let mut grouped = sign.to_owned();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_those_that_the_width_justifies() {
        for (share, width, expected) in [
            (0.0312, 0.038, "+3.1 %"),
            (0.031_234, 0.0038, "+3.12 %"),
            (-0.4, 1.2, "-40 %"),
            (-0.000_001, 0.038, "0.0 %"),
            (0.5, 0.0, "+50.000000 %"),
            (12.345, 0.02, "+1\u{202f}234.5 %"),
            (0.0312, f64::NAN, "+3.120000 %"),
        ] {
            assert_eq!(signed_percent(share, width), expected, "{share} ± {width}");
        }
        assert_eq!(between([-0.012, 0.05]), "-1.2 % to +5.0 %");
        assert_eq!(rounded(-1234.567, 20.0), "-1\u{202f}235");
        assert_eq!(rounded(1234567.891, 0.2), "1\u{202f}234\u{202f}567.89");
        assert_eq!(rounded(0.001_234_5, 0.0002), "0.00123");
        assert_eq!(rounded(4.68e-8, 2e-9), "4.7e-8");
    }

    #[test]
    fn counts_are_grouped() {
        for (given, expected) in [(0, "0"), (999, "999"), (1000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(count(given).replace('\u{202f}', " "), expected);
        }
    }
}
