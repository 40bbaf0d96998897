//! The exact sum of floating-point numbers: the same bits whatever the order or the grouping of the addends.
//!
//! Parallel scans add in an order that changes from run to run, so plain float sums differ in their last bits and two
//! runs over the same data would look like changed data. Here the sum is held exactly, as a fixed-point number wide
//! enough for every double (the long accumulator of Kulisch & Miranker 1986, SIAM Review 28, 1–40), and rounded once.

/// Bits per limb. Limbs are 64 bits wide, so carries may wait for 2^30 additions.
const LIMB_BITS: usize = 32;
/// The weight of limb 0's lowest bit is 2^-1074, the smallest double; the highest double ends below 2^1024, and 64 bits
/// more hold the carries of as many addends as can be counted.
const LIMBS: usize = (1074 + 1024 + 64) / LIMB_BITS + 1;
const CARRY_AFTER: u32 = 1 << 30;

/// A running sum. Takes 560 bytes: meant for few groups, not for one per subject.
#[derive(Clone, Debug)]
pub struct ExactSum {
    limbs: [i64; LIMBS],
    /// Additions since the carries were last propagated.
    pending: u32,
    /// How many values were added.
    count: u64,
    /// What infinities and NaNs among the values amount to; 0 without any.
    special: f64,
}

impl Default for ExactSum {
    fn default() -> Self {
        ExactSum { limbs: [0; LIMBS], pending: 0, count: 0, special: 0.0 }
    }
}

impl ExactSum {
    pub const ENCODED_BYTES: usize = (LIMBS + 2) * 8;

    pub fn add(&mut self, value: f64) {
        self.count += 1;
        if !value.is_finite() {
            self.special += value;
            return;
        }
        let bits = value.to_bits();
        let exponent = ((bits >> 52) & 0x7ff) as usize;
        let fraction = bits & ((1 << 52) - 1);
        // Subnormals share the scale of exponent 1 and lack the hidden bit.
        let (mantissa, shift) = if exponent == 0 { (fraction, 0) } else { (fraction | 1 << 52, exponent - 1) };
        let wide = u128::from(mantissa) << (shift % LIMB_BITS);
        let sign = if value.is_sign_negative() { -1 } else { 1 };
        for (offset, limb) in self.limbs[shift / LIMB_BITS..].iter_mut().take(3).enumerate() {
            *limb += sign * ((wide >> (offset * LIMB_BITS)) as u32 as i64);
        }
        self.pending += 1;
        if self.pending >= CARRY_AFTER {
            self.carry();
        }
    }

    pub fn merge(&mut self, other: &ExactSum) {
        let mut other = other.clone();
        other.carry();
        self.carry();
        for (limb, addend) in self.limbs.iter_mut().zip(other.limbs) {
            *limb += addend;
        }
        self.pending = 1;
        self.count += other.count;
        self.special += other.special;
    }

    /// The sum, rounded to the nearest double (ties to even); `None` if nothing was added.
    pub fn value(&self) -> Option<f64> {
        if self.count == 0 {
            return None;
        }
        if self.special != 0.0 {
            return Some(self.special);
        }
        let mut sum = self.clone();
        sum.carry();
        // After carrying, all limbs but the last are in 0..2^32, so the last alone tells the sign.
        let negative = sum.limbs[LIMBS - 1] < 0;
        if negative {
            sum.limbs.iter_mut().for_each(|limb| *limb = -*limb);
            sum.carry();
        }
        let magnitude = sum.round();
        Some(if negative { -magnitude } else { magnitude })
    }

    /// Brings every limb but the last into 0..2^32.
    fn carry(&mut self) {
        for place in 0..LIMBS - 1 {
            let carry = self.limbs[place] >> LIMB_BITS;
            self.limbs[place] -= carry << LIMB_BITS;
            self.limbs[place + 1] += carry;
        }
        self.pending = 0;
    }

