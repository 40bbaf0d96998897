//! The lists of definitions, all kinds alike: what they may be filtered by, and how their words are kept.

use super::definitions::{self, COLUMNS, Definition, Stored, WORDS, decode, index_words};
use super::listing::{Condition, Found, Listed, Part, Wanted};
use super::{StoreError, Tx, Value};
use crate::domain::search::Search;
use crate::domain::sort::{Place, Sort, sort_name};

const fn listed<D: Stored>() -> Listed {
    Listed { table: D::TABLE, columns: COLUMNS, words: &WORDS, is_put_away: false }
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

/// Fills in what all definitions of a kind are found and sorted by.
pub fn index<D: Stored>(tx: &mut dyn Tx) -> Result<(), StoreError> {
    for definition in definitions::all::<D>(tx)? {
        let sql = format!("UPDATE {} SET sort_name = $2 WHERE id = $1", D::TABLE);
        tx.execute(&sql, &[definition.id.into(), sort_name(definition.body.name()).into()])?;
        index_words(tx, definition.id, Some(&definition.body))?;
    }
    Ok(())
}
