//! Who takes part: what the assignment source has, the subjects, how they are spread over the arms, and their properties.

use bellwether_warehouse::Session;

use super::{Computation, Failed, MOST_CELLS};
use crate::domain::configuration::Variation;
use crate::domain::results::{AssignmentCounts, Traffic};
use crate::pipeline::properties::{self, Property};
use crate::pipeline::steps::{ASSIGNED, AgedBefore, Assignments, Facts, SUBJECTS, Scope};
use crate::pipeline::tables::Subjects;
use crate::pipeline::{analysis, counts};

/// The subjects of a run, as far as they are counted.
pub(super) struct Population {
    pub assignments: AssignmentCounts,
    pub traffic: Traffic,
    pub subjects: Subjects,
    pub properties: Vec<Property>,
}

impl Computation<'_> {
    /// Makes the table of subjects. `limits` are by what some metrics ask for older ones.
    pub(super) async fn population(
        &mut self,
        session: &mut Session,
        scope: &Scope<'_>,
        source: &Assignments,
        entry: Option<&Facts>,
        limits: &[Vec<AgedBefore>],
        variations: &[&Variation],
    ) -> Result<Population, Failed> {
        let assignments = self.census(session, scope, source).await?;
        let mut assigned = None;
        match entry {
            None => drop(self.step(session, &scope.subjects(source, SUBJECTS)).await?),
            Some(entry) => {
                self.step(session, &scope.subjects(source, ASSIGNED)).await?;
                self.step(session, &scope.entered(source, entry)).await?;
                let (counted, _) = self.step(session, &scope.assigned()).await?;
                let count = |column: &str| Ok::<_, Failed>(counted.int(0, column)?.unsigned_abs());
                assigned = Some((count("subjects")?, count("excluded")?));
            }
        }
        let (counted, _) = self.step(session, &scope.traffic(limits)).await?;
        let (mut traffic, subjects) = analysis::traffic(variations, limits, &counted)?;
        let entered: u64 = subjects.all.iter().sum();
        if let Some((assigned, excluded)) = assigned {
            traffic.without_entry = Some(assigned.saturating_sub(entered));
            traffic.excluded = excluded;
        }
        self.found.traffic = Some(traffic.clone());
        self.found.warnings.extend(counts::traffic(&traffic));
        self.found.warnings.extend(entry.and_then(|entry| counts::nobody_entered(&entry.name, &traffic)));
        let mut properties = Vec::new();
        for (place, property) in source.properties.iter().enumerate() {
            let step = crate::pipeline::steps::property_values(scope, place, &property.name, limits);
            let (rows, _) = self.step_of(session, &step, MOST_CELLS).await?;
            properties.push(Property::of(place, &property.name, &rows, limits, &subjects)?);
        }
        self.found.warnings.extend(properties::imbalance(&properties, variations));
        Ok(Population { assignments, traffic, subjects, properties })
    }

    /// What the assignment source has of this experiment. It is an error if it has rows, and none counts.
    async fn census(
        &mut self,
        session: &mut Session,
        scope: &Scope<'_>,
        assignments: &Assignments,
    ) -> Result<AssignmentCounts, Failed> {
        let (rows, _) = self.step(session, &scope.census(assignments)).await?;
        let counts::Census { counts, warnings } = counts::assignments(scope, &rows, assignments.time.is_by_day)?;
        self.found.warnings.extend(warnings);
        if let Some(reason) = counts::why_none_counts(scope, &counts) {
            return Err(Failed(reason));
        }
        if counts.rows == 0 {
            let (keys, _) = self.step(session, &scope.keys_seen(assignments)).await?;
            self.found.warnings.push(counts::no_assignments(scope, &counts::keys(&keys)?));
        }
        Ok(counts)
    }
}
