//! The numbers of all groups, those of one side by side: there are millions of groups, and to fetch what belongs to one is
//! what an addition costs.

use std::hint::black_box;

use datafusion::arrow::array::{ArrayRef, Float64Array, Int64Array};
use datafusion::arrow::buffer::BooleanBuffer;
use datafusion::error::Result;
use std::sync::Arc;

use crate::engine::sum::{Pair, exact, finite};
use crate::exact_sum::ExactSum;

/// A place for a count below 2³²: a half of a word.
#[derive(Debug, Clone, Copy)]
pub struct Count {
    word: usize,
    shift: u32,
}

/// A place for an exact sum: two words, see [`States::add`].
#[derive(Debug, Clone, Copy)]
pub struct Sum(usize);

/// A place for an integer.
#[derive(Debug, Clone, Copy)]
pub struct Int(usize);

/// Which places a group has.
#[derive(Debug, Default)]
pub struct Layout {
    words: usize,
    /// A half that is still free.
    half: Option<Count>,
}

impl Layout {
    fn words(&mut self, count: usize) -> usize {
        self.words += count;
        self.words - count
    }

    pub fn count(&mut self) -> Count {
        if let Some(half) = self.half.take() {
            return half;
        }
        let word = self.words(1);
        self.half = Some(Count { word, shift: u32::BITS });
        Count { word, shift: 0 }
    }

    pub fn sum(&mut self) -> Sum {
        Sum(self.words(2))
    }

    pub fn int(&mut self) -> Int {
        Int(self.words(1))
    }

    pub fn bytes(&self, groups: usize) -> usize {
        self.words.saturating_mul(groups).saturating_mul(size_of::<u64>())
    }
}

/// Two NaNs that no sum is: of nothing yet, and of one that stands in `limbs`, where `low` says which.
const NOTHING: u64 = 0x7ff8_0000_0000_0000;
const PROMOTED: u64 = 0x7ff8_0000_0000_0001;

pub struct States {
    stride: usize,
    /// All 0 at first: so the system gives memory only for those that are used.
    words: Vec<u64>,
    limbs: Vec<ExactSum>,
}

/// The groups of some rows, and which of the rows count: all, if there is no mask.
#[derive(Clone, Copy)]
pub struct Rows<'a> {
    pub groups: &'a [u32],
    pub mask: Option<&'a BooleanBuffer>,
}

impl Rows<'_> {
    #[inline]
    fn each(self, mut visit: impl FnMut(usize, usize)) {
        match self.mask {
            None => self.groups.iter().enumerate().for_each(|(row, group)| visit(row, *group as usize)),
            Some(mask) => mask.set_indices().for_each(|row| visit(row, self.groups[row] as usize)),
        }
    }
}

impl States {
    pub fn of(layout: &Layout, groups: usize) -> Self {
        States { stride: layout.words, words: vec![0; layout.words * groups], limbs: Vec::new() }
    }

    /// What is held beyond the places of the layout.
    pub fn promoted_bytes(&self) -> usize {
        self.limbs.capacity() * size_of::<ExactSum>()
    }

    /// Has the memory of some groups fetched, many at a time, before one after the other is waited for.
    pub fn touch(&self, groups: &[u32]) {
        const WORDS_A_LINE: usize = 64 / size_of::<u64>();
        let mut all = 0;
        for group in groups {
            let start = *group as usize * self.stride;
            let words = &self.words[start..start + self.stride];
            all ^= words.iter().step_by(WORDS_A_LINE).fold(words[self.stride - 1], |all, word| all ^ word);
        }
        black_box(all);
    }

    pub fn increment(&mut self, Count { word, shift }: Count, rows: Rows<'_>) {
        rows.each(|_, group| self.words[group * self.stride + word] += 1 << shift);
    }

    /// A number for each group, in the order in which they come here first; `given` says how many have one. It stands at
    /// its place plus 1.
    pub fn numbers(&mut self, Count { word, shift }: Count, groups: &[u32], given: &mut u32) -> Vec<usize> {
        let number = |group: &u32| {
            let word = &mut self.words[*group as usize * self.stride + word];
            if (*word >> shift) as u32 == 0 {
                *given += 1;
                *word |= u64::from(*given) << shift;
            }
            (*word >> shift) as u32 as usize - 1
        };
        groups.iter().map(number).collect()
    }

    pub fn set_ints(&mut self, Int(word): Int, values: &[i64]) {
        for (place, value) in self.words.iter_mut().skip(word).step_by(self.stride).zip(values) {
            *place = value.cast_unsigned();
        }
    }

    pub fn ints(&self, Int(word): Int, groups: &[u32]) -> ArrayRef {
        let values = groups.iter().map(|group| self.words[*group as usize * self.stride + word].cast_signed());
        Arc::new(values.collect::<Int64Array>())
    }

    /// A sum lies here as `high`, with the bits of [`NOTHING`] flipped, so that nothing is 0; and as `low`.
    pub fn add(&mut self, Sum(word): Sum, rows: Rows<'_>, values: &[f64]) {
        let States { stride, words, limbs } = self;
        rows.each(|row, group| {
            let start = group * *stride + word;
            let value = values[row];
            let [high, low] = &mut words[start..start + 2] else { return };
            let pair = Pair { high: f64::from_bits(*high ^ NOTHING), low: f64::from_bits(*low) };
            let (sum, parts) = match *high ^ NOTHING {
                NOTHING => (Pair::of(value), [value, 0.0, 0.0]),
                PROMOTED => return limbs[*low as usize].add(value),
                _ => (pair.plus(value), [pair.high, pair.low, value]),
            };
            match sum {
                Some(sum) => (*high, *low) = (sum.high.to_bits() ^ NOTHING, sum.low.to_bits()),
                None => {
                    (*high, *low) = (PROMOTED ^ NOTHING, limbs.len() as u64);
                    limbs.push(exact(&parts));
                }
            }
        });
    }

    fn at(&self, group: u32, word: usize) -> u64 {
        self.words[group as usize * self.stride + word]
    }

    pub fn count(&self, Count { word, shift }: Count, group: u32) -> i64 {
        i64::from((self.at(group, word) >> shift) as u32)
    }

    pub fn counts(&self, count: Count, groups: &[u32]) -> ArrayRef {
        Arc::new(groups.iter().map(|group| self.count(count, *group)).collect::<Int64Array>())
    }

    pub fn sums(&self, Sum(word): Sum, groups: &[u32]) -> Result<ArrayRef> {
        let sums = groups.iter().map(|group| match self.at(*group, word) ^ NOTHING {
            NOTHING => Ok(None),
            PROMOTED => finite(self.limbs[self.at(*group, word + 1) as usize].value()),
            high => Ok(Some(f64::from_bits(high))),
        });
        Ok(Arc::new(sums.collect::<Result<Float64Array>>()?))
    }
}
