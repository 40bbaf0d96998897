//! Properties of subjects: which values they have, how many subjects of each arm have which, and whether that is as the
//! weights say. Pure.

use bellwether_stats::{Arm, IMBALANCE_ALPHA, imbalances};
use bellwether_warehouse::{Table, TableError};

use super::steps::{AgedBefore, MOST_VALUES, Places};
use super::tables::Subjects;
use crate::domain::configuration::Variation;
use crate::domain::warning::{Warning, WarningName};

/// Values of all properties that are variables of their own.
const MOST_VARIABLES: usize = 200;
/// Values that a warning names.
const MOST_NAMED: usize = 5;

/// A property with the subjects of each cell: of each value, arm by arm.
#[derive(Debug, Clone)]
pub struct Property {
    pub name: String,
    pub places: Places,
    pub subjects: Subjects,
}

impl Property {
    /// From its values as they were counted. What is not among them is together in the last place.
    pub fn of(
        property: usize,
        name: &str,
        found: &Table,
        limits: &[Vec<AgedBefore>],
        everybody: &Subjects,
    ) -> Result<Self, TableError> {
        let arms = everybody.all.len();
        let mut values = Vec::new();
        let mut subjects =
            Subjects { all: Vec::new(), aged: limits.iter().map(|it| (it.clone(), Vec::new())).collect() };
        for row in 0..found.rows.len() {
            values.push(found.optional_text(row, "value")?.map(str::to_owned));
            for arm in 0..arms {
                let count = |column: &str| Ok(found.optional_int(row, column)?.unwrap_or(0).unsigned_abs());
                subjects.all.push(count(&format!("arm_{arm}"))?);
                for (place, (_, aged)) in subjects.aged.iter_mut().enumerate() {
                    aged.push(count(&format!("arm_{arm}_aged_{place}"))?);
                }
            }
        }
        let has_rest =
            values.len() == MOST_VALUES && rest(&everybody.all, &subjects.all).iter().any(|count| *count > 0);
        if has_rest {
            let others = rest(&everybody.all, &subjects.all);
            subjects.all.extend(others);
            for ((_, aged), (_, all)) in subjects.aged.iter_mut().zip(&everybody.aged) {
                let others = rest(all, aged);
                aged.extend(others);
            }
        }
        Ok(Self { name: name.to_owned(), places: Places { property, values, has_rest }, subjects })
    }

    /// Whether each value can be a variable of its own.
    pub fn can_be_covariate(&self) -> bool {
        !self.places.has_rest && self.places.values.len() > 1
    }

    /// What a value is called, for people.
    pub fn label(&self, place: usize) -> String {
        match self.places.values.get(place) {
            Some(Some(value)) => format!("'{value}'"),
            Some(None) => "none".to_owned(),
            None => "all others".to_owned(),
        }
    }
}

/// The properties whose values are variables, by their numbers: the first ones, as far as their values are not too many
/// together, for the work grows with the square of their number.
pub fn covariates(properties: &[Property]) -> Vec<usize> {
    let mut values = 0;
    let fits = |(at, property): (usize, &Property)| {
        let count = values + property.places.count();
        let fits = property.can_be_covariate() && count <= MOST_VARIABLES;
        if fits {
            values = count;
        }
        fits.then_some(at)
    };
    properties.iter().enumerate().filter_map(fits).collect()
}

/// What is left of each arm.
fn rest(everybody: &[u64], told_apart: &[u64]) -> Vec<u64> {
    let arms = everybody.len().max(1);
    let told = |arm: usize| told_apart.iter().skip(arm).step_by(arms).sum::<u64>();
    everybody.iter().enumerate().map(|(arm, all)| all.saturating_sub(told(arm))).collect()
}

