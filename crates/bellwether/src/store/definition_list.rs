//! The lists of definitions, all kinds alike: what they may be filtered by, and how their words are kept.

use super::definitions::{self, COLUMNS, Definition, Stored, decode};
use super::engine::rows::Rows;
use super::listing::{Condition, Found, Listed, Part, Wanted};
use super::{StoreError, Tx, Value, query_one};
use crate::domain::search::{Search, Words};
use crate::domain::sort::{Place, Sort, sort_name};

static ROWS_OF_WORDS: Rows<2> =
    Rows::into("definition_words", [("word", "TEXT"), ("definition_id", "TEXT")], "ON CONFLICT DO NOTHING");

const fn listed<D: Stored>() -> Listed {
    Listed {
        table: D::TABLE,
        columns: COLUMNS,
        words: "definition_words",
        of_word: "definition_id",
        rows_of_words: &ROWS_OF_WORDS,
        is_put_away: false,
    }
}

/// Which definitions are wanted.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    pub search: Option<Search>,
    /// Columns of [`Stored::FILTERS`], and what stands there.
    pub refers: Vec<(&'static str, Value)>,
}

/// A page of those that are wanted.
pub fn list<D: Stored>(
    tx: &mut dyn Tx,
    filter: &Filter,
    sort: Sort,
    after: Option<Place>,
    limit: u32,
) -> Result<Found<Definition<D>>, StoreError> {
    let mut conditions: Vec<_> = filter.search.iter().flat_map(|search| listed::<D>().searching(search)).collect();
    let refers = filter.refers.iter();
    conditions.extend(
        refers.map(|(column, value)| {
            Condition::tested(Part::new(format!("e.{column} = $1"), std::slice::from_ref(value)))
        }),
    );
    let wanted = Wanted { sort, after, limit, since: None, with_archived: false, conditions };
    listed::<D>().page(tx, &wanted, decode, |_| true)
}

/// Writes by which words a definition is found, which is in its table; `None`: by none any more.
pub(super) fn index_words<D: Stored>(tx: &mut dyn Tx, id: D::Id, body: Option<&D>) -> Result<(), StoreError> {
    let sql = format!("SELECT id, words FROM {} WHERE id = $1", D::TABLE);
    let before = query_one(tx, D::TABLE, &sql, &[id.into()], |row| Ok(Words::of([row.text("words")?])))?;
    let (before, after) = (before.unwrap_or_default(), body.map(|body| Words::of(body.texts())).unwrap_or_default());
    if before == after {
        return Ok(());
    }
    listed::<D>().index_words(tx, &id.into(), &before, &after)?;
    let sql = format!("UPDATE {} SET words = $2 WHERE id = $1", D::TABLE);
    tx.execute(&sql, &[id.into(), after.as_text().into()]).map(drop)
}

/// Fills in what all definitions of a kind are found and sorted by.
pub fn index<D: Stored>(tx: &mut dyn Tx) -> Result<(), StoreError> {
    for definition in definitions::all::<D>(tx)? {
        let sql = format!("UPDATE {} SET sort_name = $2 WHERE id = $1", D::TABLE);
        tx.execute(&sql, &[definition.id.into(), sort_name(definition.body.name()).into()])?;
        index_words(tx, definition.id, Some(&definition.body))?;
    }
    Ok(())
}
