//! Regression on several variables that may tell the same: a ridge, small enough to bias little, that always has an answer.
//!
//! It knows cross moments only, and not what they are of.

/// The coefficients of the ridge regression of an outcome on p variables with penalty 1, per unit of each variable.
///
/// `cross(i, j)` is Σ(xᵢ − x̄ᵢ)(xⱼ − x̄ⱼ) over n subjects, with a diagonal above 0, and `outcome[j]` is Σ(xⱼ − x̄ⱼ)(y − ȳ).
/// Each variable is divided by its standard deviation over n, sⱼ = √(cross(j, j) / n), so that the matrix Z of standardised
/// values has ZᵀZ = n · correlations. Then β = (ZᵀZ + 1·I)⁻¹ Zᵀ(y − ȳ), and the coefficient is βⱼ/sⱼ (Hoerl & Kennard 1970,
/// Technometrics 12, 55–67, equation 2.1). It is what scikit-learn's `Ridge(alpha=1)` after its `StandardScaler` gives.
///
/// `None` if a number is not finite.
pub(crate) fn ridge(n: u64, cross: impl Fn(usize, usize) -> f64, outcome: &[f64]) -> Option<Vec<f64>> {
    const PENALTY: f64 = 1.0;
    let p = outcome.len();
    let scales: Vec<f64> = (0..p).map(|j| libm::sqrt(cross(j, j) / n as f64)).collect();
    let mut matrix: Vec<Vec<f64>> = (0..p)
        .map(|i| (0..=i).map(|j| cross(i, j) / scales[i] / scales[j] + if i == j { PENALTY } else { 0.0 }).collect())
        .collect();
    let mut solution: Vec<f64> = outcome.iter().zip(&scales).map(|(product, scale)| product / scale).collect();
    factorise(&mut matrix)?;
    substitute(&matrix, &mut solution);
    let coefficients: Vec<f64> = solution.iter().zip(&scales).map(|(beta, scale)| beta / scale).collect();
    coefficients.iter().all(|coefficient| coefficient.is_finite()).then_some(coefficients)
}

/// The lower triangle of a positive definite matrix into its Cholesky factor L, A = LLᵀ (Golub & Van Loan, "Matrix
/// Computations", 4th edition, section 4.2.5). The penalty keeps every pivot at 1 or more, but for rounding.
fn factorise(matrix: &mut [Vec<f64>]) -> Option<()> {
    for i in 0..matrix.len() {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            let rest = matrix[i][j] - known;
            matrix[i][j] = if i > j { rest / matrix[j][j] } else { libm::sqrt(rest) };
        }
        if !(matrix[i][i].is_finite() && matrix[i][i] > 0.0) {
            return None;
        }
    }
    Some(())
}

/// Solves LLᵀx = b in place, by L forward and Lᵀ backward.
fn substitute(factor: &[Vec<f64>], solution: &mut [f64]) {
    let p = solution.len();
    for i in 0..p {
        let known: f64 = (0..i).map(|k| factor[i][k] * solution[k]).sum();
        solution[i] = (solution[i] - known) / factor[i][i];
    }
    for i in (0..p).rev() {
        let known: f64 = (i + 1..p).map(|k| factor[k][i] * solution[k]).sum();
        solution[i] = (solution[i] - known) / factor[i][i];
    }
}
