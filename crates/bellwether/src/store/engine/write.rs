//! Statements that write, as values: so that those of one change can go to PostgreSQL as one, and wait for one answer.

use std::borrow::Cow;

use crate::store::{StoreError, Tx, Value};

#[derive(Debug, Clone, PartialEq)]
pub struct Write {
    sql: Cow<'static, str>,
    params: Vec<Value>,
}

impl Write {
    pub fn new(sql: impl Into<Cow<'static, str>>, params: impl Into<Vec<Value>>) -> Self {
        Self { sql: sql.into(), params: params.into() }
    }

    pub fn execute(&self, tx: &mut dyn Tx) -> Result<(), StoreError> {
        tx.execute(&self.sql, &self.params).map(drop)
    }
}

/// Most values under one joined statement. PostgreSQL takes 65,535; long before that, a statement costs more to prepare,
/// and to keep prepared, than the answers that it saves waiting for.
const MOST_VALUES: usize = 1000;

/// Carries all of these out, in this order or several as one statement: so none of them may look for what another writes.
/// References between their rows hold, for these are checked at the end of each statement.
pub fn execute_all(tx: &mut dyn Tx, writes: &[Write]) -> Result<(), StoreError> {
    if !tx.dialect().joins_writes() {
        return writes.iter().try_for_each(|write| write.execute(tx));
    }
    let mut rest = writes;
    while !rest.is_empty() {
        let (group, behind) = rest.split_at(joinable(rest));
        match group {
            [first @ .., last] if !first.is_empty() => {
                let (sql, params) = joined(first, last);
                tx.execute(&sql, &params)?;
            }
            alone => alone.iter().try_for_each(|write| write.execute(tx))?,
        }
        rest = behind;
    }
    Ok(())
}

/// How many of these, from the first on, may be one statement: at least one.
fn joinable(writes: &[Write]) -> usize {
    let mut values = 0;
    let fitting = writes.iter().take_while(|write| {
        values += write.params.len();
        values <= MOST_VALUES
    });
    fitting.count().max(1)
}

fn joined(first: &[Write], last: &Write) -> (String, Vec<Value>) {
    let mut sql = String::new();
    let mut params: Vec<Value> = Vec::new();
    for (i, write) in first.iter().enumerate() {
        sql += &format!("{} write_{i} AS (", if i == 0 { "WITH" } else { "," });
        push_renumbered(&mut sql, &write.sql, params.len());
        sql += ")";
        params.extend_from_slice(&write.params);
    }
    sql += " ";
    push_renumbered(&mut sql, &last.sql, params.len());
    params.extend_from_slice(&last.params);
    (sql, params)
}

/// `$1` becomes `$9` behind eight others. No statement has a `$` elsewhere.
pub fn push_renumbered(sql: &mut String, statement: &str, offset: usize) {
    let mut parts = statement.split('$');
    sql.push_str(parts.next().unwrap_or(""));
    for part in parts {
        let digits = part.bytes().take_while(u8::is_ascii_digit).count();
        let number = part[..digits].parse::<usize>().unwrap_or(0) + offset;
        sql.push('$');
        sql.push_str(&number.to_string());
        sql.push_str(&part[digits..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_so_many_values_are_joined() {
        let with = |count: usize| Write::new("INSERT", vec![Value::Null; count]);
        assert_eq!(joinable(&[with(1)]), 1);
        assert_eq!(joinable(&[with(MOST_VALUES), with(0), with(1)]), 2);
        assert_eq!(joinable(&[with(MOST_VALUES + 1), with(1)]), 1);
        assert_eq!(joinable(&[with(MOST_VALUES - 1), with(2), with(1)]), 1);
    }

    #[test]
    fn joined_statements_count_their_values_on() {
        let writes = [
            Write::new("UPDATE a SET x = $2 WHERE id = $1", [1_i64.into(), 2_i64.into()]),
            Write::new("INSERT INTO b VALUES ($1, $1)", [3_i64.into()]),
            Write::new("INSERT INTO c VALUES ($2, $1)", [4_i64.into(), 5_i64.into()]),
        ];
        let (sql, params) = joined(&writes[..2], &writes[2]);
        assert_eq!(
            sql,
            "WITH write_0 AS (UPDATE a SET x = $2 WHERE id = $1), write_1 AS (INSERT INTO b VALUES ($3, $3)) INSERT INTO c VALUES ($5, $4)"
        );
        assert_eq!(params, (1..=5).map(Value::Int).collect::<Vec<_>>());
    }
}
