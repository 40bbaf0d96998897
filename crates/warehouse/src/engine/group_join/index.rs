//! Where the row of a key is, if it has one.

use std::hash::{BuildHasher, Hasher};

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type};
use datafusion::common::hash_utils::RandomState;
use datafusion::error::Result;

use super::Declined;

/// What stands for the row of a key that has none.
pub const ABSENT: u32 = u32::MAX;

/// Another than the one by which rows are distributed, for of those that come here all have the same remainder.
const HASHES: RandomState = RandomState::with_seed(0x6265_6c6c_7765_7468);

/// Of integers that lie this much apart on average, a table with a place for each is no larger than one of hashes.
const SPREAD: u64 = 4;

/// Keys in one of the two types in which they are compared.
pub enum Keys {
    Int(Int64Array),
    Text(StringViewArray),
}

impl Keys {
    pub fn of(array: &ArrayRef) -> Result<Self> {
        Ok(match array.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Keys::Text(cast(array, &DataType::Utf8View)?.as_string_view().clone())
            }
            _ => Keys::Int(cast(array, &DataType::Int64)?.as_primitive::<Int64Type>().clone()),
        })
    }

    fn array(&self) -> &dyn Array {
        match self {
            Keys::Int(keys) => keys,
            Keys::Text(keys) => keys,
        }
    }

    /// Of each key; of null, which is none, just anything.
    fn hashes(&self) -> Vec<u64> {
        match self {
            Keys::Int(keys) => keys.values().iter().map(|key| hash(|hasher| hasher.write_i64(*key))).collect(),
            Keys::Text(keys) => (0..keys.len())
                .map(|row| match keys.views()[row] {
                    _ if keys.is_null(row) => 0,
                    view if is_short(view) => hash(|hasher| hasher.write_u128(view)),
                    _ => hash(|hasher| hasher.write(keys.value(row).as_bytes())),
                })
                .collect(),
        }
    }

    /// The least and the greatest, of integers.
    fn range(&self) -> Option<(i64, i64)> {
        let Keys::Int(keys) = self else { return None };
        keys.iter().flatten().fold(None, |range, key| {
            let (least, greatest) = range.unwrap_or((key, key));
            Some((key.min(least), key.max(greatest)))
        })
    }
}

fn hash(write: impl FnOnce(&mut <RandomState as BuildHasher>::Hasher)) -> u64 {
    let mut hasher = HASHES.build_hasher();
    write(&mut hasher);
    hasher.finish()
}

pub struct Index {
    keys: Keys,
    table: Table,
}

/// Rows are counted from 1 here, so that nothing is 0.
enum Table {
    /// By their distance from the first.
    Direct { first: i64, rows: Vec<u32> },
    /// By their hashes, of which the upper half stands beside the row; one that is taken yields to the next.
    Hashed { entries: Vec<u64> },
}

impl Index {
    /// Asks for the bytes of its table before it makes it.
    pub fn of(keys: Keys, reserve: impl FnOnce(usize) -> Result<()>) -> Result<Self> {
        let count = keys.array().len();
        let range = keys.range().map(|(first, last)| (first, last.abs_diff(first).saturating_add(1)));
        let table = match (range, &keys) {
            (Some((first, places)), Keys::Int(ints)) if places / SPREAD <= count as u64 => {
                let places = usize::try_from(places).unwrap_or(usize::MAX);
                reserve(places.saturating_mul(size_of::<u32>()))?;
                direct(first, places, ints)?
            }
            _ => {
                let size = (count.max(1) * 2).next_power_of_two();
                // While it is made, there are the hashes as well.
                reserve((size + count) * size_of::<u64>())?;
                hashed(size, &keys)?
            }
        };
        Ok(Index { keys, table })
    }

