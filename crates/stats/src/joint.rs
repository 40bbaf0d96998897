//! The moments of several variables of the same subjects together: all that an adjustment needs to know of an arm.
//!
//! Like [`Moments`], which it is made of, it is held and merged here; a warehouse computes it.

use crate::Moments;

/// Counts, means and centred second moments of v variables, and the centred cross moments of each two of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JointMoments {
    variables: Vec<Moments>,
    /// The strict lower triangle, row by row.
    co_moments: Vec<f64>,
}

/// Moments that cannot be those of the same subjects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMoments {
    #[error("{variables} variables have {expected} cross moments, {found} were given: give one for each two variables")]
    CoMoments { variables: usize, found: usize, expected: usize },
    #[error("the variables of an arm are not all of the same number of subjects: give each subject a value of each")]
    Counts,
}

impl JointMoments {
    /// Of each variable its moments, all of the same n, and of each two of them Σ(x − x̄)(y − ȳ): the strict lower triangle
    /// of the symmetric matrix, row by row (1,0), (2,0), (2,1), (3,0), …, so v(v − 1)/2 numbers.
    pub fn new(variables: Vec<Moments>, co_moments: Vec<f64>) -> Result<JointMoments, InvalidMoments> {
        let (v, found) = (variables.len(), co_moments.len());
        let expected = v * v.saturating_sub(1) / 2;
        if found != expected {
            return Err(InvalidMoments::CoMoments { variables: v, found, expected });
        }
        if variables.iter().any(|variable| variable.n != variables[0].n) {
            return Err(InvalidMoments::Counts);
        }
        Ok(JointMoments { variables, co_moments })
    }

    /// Of rows at hand, one for each subject, each with the values of all variables.
    pub fn of<const V: usize>(rows: &[[f64; V]]) -> JointMoments {
        let variables: Vec<Moments> = (0..V).map(|i| Moments::of(rows.iter().map(|row| row[i]))).collect();
        let about = |row: &[f64; V], i: usize| row[i] - variables[i].mean;
        let product = |(i, j)| rows.iter().map(|row| about(row, i) * about(row, j)).sum();
        let co_moments = (0..V).flat_map(|i| (0..i).map(move |j| (i, j))).map(product).collect();
        JointMoments { variables, co_moments }
    }

    /// How many subjects; 0 without variables.
    pub fn n(&self) -> u64 {
        self.variables.first().map_or(0, |variable| variable.n)
    }

    pub fn variables(&self) -> &[Moments] {
        &self.variables
    }

    /// Σ(x − x̄)(y − ȳ) of two variables, which may be the same.
    pub(crate) fn co_moment(&self, i: usize, j: usize) -> f64 {
        let (row, column) = (i.max(j), i.min(j));
        if row == column { self.variables[row].m2 } else { self.co_moments[row * (row - 1) / 2 + column] }
    }

    /// Both samples together, about the means of the whole (Chan, Golub & LeVeque 1979, STAN-CS-79-773, equation 2.1, and
    /// the same of products). Both have the same variables, but that nothing at all merges with anything.
    pub(crate) fn merge(&self, other: &JointMoments) -> JointMoments {
        if self.n() == 0 {
            return other.clone();
        }
        let variables: Vec<Moments> = self.variables.iter().zip(&other.variables).map(|(a, b)| a.merge(*b)).collect();
        let (own, others) = (self.n() as f64, other.n() as f64);
        let between = own * others / (own + others);
        let apart = |i: usize| other.variables[i].mean - self.variables[i].mean;
        let pairs = (0..variables.len()).flat_map(|i| (0..i).map(move |j| (i, j)));
        let within = self.co_moments.iter().zip(&other.co_moments);
        let co_moments = pairs.zip(within).map(|((i, j), (a, b))| a + b + apart(i) * apart(j) * between).collect();
        JointMoments { variables, co_moments }
    }
}