/// Values whose traffic is not as the weights say, of all properties together.
pub fn imbalance(properties: &[Property], variations: &[&Variation]) -> Option<Warning> {
    let arms = variations.len();
    let values: Vec<(&Property, usize)> = properties
        .iter()
        .flat_map(|property| (0..property.places.values.len()).map(move |place| (property, place)))
        .collect();
    let groups: Vec<Vec<Arm>> = values
        .iter()
        .map(|(property, place)| {
            let counts = &property.subjects.all[place * arms..(place + 1) * arms];
            let arm =
                |(variation, subjects): (&&Variation, &u64)| Arm { weight: variation.weight, subjects: *subjects };
            variations.iter().zip(counts).map(arm).collect()
        })
        .collect();
    let outcomes = imbalances(&groups, IMBALANCE_ALPHA).ok()?;
    let found: Vec<_> = values
        .iter()
        .zip(&outcomes)
        .filter(|(_, outcome)| outcome.is_imbalance)
        .map(|((property, place), outcome)| {
            let p_value = outcome.p_value.unwrap_or(0.0);
            format!("{} of '{}' (p = {p_value:.1e})", property.label(*place), property.name)
        })
        .collect();
    let more = if found.len() > MOST_NAMED { format!(" and {} more", found.len() - MOST_NAMED) } else { String::new() };
    (!found.is_empty()).then(|| {
        let message = format!(
            "among subjects with some values of a property the traffic is not as the weights say: {}{more}; look at how \
             these are assigned",
            found[..found.len().min(MOST_NAMED)].join(", ")
        );
        Warning::of(WarningName::PropertyImbalance, message)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use bellwether_warehouse::Cell;

    fn everybody(all: [u64; 2]) -> Subjects {
        Subjects { all: all.to_vec(), aged: vec![(Vec::new(), all.iter().map(|count| count / 2).collect())] }
    }

    fn counted(rows: &[(Option<&str>, i64, i64)]) -> Table {
        let columns = ["value", "subjects", "arm_0", "arm_0_aged_0", "arm_1", "arm_1_aged_0"].map(str::to_owned).into();
        let row = |(value, a, b): &(Option<&str>, i64, i64)| {
            let value = value.map_or(Cell::Null, |value| Cell::Text(value.to_owned()));
            vec![value, Cell::Int(a + b), Cell::Int(*a), Cell::Int(a / 2), Cell::Int(*b), Cell::Int(b / 2)]
        };
        Table { columns, rows: rows.iter().map(row).collect() }
    }

    #[test]
    fn what_is_not_told_apart_is_together_in_the_last_place() {
        let few = counted(&[(Some("DE"), 10, 20), (None, 5, 5)]);
        let property = Property::of(0, "country", &few, &[Vec::new()], &everybody([15, 25])).unwrap();
        assert_eq!((property.places.count(), property.can_be_covariate()), (2, true));
        assert_eq!((property.label(0), property.label(1)), ("'DE'".into(), "none".into()));
        let names: Vec<String> = (0..MOST_VALUES).map(|i| i.to_string()).collect();
        let many: Vec<_> = names.iter().map(|name| (Some(name.as_str()), 2, 4)).collect();
        let property = Property::of(0, "city", &counted(&many), &[Vec::new()], &everybody([110, 230])).unwrap();
        assert_eq!((property.places.count(), property.can_be_covariate()), (51, false));
        assert_eq!((&property.subjects.all[100..], &property.subjects.aged[0].1[100..]), (&[10, 30][..], &[5, 15][..]));
    }

    #[test]
    fn a_value_whose_traffic_is_askew_is_named_though_the_whole_is_not() {
        let variations: Vec<Variation> = serde_json::from_value(serde_json::json!([
            {"key": "control", "weight": 1, "is_control": true}, {"key": "b", "weight": 1}]))
        .unwrap();
        let variations: Vec<_> = variations.iter().collect();
        let askew = counted(&[(Some("DE"), 600, 400), (Some("FR"), 400, 600)]);
        let property = Property::of(0, "country", &askew, &[Vec::new()], &everybody([1000, 1000])).unwrap();
        let warning = imbalance(&[property], &variations).unwrap();
        assert!(warning.message.contains("'DE' of 'country'") && warning.message.contains("'FR'"), "{warning:?}");
        let even = counted(&[(Some("DE"), 510, 490), (Some("FR"), 490, 510)]);
        let property = Property::of(0, "country", &even, &[Vec::new()], &everybody([1000, 1000])).unwrap();
        assert_eq!(imbalance(&[property], &variations), None);
    }
}
