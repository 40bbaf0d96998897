//! Lists that are filtered, searched and sorted: one way through all of them, by indexes alone, at a bounded cost a page.
//!
//! A condition that few meet is asked for its things first, and those are sorted. Where many meet all of them, the list is gone
//! through in its order instead, so far at most: a page may then be short, though more comes behind it.

use super::engine::rows::Rows;
use super::engine::write::push_renumbered;
use super::{Row, StoreError, Tx, Value, execute_all, query_as, query_one};
use crate::domain::search::{Search, Words};
use crate::domain::sort::{Place, Sort, SortBy, SortValue};
use crate::params;

/// So few are looked at one by one, and sorted for every page.
const FEW: u32 = 1000;
/// Things that a page goes through at most, and so many at a time.
const MOST_LOOKED_AT: u32 = 5000;
const LARGEST_STEP: u32 = 1000;
/// Things that are read whole for a page, to see whether they are wanted.
const MOST_READ: usize = 1000;

/// Where the words of things lie: a table with the columns `word` and `of_word`.
pub struct WordIndex {
    pub table: &'static str,
    pub of_word: &'static str,
    pub rows: Rows<2>,
}

impl WordIndex {
    /// Writes what the words of `id` have become: those that differ.
    pub fn write(&'static self, tx: &mut dyn Tx, id: &Value, before: &Words, after: &Words) -> Result<(), StoreError> {
        for word in before.without(after) {
            let sql = format!("DELETE FROM {} WHERE word = $1 AND {} = $2", self.table, self.of_word);
            tx.execute(&sql, &[word.into(), id.clone()])?;
        }
        let rows = after.without(before).map(|word| [Value::from(word), id.clone()]).collect();
        let writes = self.rows.inserting(tx.dialect(), rows);
        execute_all(tx, &writes)
    }
}

/// A table with a list, and what is read of it.
pub struct Listed {
    pub table: &'static str,
    pub columns: &'static str,
    pub words: &'static WordIndex,
    /// Whether it has the columns `is_archived` and `deleted_at`.
    pub is_put_away: bool,
}

/// Part of a statement, with its values as `$1`, `$2`, …
#[derive(Debug, Clone)]
pub struct Part {
    sql: String,
    values: Vec<Value>,
}

impl Part {
    pub fn new(sql: impl Into<String>, values: &[Value]) -> Self {
        Self { sql: sql.into(), values: values.to_vec() }
    }
}

/// What things must meet.
#[derive(Debug, Clone)]
pub struct Condition {
    /// Of a row `e`.
    test: Part,
    /// What gives the `id` of all that meet it, by an index.
    among: Option<Part>,
}

impl Condition {
    pub fn tested(test: Part) -> Self {
        Self { test, among: None }
    }

    pub fn indexed(test: Part, among: Part) -> Self {
        Self { test, among: Some(among) }
    }
}

/// Which page of a list is wanted.
#[derive(Debug, Clone)]
pub struct Wanted {
    pub sort: Sort,
    pub after: Option<Place>,
    pub limit: u32,
    /// Sorted by a time: none from before this one.
    pub since: Option<i64>,
    pub with_archived: bool,
    pub conditions: Vec<Condition>,
}

/// What a page holds, and where the next begins, if there may be one.
#[derive(Debug)]
pub struct Found<T> {
    pub items: Vec<T>,
    pub next: Option<Place>,
}

/// A statement that is put together.
#[derive(Default)]
struct Statement {
    sql: String,
    values: Vec<Value>,
}

impl Statement {
    fn push(&mut self, sql: &str) -> &mut Self {
        self.sql.push_str(sql);
        self
    }

    fn push_part(&mut self, part: &Part) -> &mut Self {
        push_renumbered(&mut self.sql, &part.sql, self.values.len());
        self.values.extend_from_slice(&part.values);
        self
    }
}

