//! The real trial of the demo, and the rule that gives it dates: see `data/README.md`. It writes the two tables that a
//! product would have; it computes nothing of them.

use std::{fmt::Write, fs, path::Path};

use jiff::{
    ToSpan,
    civil::{Date, date},
};

const TRIAL: &str = include_str!("../../../data/nsw_trial.csv");

pub const EXPERIMENT_KEY: &str = "nsw-job-training";
pub const FIRST_DAY: Date = date(2026, 1, 5);
const DAYS_OF_ASSIGNMENT: i64 = 28;
const LONGEST_WAIT_DAYS: i64 = 30;

/// One row of the trial, with the columns that the demo uses.
#[derive(Debug, PartialEq)]
struct Subject {
    /// From 1.
    number: i64,
    variation: &'static str,
    /// Real earnings of 1978, as printed in the file.
    earnings: &'static str,
}

impl Subject {
    fn assigned_on(&self) -> Result<Date, jiff::Error> {
        FIRST_DAY.checked_add(((self.number - 1) % DAYS_OF_ASSIGNMENT).days())
    }

    fn earned_on(&self) -> Result<Date, jiff::Error> {
        self.assigned_on()?.checked_add((1 + (self.number - 1) % LONGEST_WAIT_DAYS).days())
    }
}

/// Writes `assignments.csv` and `earnings.csv` into the folder, and says how many subjects there are.
pub fn write_tables(folder: &Path) -> Result<usize, String> {
    let subjects = subjects().ok_or("the trial that was built in cannot be read")?;
    let (assignments, earnings) = tables(&subjects).map_err(|error| format!("the trial's dates: {error}"))?;
    for (name, table) in [("assignments.csv", assignments), ("earnings.csv", earnings)] {
        let path = folder.join(name);
        fs::write(&path, table).map_err(|error| format!("{} cannot be written: {error}", path.display()))?;
    }
    Ok(subjects.len())
}

fn subjects() -> Option<Vec<Subject>> {
    let mut lines = TRIAL.lines();
    let names: Vec<_> = lines.next()?.split(',').collect();
    let column = |name| names.iter().position(|column| *column == name);
    let (number, treated, earnings) = (column("subject_id")?, column("treat")?, column("re78")?);
    let subject = |line: &'static str| {
        let fields: Vec<_> = line.split(',').collect();
        let variation = if *fields.get(treated)? == "1" { "treatment" } else { "control" };
        Some(Subject { number: fields.get(number)?.parse().ok()?, variation, earnings: fields.get(earnings)? })
    };
    lines.map(subject).collect()
}

fn tables(subjects: &[Subject]) -> Result<(String, String), Box<dyn std::error::Error>> {
    let mut assignments = "subject_id,variation,assigned_at,experiment_key\n".to_owned();
    let mut earnings = "subject_id,earned_at,amount\n".to_owned();
    for subject in subjects {
        let Subject { number, variation, earnings: amount } = subject;
        writeln!(assignments, "{number},{variation},{}T12:00:00Z,{EXPERIMENT_KEY}", subject.assigned_on()?)?;
        writeln!(earnings, "{number},{}T12:00:00Z,{amount}", subject.earned_on()?)?;
    }
    Ok((assignments, earnings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trial_is_the_published_one() {
        let subjects = subjects().unwrap();
        let arm = |variation| subjects.iter().filter(move |subject| subject.variation == variation);
        assert_eq!((arm("treatment").count(), arm("control").count()), (185, 260));
        let mean = |variation| {
            arm(variation).map(|subject| subject.earnings.parse::<f64>().unwrap()).sum::<f64>()
                / arm(variation).count() as f64
        };
        let lift = mean("treatment") / mean("control") - 1.0;
        assert!((lift - 0.393_945).abs() < 5e-7, "{lift}");
    }

    #[test]
    fn dates_are_spread_by_the_documented_rule() {
        let subject = |number| Subject { number, variation: "control", earnings: "0.0" };
        let dates = |number| (subject(number).assigned_on().unwrap(), subject(number).earned_on().unwrap());
        assert_eq!(dates(1), (date(2026, 1, 5), date(2026, 1, 6)));
        assert_eq!(dates(28), (date(2026, 2, 1), date(2026, 3, 1)));
        assert_eq!(dates(29), (date(2026, 1, 5), date(2026, 2, 3)));
        assert_eq!(dates(31), (date(2026, 1, 7), date(2026, 1, 8)));
        for number in 1..=445 {
            let (assigned, earned) = dates(number);
            let waited = earned.since(assigned).unwrap().get_days();
            assert!((FIRST_DAY..=date(2026, 2, 1)).contains(&assigned) && (1..=30).contains(&waited), "{number}");
        }
    }

    #[test]
    fn both_tables_have_a_row_for_each_subject() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(write_tables(folder.path()).unwrap(), 445);
        let table = |name| fs::read_to_string(folder.path().join(name)).unwrap();
        let (assignments, earnings) = (table("assignments.csv"), table("earnings.csv"));
        assert_eq!((assignments.lines().count(), earnings.lines().count()), (446, 446));
        assert_eq!(assignments.lines().nth(1), Some("1,treatment,2026-01-05T12:00:00Z,nsw-job-training"));
        assert_eq!(earnings.lines().nth(1), Some("1,2026-01-06T12:00:00Z,9930.0459"));
    }
}
