//! The metrics that are not made of one value for each subject, percentiles and funnels: each has statements of its own, after
//! those of all others.

use bellwether_stats::{PercentileError, Ranks, RatioMoments};
use bellwether_warehouse::Session;

use super::work::{PooledFacts, Tables};
use super::{Computation, Failed};
use crate::domain::funnel::ConversionWindow;
use crate::pipeline::fact_figures::{self, MetricFigures};
use crate::pipeline::plan::{Made, PlannedMetric};
use crate::pipeline::steps::funnel::{self, Sourced};
use crate::pipeline::steps::percentile::{self, Placed};
use crate::pipeline::tables::{Side, Typed};

impl Computation<'_> {
    /// The figures of a metric of such a kind.
    pub(super) async fn of_facts(
        &mut self,
        session: &mut Session,
        work: &mut Tables<'_>,
        metric: &PlannedMetric,
        typed: &Typed,
    ) -> Result<MetricFigures, Failed> {
        for side in &typed.sides {
            self.census_of_facts(session, work, side.source).await?;
            self.count_joined(session, work, side.source).await?;
        }
        match (&metric.made, &typed.sides[..]) {
            (Made::Percentile { level }, [side]) => self.percentile(session, work, &metric.name, *level, side).await,
            (Made::Funnel { steps, window }, [_, ..]) => {
                self.funnel(session, work, &metric.name, steps, *window, typed).await
            }
            _ => Err(Failed("it was not computed".to_owned())),
        }
    }

    async fn percentile(
        &mut self,
        session: &mut Session,
        work: &mut Tables<'_>,
        name: &str,
        level: f64,
        side: &Side,
    ) -> Result<MetricFigures, Failed> {
        let PooledFacts { table, arms, steps, .. } = self.pooled(session, work, side).await?;
        let mut used = steps.to_vec();
        let ranks: Vec<Result<Ranks, PercentileError>> =
            arms.iter().map(|arm| bellwether_stats::ranks(level, arm.facts)).collect();
        let ranked = ranks.iter().enumerate().filter_map(|(arm, ranks)| Some((arm, ranks.as_ref().ok()?)));
        let places: Vec<_> = ranked.clone().map(|(arm, ranks)| (arm, percentile::places(ranks))).collect();
        let mut placed = vec![Placed::new(); arms.len()];
        let mut shares = vec![RatioMoments::default(); arms.len()];
        if !places.is_empty() {
            let (rows, position) = self.step(session, &percentile::ordered(work.scope, name, &table, &places)).await?;
            used.push(position);
            placed = percentile::read_ordered(&rows, arms.len())?;
            let mut quantiles = vec![0.0; arms.len()];
            for (arm, ranks) in ranked {
                quantiles[arm] = fact_figures::quantile(ranks, &placed[arm]);
            }
            let (rows, position) =
                self.step(session, &percentile::shares(work.scope, name, &table, &quantiles)).await?;
            used.push(position);
            shares = percentile::read_shares(&rows, arms.len())?;
        }
        let found = (0..arms.len())
            .map(|arm| fact_figures::percentile(level, &arms[arm], &ranks[arm], &placed[arm], &shares[arm]));
        let (figures, reasons) = found.unzip();
        let present = Some(arms.iter().map(|arm| arm.subjects).sum());
        Ok(MetricFigures { figures, present, reasons, used, ..MetricFigures::default() })
    }

    /// The pooled facts of an output, kept once.
    async fn pooled(
        &mut self,
        session: &mut Session,
        work: &mut Tables<'_>,
        side: &Side,
    ) -> Result<PooledFacts, Failed> {
        let there = work.pooled.iter().find(|there| (there.source, &there.output) == (side.source, &side.output));
        if let Some(there) = there {
            return Ok(there.clone());
        }
        let (facts, _) = work.sources[side.source].facts.as_ref().map_err(|reason| Failed(reason.clone()))?;
        let table = format!("pooled_{}", work.pooled.len());
        let step = percentile::pool(work.scope, facts, work.subject_kind, &side.output, &table);
        let (_, kept) = self.step(session, &step).await?;
        let (rows, counted) = self.step(session, &percentile::pooled(work.scope, &facts.name, &table)).await?;
        let arms = percentile::read_pooled(&rows, work.subjects.all.len())?;
        let (source, output) = (side.source, side.output.clone());
        let pooled = PooledFacts { source, output, table, arms, steps: [kept, counted] };
        work.pooled.push(pooled.clone());
        Ok(pooled)
    }

    async fn funnel(
        &mut self,
        session: &mut Session,
        work: &mut Tables<'_>,
        name: &str,
        steps: &[String],
        window: Option<ConversionWindow>,
        typed: &Typed,
    ) -> Result<MetricFigures, Failed> {
        let mut sources: Vec<usize> = typed.sides.iter().map(|side| side.source).collect();
        sources.sort_unstable();
        sources.dedup();
        let sourced = sources.into_iter().map(|source| {
            let (facts, _) = work.sources[source].facts.as_ref().map_err(|reason| Failed(reason.clone()))?;
            let sides = typed.sides.iter().enumerate().filter(|(_, side)| side.source == source);
            Ok(Sourced { facts, outputs: sides.map(|(place, side)| (place, side.output.clone())).collect() })
        });
        let sourced = sourced.collect::<Result<Vec<_>, Failed>>()?;
        let table = format!("funnel_{}", typed.metric);
        let (count, kind) = (steps.len(), work.subject_kind);
        let step = funnel::candidates(work.scope, name, kind, &sourced, count, window, &table);
        let (_, kept) = self.step(session, &step).await?;
        let (rows, counted) = self.step(session, &funnel::reached(work.scope, name, &table, count, window)).await?;
        let subjects = work.subjects.aged_by(typed.aged());
        let reached = funnel::read_reached(&rows, subjects.len(), count)?;
        let of_step = |step: usize| -> Vec<_> {
            reached.iter().zip(subjects).map(|(reached, all)| fact_figures::share(reached[step], *all)).collect()
        };
        let funnel_steps: Vec<_> = steps.iter().enumerate().map(|(step, name)| (name.clone(), of_step(step))).collect();
        let present = Some(reached.iter().filter_map(|steps| steps.first()).sum());
        let figures = of_step(count.saturating_sub(1));
        Ok(MetricFigures { figures, present, funnel_steps, used: vec![kept, counted], ..MetricFigures::default() })
    }
}