    /// Rounds a carried, non-negative sum: its highest three limbs hold at least 65 significant bits, and any bit below
    /// them is kept as a sticky lowest bit, so that the one conversion to f64 rounds correctly.
    fn round(&self) -> f64 {
        let Some(top) = self.limbs.iter().rposition(|&limb| limb != 0) else {
            return 0.0;
        };
        let base = top.saturating_sub(2);
        let mut leading =
            self.limbs[base..=top].iter().rev().fold(0_u128, |all, &limb| all << LIMB_BITS | limb as u128);
        if self.limbs[..base].iter().any(|&limb| limb != 0) {
            leading |= 1;
        }
        let exponent = (base * LIMB_BITS) as i32 - 1074;
        // Two factors, as 2^-1074 alone is not normal; neither product rounds, but for overflow to infinity.
        let half = exponent / 2;
        leading as f64 * power_of_two(half) * power_of_two(exponent - half)
    }

    /// A form that can be carried between threads and processes.
    pub fn encode(&self) -> Vec<u8> {
        let mut carried = self.clone();
        carried.carry();
        let limbs = carried.limbs.iter().flat_map(|limb| limb.to_le_bytes());
        limbs.chain(self.count.to_le_bytes()).chain(self.special.to_le_bytes()).collect()
    }

    /// The inverse of [`ExactSum::encode`]; `None` if the length is not [`ExactSum::ENCODED_BYTES`].
    pub fn decode(bytes: &[u8]) -> Option<ExactSum> {
        let (words, rest) = bytes.as_chunks::<8>();
        if words.len() != LIMBS + 2 || !rest.is_empty() {
            return None;
        }
        let mut sum = ExactSum::default();
        for (limb, word) in sum.limbs.iter_mut().zip(words) {
            *limb = i64::from_le_bytes(*word);
        }
        sum.count = u64::from_le_bytes(words[LIMBS]);
        sum.special = f64::from_le_bytes(words[LIMBS + 1]);
        Some(sum)
    }
}

/// 2^exponent for the exponents of normal doubles, -1022..=1023.
fn power_of_two(exponent: i32) -> f64 {
    f64::from_bits(((exponent + 1023) as u64) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(values: &[f64]) -> f64 {
        let mut sum = ExactSum::default();
        values.iter().for_each(|&value| sum.add(value));
        sum.value().unwrap()
    }

    #[test]
    fn golden_sums() {
        // As Python's math.fsum gives them.
        assert_eq!(sum(&[0.1; 10]), 1.0);
        assert_eq!(sum(&[1e100, 1.0, -1e100]), 1.0);
        assert_eq!(sum(&[1e308, 1e308, -1e308]), 1e308);
        assert_eq!(sum(&[5e-324, 5e-324]), 1e-323);
        assert_eq!(sum(&[1.0, f64::EPSILON / 2.0]), 1.0);
        assert_eq!(sum(&[1.0, f64::EPSILON / 2.0, 5e-324]), 1.0 + f64::EPSILON);
        assert_eq!(sum(&[-1.0, -f64::EPSILON / 2.0, -5e-324]), -1.0 - f64::EPSILON);
        assert_eq!(sum(&[f64::MAX, f64::MAX]), f64::INFINITY);
        assert_eq!(sum(&[1.0, -1.0]), 0.0);
        assert_eq!(sum(&[1.0, f64::NEG_INFINITY]), f64::NEG_INFINITY);
        assert!(sum(&[f64::INFINITY, f64::NEG_INFINITY]).is_nan());
        assert_eq!(ExactSum::default().value(), None);
    }

    fn any_finite() -> impl Strategy<Value = f64> {
        prop_oneof![any::<f64>().prop_filter("finite", |v| v.is_finite() && v.abs() < 1e300), -1e6..1e6_f64]
    }

    proptest! {
        #[test]
        fn one_value_is_its_own_sum(value in any_finite()) {
            prop_assert_eq!(sum(&[value]), value);
        }

        #[test]
        fn two_values_round_as_the_processor_does(left in any_finite(), right in any_finite()) {
            prop_assert_eq!(sum(&[left, right]), left + right);
        }

        #[test]
        fn order_and_grouping_change_nothing(
            mut values in prop::collection::vec(any_finite(), 1..50),
            cut in any::<prop::sample::Index>(),
        ) {
            let whole = sum(&values);
            values.reverse();
            let (left, right) = values.split_at(cut.index(values.len()));
            let mut merged = ExactSum::default();
            for part in [left, right] {
                let mut sum = ExactSum::default();
                part.iter().for_each(|&value| sum.add(value));
                merged.merge(&ExactSum::decode(&sum.encode()).unwrap());
            }
            prop_assert_eq!(merged.value().unwrap().to_bits(), whole.to_bits());
        }
    }
}
