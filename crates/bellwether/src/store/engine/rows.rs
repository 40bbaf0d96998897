//! Rows that are inserted many at a time: one by one on SQLite, which has no round trips to save and keeps an intermediate
//! table for every list of rows; as columns under one statement on PostgreSQL, whatever their number.

use std::sync::OnceLock;

use crate::store::{Dialect, StoreError, Tx, Value, Write};

/// A column, and its type on PostgreSQL.
pub type Column = (&'static str, &'static str);

/// What is inserted: a table, and its columns.
pub struct Rows<const N: usize> {
    table: &'static str,
    columns: [Column; N],
    /// Behind the rows.
    suffix: &'static str,
    one: OnceLock<String>,
    many: OnceLock<String>,
}

impl<const N: usize> Rows<N> {
    pub const fn into(table: &'static str, columns: [Column; N], suffix: &'static str) -> Self {
        Self { table, columns, suffix, one: OnceLock::new(), many: OnceLock::new() }
    }

    /// Inserts all of these.
    pub fn inserting(&'static self, dialect: Dialect, rows: Vec<[Value; N]>) -> Vec<Write> {
        if rows.len() <= 1 || dialect.prefers_single_rows() {
            let sql = self.of_one();
            return rows.into_iter().map(|row| Write::new(sql, row)).collect();
        }
        let sql = self.many.get_or_init(|| self.statement(&format!("SELECT * FROM {}", lists(&self.columns))));
        vec![Write::new(sql.as_str(), as_lists(rows))]
    }

    /// Inserts one row at once.
    pub fn insert(&'static self, tx: &mut dyn Tx, row: &[Value; N]) -> Result<(), StoreError> {
        tx.execute(self.of_one(), row).map(drop)
    }

    fn of_one(&'static self) -> &'static str {
        self.one.get_or_init(|| self.statement(&format!("VALUES ({})", places(N))))
    }

    fn statement(&self, rows: &str) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        format!("INSERT INTO {} ({}) {rows} {}", self.table, names.join(", "), self.suffix)
    }
}

fn places(count: usize) -> String {
    (1..=count).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ")
}

/// What stands behind a column to ask for those among `given`, of the type `kind` on PostgreSQL, and the values from the
/// place `first` on: there one list, whatever its length, so that one statement is prepared for all.
pub fn among(dialect: Dialect, first: usize, kind: &str, given: Vec<Value>) -> (String, Vec<Value>) {
    match dialect {
        Dialect::Postgres => (format!("= ANY(CAST(${first} AS {kind}[]))"), vec![Value::List(given)]),
        Dialect::Sqlite => {
            let places: Vec<_> = (first..first + given.len()).map(|place| format!("${place}")).collect();
            (format!("IN ({})", places.join(", ")), given)
        }
    }
}

/// A source of rows for PostgreSQL, whose values are the lists `$1`, `$2`, …, one for each column.
pub fn lists(columns: &[Column]) -> String {
    let list = |(i, (_, kind)): (usize, &Column)| format!("CAST(${} AS {kind}[])", i + 1);
    let lists: Vec<_> = columns.iter().enumerate().map(list).collect();
    let names: Vec<_> = columns.iter().map(|(name, _)| *name).collect();
    format!("UNNEST({}) AS given ({})", lists.join(", "), names.join(", "))
}

/// Rows as the lists that [`lists`] reads.
pub fn as_lists<const N: usize>(rows: Vec<[Value; N]>) -> Vec<Value> {
    let mut lists = [(); N].map(|()| Vec::with_capacity(rows.len()));
    for row in rows {
        lists.iter_mut().zip(row).for_each(|(list, value)| list.push(value));
    }
    lists.map(Value::List).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    static TWO: Rows<2> = Rows::into("t", [("a", "BIGINT"), ("b", "TEXT")], "ON CONFLICT DO NOTHING");

    fn rows() -> Vec<[Value; 2]> {
        vec![[1_i64.into(), "x".into()], [2_i64.into(), Value::Null]]
    }

    #[test]
    fn rows_go_to_sqlite_one_by_one_and_to_postgresql_as_lists() {
        let sql = "INSERT INTO t (a, b) VALUES ($1, $2) ON CONFLICT DO NOTHING";
        let expected: Vec<_> = rows().into_iter().map(|row| Write::new(sql, row)).collect();
        assert_eq!(TWO.inserting(Dialect::Sqlite, rows()), expected);
        let sql = "INSERT INTO t (a, b) SELECT * FROM UNNEST(CAST($1 AS BIGINT[]), CAST($2 AS TEXT[])) AS given (a, b) \
                   ON CONFLICT DO NOTHING";
        let lists = [Value::List(vec![1_i64.into(), 2_i64.into()]), Value::List(vec!["x".into(), Value::Null])];
        assert_eq!(TWO.inserting(Dialect::Postgres, rows()), [Write::new(sql, lists)]);
        assert_eq!(TWO.inserting(Dialect::Postgres, rows()[..1].to_vec()), expected[..1], "one is no list");
        assert!(TWO.inserting(Dialect::Postgres, Vec::new()).is_empty());
    }
}