impl From<&SortValue> for Value {
    fn from(value: &SortValue) -> Self {
        match value {
            SortValue::Number(number) => Self::from(*number),
            SortValue::Text(text) => Self::from(text),
        }
    }
}

impl Listed {
    /// The conditions of a search: one for each word.
    pub fn searching(&self, search: &Search) -> Vec<Condition> {
        let WordIndex { table: words, of_word, .. } = self.words;
        let condition = |like: String, which: &str, values: &[Value]| {
            let among = format!("SELECT {of_word} AS id FROM {words} WHERE {which}");
            Condition::indexed(Part::new("e.words LIKE $1", params![like]), Part::new(among, values))
        };
        let whole = search.whole().map(|word| condition(format!("% {word} %"), "word = $1", params![word]));
        let beginnings = search.beginnings().map(|word| {
            let values = params![word, format!("{word}\u{10ffff}")];
            condition(format!("% {word}%"), "word >= $1 AND word < $2", values)
        });
        whole.chain(beginnings).collect()
    }

    /// A page of those that meet all conditions and are `wanted` by what they are; `decode` gives their sort key too.
    pub fn page<T>(
        &self,
        tx: &mut dyn Tx,
        page: &Wanted,
        decode: impl Fn(&Row<'_>) -> Result<T, StoreError>,
        is_wanted: impl Fn(&T) -> bool,
    ) -> Result<Found<T>, StoreError> {
        let few = self.fewest(tx, page)?;
        let (mut items, mut read, mut looked_at) = (Vec::new(), 0, 0);
        let mut after = page.after.clone();
        let mut step = page.limit;
        loop {
            let statement = match &few {
                Some(among) => self.of_few(page, among, after.as_ref(), step),
                None => self.in_order(page, after.as_ref(), step),
            };
            let rows = query_as(tx, self.table, &statement.sql, &statement.values, |row| {
                let place = Place { at: value(row, "place")?, id: value(row, "place_id")? };
                let is_met = row.get("is_met")?;
                Ok((place, if is_met { Some(decode(row)?) } else { None }))
            })?;
            let is_last = u32::try_from(rows.len()).is_ok_and(|count| count < step);
            looked_at += step;
            for (place, item) in rows {
                read += usize::from(item.is_some());
                items.extend(item.filter(&is_wanted));
                after = Some(place);
                if items.len() >= page.limit as usize || read >= MOST_READ {
                    return Ok(Found { items, next: after });
                }
            }
            if is_last {
                return Ok(Found { items, next: None });
            }
            if looked_at >= MOST_LOOKED_AT {
                return Ok(Found { items, next: after });
            }
            step = (step * 4).min(LARGEST_STEP);
        }
    }

    /// What gives the ids of all that meet some condition, if these are few.
    fn fewest<'w>(&self, tx: &mut dyn Tx, page: &'w Wanted) -> Result<Option<&'w Part>, StoreError> {
        for among in page.conditions.iter().filter_map(|condition| condition.among.as_ref()) {
            let mut counting = Statement::default();
            counting.push("SELECT COUNT(*) AS count FROM (").push_part(among);
            counting.push(&format!(" LIMIT {}) AS those", FEW + 1));
            let count = query_one(tx, self.table, &counting.sql, &counting.values, |row| row.get::<u32>("count"))?;
            if count.is_some_and(|count| count <= FEW) {
                return Ok(Some(among));
            }
        }
        Ok(None)
    }

    /// Those of `among` that meet every condition, sorted.
    fn of_few(&self, page: &Wanted, among: &Part, after: Option<&Place>, count: u32) -> Statement {
        let column = column(page.sort.by);
        let mut it = Statement::default();
        it.push(&format!(
            "SELECT {}, 1 AS is_met FROM (SELECT DISTINCT id FROM (",
            self.selected(&format!("e.{column}"), "e.id")
        ));
        // The order of a cross join is the one that SQLite keeps.
        it.push_part(among).push(&format!(") AS those) AS few CROSS JOIN {} e WHERE e.id = few.id", self.table));
        if self.is_put_away {
            let archived = if page.with_archived { "" } else { " AND e.is_archived = 0" };
            it.push(" AND e.deleted_at IS NULL").push(archived);
        }
        let (column, id) = (format!("e.{column}"), "e.id");
        push_range(&mut it, page, &column, id, after);
        for condition in &page.conditions {
            it.push(" AND ").push_part(&condition.test);
        }
        push_order(&mut it, page.sort, &column, id);
        it.push(&format!(" LIMIT {count}"));
        it
    }

    /// The next `count` in the list's order; what does not meet every condition is passed with nothing but its place.
    fn in_order(&self, page: &Wanted, after: Option<&Place>, count: u32) -> Statement {
        let mut it = Statement::default();
        let columns = self.selected("passed.place", "passed.id");
        it.push(&format!("SELECT {columns}, CASE WHEN e.id IS NULL THEN 0 ELSE 1 END AS is_met FROM ("));
        let sides: &[Option<u8>] = match (self.is_put_away, page.with_archived) {
            (false, _) => &[None],
            (true, false) => &[Some(0)],
            (true, true) => &[Some(0), Some(1)],
        };
        let column = column(page.sort.by);
        for (i, archived) in sides.iter().enumerate() {
            it.push(if i == 0 { "" } else { " UNION ALL " });
            it.push(&format!("SELECT * FROM (SELECT id, {column} AS place FROM {} WHERE ", self.table));
            it.push(
                &archived.map_or("1 = 1".to_owned(), |side| format!("deleted_at IS NULL AND is_archived = {side}")),
            );
            push_range(&mut it, page, column, "id", after);
            push_order(&mut it, page.sort, column, "id");
            it.push(&format!(" LIMIT {count}) AS side"));
        }
        it.push(&format!(") AS passed LEFT JOIN {} e ON e.id = passed.id", self.table));
        for condition in &page.conditions {
            it.push(" AND ").push_part(&condition.test);
        }
        push_order(&mut it, page.sort, "passed.place", "passed.id");
        it.push(&format!(" LIMIT {count}"));
        it
    }

    fn selected(&self, place: &str, id: &str) -> String {
        let columns: Vec<_> = self.columns.split(", ").map(|column| format!("e.{}", column.trim())).collect();
        format!("{}, {place} AS place, {id} AS place_id", columns.join(", "))
    }
}

