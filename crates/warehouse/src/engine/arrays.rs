//! The values of a text file's column as one of Arrow's arrays.
//!
//! For a type that was found, every value is known to fit. For one that the warehouse's author said, a value that does not
//! is an error that names it.

use crate::SaidType;
use crate::reading::numbers::Custom;
use crate::reading::{Kind, times};
use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Date32Builder, Decimal128Builder, Float64Builder, Int64Builder, StringViewBuilder,
    TimestampMicrosecondBuilder, TimestampNanosecondBuilder,
};
use datafusion::arrow::datatypes::{DataType, Field, TimeUnit};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

/// The key of a field's metadata under which stands how its doubles are printed.
pub const CUSTOM_KEY: &str = "bellwether.custom";

/// What a column is read as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadAs {
    Found(Kind),
    Said(SaidType),
}

impl ReadAs {
    pub fn field(self, name: &str) -> Field {
        let field = Field::new(name, self.data_type(), true);
        match self {
            ReadAs::Found(Kind::Double(Custom::Pointed)) => {
                field.with_metadata(HashMap::from([(CUSTOM_KEY.to_owned(), "pointed".to_owned())]))
            }
            _ => field,
        }
    }

    fn data_type(self) -> DataType {
        match self {
            ReadAs::Found(Kind::Text) | ReadAs::Said(SaidType::Text) => DataType::Utf8View,
            ReadAs::Found(Kind::Int) | ReadAs::Said(SaidType::Int) => DataType::Int64,
            ReadAs::Found(Kind::Bool) | ReadAs::Said(SaidType::Bool) => DataType::Boolean,
            ReadAs::Found(Kind::Date) | ReadAs::Said(SaidType::Date) => DataType::Date32,
            ReadAs::Found(Kind::Decimal { digits, scale }) => {
                DataType::Decimal128(digits, i8::try_from(scale).unwrap_or(i8::MAX))
            }
            ReadAs::Found(Kind::Double(_)) | ReadAs::Said(SaidType::Float) => DataType::Float64,
            ReadAs::Found(Kind::Time { is_fine: true }) => DataType::Timestamp(TimeUnit::Nanosecond, None),
            ReadAs::Found(Kind::Time { is_fine: false }) | ReadAs::Said(SaidType::Timestamp) => {
                DataType::Timestamp(TimeUnit::Microsecond, None)
            }
        }
    }

    /// The array of `values`; empty ones are null. An error is the first value that does not fit, and its place among them.
    pub fn array<'a>(
        self,
        values: impl Iterator<Item = Cow<'a, str>>,
        count: usize,
    ) -> Result<ArrayRef, (usize, String)> {
        macro_rules! build {
            ($builder:expr, $read:expr) => {{
                let mut builder = $builder;
                for (index, value) in values.enumerate() {
                    if value.is_empty() {
                        builder.append_null();
                    } else {
                        builder.append_value($read(value.as_ref()).ok_or_else(|| (index, value.to_string()))?);
                    }
                }
                builder
            }};
        }
        Ok(match (self, self.data_type()) {
            (_, DataType::Int64) => {
                Arc::new(build!(Int64Builder::with_capacity(count), |text: &str| text.parse().ok()).finish())
            }
            (_, DataType::Boolean) => Arc::new(build!(BooleanBuilder::with_capacity(count), boolean).finish()),
            (_, DataType::Date32) => Arc::new(build!(Date32Builder::with_capacity(count), times::date).finish()),
            (_, DataType::Float64) => Arc::new(build!(Float64Builder::with_capacity(count), double).finish()),
            (_, data_type @ DataType::Decimal128(_, _)) => {
                let builder = build!(Decimal128Builder::with_capacity(count), decimal);
                Arc::new(builder.with_data_type(data_type).finish())
            }
            (_, DataType::Timestamp(TimeUnit::Nanosecond, _)) => {
                Arc::new(build!(TimestampNanosecondBuilder::with_capacity(count), nanos).finish())
            }
            (ReadAs::Said(_), DataType::Timestamp(_, _)) => {
                Arc::new(build!(TimestampMicrosecondBuilder::with_capacity(count), said_micros).finish())
            }
            (_, DataType::Timestamp(_, _)) => {
                let micros = |text: &str| times::time(text).map(|(_, moment)| moment.micros);
                Arc::new(build!(TimestampMicrosecondBuilder::with_capacity(count), micros).finish())
            }
            _ => {
                // A `Cow` is no view of a long-lived text, so that the bytes are copied.
                let mut builder = StringViewBuilder::with_capacity(count);
                for value in values {
                    if value.is_empty() { builder.append_null() } else { builder.append_value(value.as_ref()) }
                }
                Arc::new(builder.finish())
            }
        })
    }
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "1" => Some(true),
        "false" | "0" => Some(false),
        _ if text.eq_ignore_ascii_case("true") => Some(true),
        _ if text.eq_ignore_ascii_case("false") => Some(false),
        _ => None,
    }
}

/// A number, and none of the words that Rust reads as one.
fn double(text: &str) -> Option<f64> {
    let starts_like_one = text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    text.parse().ok().filter(|value: &f64| starts_like_one && value.is_finite())
}

/// The digits without the point, as the scale is the column's.
fn decimal(text: &str) -> Option<i128> {
    let (is_negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let mut value = 0_i128;
    for byte in digits.bytes().filter(|byte| *byte != b'.') {
        value = value.checked_mul(10)?.checked_add(i128::from(byte.checked_sub(b'0').filter(|digit| *digit < 10)?))?;
    }
    Some(if is_negative { -value } else { value })
}

fn nanos(text: &str) -> Option<i64> {
    let (_, moment) = times::time(text)?;
    moment.micros.checked_mul(1000)?.checked_add(moment.nanos)
}

fn said_micros(text: &str) -> Option<i64> {
    let midnight = || Some(i64::from(times::date(text)?) * 86_400_000_000);
    times::time(text).map(|(_, moment)| moment.micros).or_else(midnight)
}