    /// The row of each key; [`ABSENT`] for those without one. Null is no key.
    pub fn find(&self, sought: &Keys) -> Vec<u32> {
        match (&self.table, &self.keys, sought) {
            (Table::Direct { first, rows }, _, Keys::Int(sought)) => {
                let row = |key: i64| {
                    let place = usize::try_from(key.wrapping_sub(*first) as u64).unwrap_or(usize::MAX);
                    if key < *first { ABSENT } else { rows.get(place).copied().unwrap_or(0).wrapping_sub(1) }
                };
                match sought.null_count() {
                    0 => sought.values().iter().map(|key| row(*key)).collect(),
                    _ => sought.iter().map(|key| key.map_or(ABSENT, row)).collect(),
                }
            }
            (Table::Hashed { entries }, Keys::Int(keys), Keys::Int(wanted)) => {
                search(entries, sought, |row, place| keys.values()[row] == wanted.values()[place])
            }
            (Table::Hashed { entries }, Keys::Text(keys), Keys::Text(wanted)) => {
                search(entries, sought, |row, place| is_same_text(keys, row, wanted, place))
            }
            _ => vec![ABSENT; sought.array().len()],
        }
    }
}

fn direct(first: i64, places: usize, keys: &Int64Array) -> Result<Table> {
    let mut rows = vec![0; places];
    for (row, key) in (1..).zip(keys) {
        let Some(key) = key else { continue };
        let place = &mut rows[key.abs_diff(first) as usize];
        if std::mem::replace(place, row) != 0 {
            return Err(Declined::TwoRows.into());
        }
    }
    Ok(Table::Direct { first, rows })
}

fn hashed(size: usize, keys: &Keys) -> Result<Table> {
    let mut entries = vec![0; size];
    let hashes = keys.hashes();
    let is_same = |one: usize, other: usize| match keys {
        Keys::Int(keys) => keys.value(one) == keys.value(other),
        Keys::Text(keys) => is_same_text(keys, one, keys, other),
    };
    for (row, hash) in hashes.into_iter().enumerate() {
        if keys.array().is_null(row) {
            continue;
        }
        match probe(&entries, hash, |other| is_same(other, row)) {
            Ok(_) => return Err(Declined::TwoRows.into()),
            Err(free) => entries[free] = tag(hash) | (row as u64 + 1),
        }
    }
    Ok(Table::Hashed { entries })
}

fn search(entries: &[u64], sought: &Keys, is_same: impl Fn(usize, usize) -> bool) -> Vec<u32> {
    let hashes = sought.hashes();
    let nulls = sought.array().nulls();
    let rows = hashes.into_iter().enumerate().map(|(place, hash)| {
        if nulls.is_some_and(|nulls| nulls.is_null(place)) {
            return ABSENT;
        }
        probe(entries, hash, |row| is_same(row, place)).unwrap_or(ABSENT)
    });
    rows.collect()
}

fn tag(hash: u64) -> u64 {
    hash & !u64::from(u32::MAX)
}

/// The row of a hash for which `is_same` holds, or else the place that is free for it. Half of the places always are.
#[inline]
fn probe(entries: &[u64], hash: u64, is_same: impl Fn(usize) -> bool) -> std::result::Result<u32, usize> {
    let mask = entries.len() - 1;
    let mut place = hash as usize & mask;
    loop {
        let entry = entries[place];
        if entry == 0 {
            return Err(place);
        }
        let row = (entry as u32).wrapping_sub(1);
        if tag(entry) == tag(hash) && is_same(row as usize) {
            return Ok(row);
        }
        place = (place + 1) & mask;
    }
}

/// Texts of up to 12 bytes stand in their views, and the first 4 of longer ones, both beside the length.
fn is_short(view: u128) -> bool {
    view as u32 <= 12
}

#[inline]
fn is_same_text(left: &StringViewArray, row: usize, right: &StringViewArray, place: usize) -> bool {
    let (one, other) = (left.views()[row], right.views()[place]);
    let differ_in_front = one as u64 != other as u64;
    if is_short(one) || differ_in_front { one == other } else { left.value(row) == right.value(place) }
}