const fn column(by: SortBy) -> &'static str {
    match by {
        SortBy::Id => "id",
        SortBy::Name => "sort_name",
        SortBy::CreatedAt => "created_at",
        SortBy::UpdatedAt => "updated_at",
    }
}

fn push_range(it: &mut Statement, page: &Wanted, column: &str, id: &str, after: Option<&Place>) {
    let beyond = if page.sort.is_descending { "<" } else { ">" };
    if let Some(place) = after {
        let values = [Value::from(&place.at), Value::from(&place.id)];
        it.push_part(&match page.sort.by {
            SortBy::Id => Part::new(format!(" AND {id} {beyond} $1"), &values[1..]),
            _ => Part::new(format!(" AND ({column}, {id}) {beyond} ($1, $2)"), &values),
        });
    }
    if let Some(since) = page.since {
        it.push_part(&Part::new(format!(" AND {column} >= $1"), params![since]));
    }
}

fn push_order(it: &mut Statement, sort: Sort, column: &str, id: &str) {
    let way = if sort.is_descending { " DESC" } else { "" };
    let by = if sort.by == SortBy::Id { String::new() } else { format!("{column}{way}, ") };
    it.push(&format!(" ORDER BY {by}{id}{way}"));
}

/// What a row is sorted by, and its id: a number or a text.
fn value(row: &Row<'_>, name: &'static str) -> Result<SortValue, StoreError> {
    row.get(name).map(SortValue::Number).or_else(|_| row.get(name).map(SortValue::Text))
}
