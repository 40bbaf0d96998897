//! What is added to a failure that a text column may have caused: which column that is, why it is text, and the way out.
//!
//! Decides by the error's type first. A value is looked for in the error's words and then in the files, which costs only a query
//! that has failed anyway.

use super::statement::Query;
use super::tables::{Opened, Tables};
use crate::Failure;
use datafusion::arrow::datatypes::DataType;
use datafusion::arrow::error::ArrowError;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{ident, lit};
use datafusion::prelude::SessionContext;
use std::sync::Arc;

/// Columns that are named.
const MOST_NAMED: usize = 5;

/// A text column that the query names.
struct Suspect {
    table: String,
    opened: Arc<Opened>,
    column: String,
    why: String,
}

/// The failure with what is to be said of the text columns in `query`.
pub async fn advised(
    failure: Failure,
    error: &DataFusionError,
    query: &Query,
    tables: &Tables,
    context: &SessionContext,
) -> Failure {
    let is_of_value = is_of_value(error);
    if !is_of_value && !is_of_types(error, &failure.message) {
        return failure;
    }
    let mut suspects = suspects(query, tables);
    let value = value_in(&failure.message).filter(|_| is_of_value);
    let mut found = None;
    if let Some(value) = &value {
        for (index, suspect) in suspects.iter().enumerate() {
            if holds(suspect, value, context).await {
                found = Some(index);
                break;
            }
        }
    }
    if let Some(index) = found {
        suspects = vec![suspects.swap_remove(index)];
    }
    let Some(first) = suspects.first() else { return failure };
    let named: Vec<String> = suspects.iter().take(MOST_NAMED).map(Suspect::shown).collect();
    let column = quoted(&first.column);
    let nullif = value.filter(|_| found.is_some()).unwrap_or_else(|| "N/A".to_owned()).replace('\'', "''");
    let message = format!(
        "{} {}: write CAST({column} AS DOUBLE) or CAST({column} AS TIMESTAMP), with NULLIF({column}, '{nullif}') in place of \
         {column} where such a value means that there is none, TRY_CAST where whatever does not fit does, or \
         to_timestamp({column}, '%d.%m.%Y') for times in another notation; or say in the warehouse's `tables` what the column \
         is. {}",
        named.join(", "),
        if named.len() == 1 { "is text" } else { "are text" },
        failure.message
    );
    Failure::of(failure.kind, message)
}

impl Suspect {
    fn shown(&self) -> String {
        let why = self.why.strip_prefix("text: ").unwrap_or(&self.why);
        format!("column {:?} of {:?} ({why})", self.column, self.table)
    }
}

/// A value that cannot be what it is cast to.
fn is_of_value(error: &DataFusionError) -> bool {
    match error.find_root() {
        DataFusionError::ArrowError(error, _) => {
            matches!(error.as_ref(), ArrowError::CastError(_) | ArrowError::ParseError(_))
        }
        _ => false,
    }
}

/// A function or an operator that does not fit the text that it is given. Of other mistakes in planning it can only be told
/// by the words; without them, no more than advice is missing.
fn is_of_types(error: &DataFusionError, message: &str) -> bool {
    let speaks_of_text = ["Utf8", "String", "Unary operator"].iter().any(|word| message.contains(word));
    matches!(error.find_root(), DataFusionError::Plan(_)) && speaks_of_text
}

fn suspects(query: &Query, tables: &Tables) -> Vec<Suspect> {
    let mut suspects = Vec::new();
    for name in &query.tables {
        let Some(opened) = tables.opened(name) else { continue };
        for (field, why) in opened.provider.schema().fields().iter().zip(&opened.why) {
            let is_text = matches!(field.data_type(), DataType::Utf8View | DataType::Utf8 | DataType::LargeUtf8);
            if is_text && query.names(field.name()) {
                let (column, why) = (field.name().clone(), why.clone());
                suspects.push(Suspect { table: name.clone(), opened: opened.clone(), column, why });
            }
        }
    }
    suspects
}

/// What stands between quotes in the engine's words.
fn value_in(message: &str) -> Option<String> {
    let (_, rest) = message.split_once('\'')?;
    let (value, _) =
        rest.split_once("' to value").or_else(|| rest.split_once("':")).or_else(|| rest.rsplit_once('\''))?;
    Some(value.to_owned())
}

async fn holds(suspect: &Suspect, value: &str, context: &SessionContext) -> bool {
    let rows = async {
        let table = context.read_table(suspect.opened.provider.clone())?;
        table.filter(ident(&suspect.column).eq(lit(value)))?.limit(0, Some(1))?.count().await
    };
    matches!(rows.await, Ok(1))
}

fn quoted(name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    if is_plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}
