//! When the experiments of a schedule run: not all at once, but each a little after the schedule's time, by a share of it that
//! is the experiment's own and stays the same.

use std::time::Duration;

use super::clock::Timestamp;
use super::definition::Schedule;
use super::id::ExperimentId;

/// The last experiment of a schedule follows its time by no more than this.
const LONGEST_SPREAD: Duration = Duration::from_mins(10);
/// Nor by more than this part of the time to the schedule's next.
const PART: u32 = 10;
/// Into so many parts a spread is divided. One after the other, experiments take places far from each other: 619 is coprime
/// to it, and near its golden section.
pub const SHARES: i64 = 1000;
pub const STRIDE: i64 = 619;

/// A time of a schedule, and over how long the runs of its experiments are spread behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    pub at: Timestamp,
    pub spread: Duration,
}

/// Those of a schedule that may be the next run of somebody: the last, where not all have run that follow it, and the next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Upcoming {
    pub last: Option<Occurrence>,
    pub next: Option<Occurrence>,
}

impl Occurrence {
    /// When the experiment runs. The statement in `store/experiments.rs` says the same.
    pub fn of(self, experiment: ExperimentId) -> Timestamp {
        let share = experiment.rem_euclid(SHARES) * STRIDE % SHARES;
        Timestamp::from_micros(self.at.as_micros().saturating_add(self.spread_micros() * share / SHARES))
    }

    pub fn spread_micros(self) -> i64 {
        i64::try_from(self.spread.as_micros()).unwrap_or(0)
    }
}

impl Upcoming {
    /// When the experiment runs next, after `now`; `None` if it never does again.
    pub fn of(self, experiment: ExperimentId, now: Timestamp) -> Option<Timestamp> {
        let last = self.last.map(|last| last.of(experiment)).filter(|at| *at > now);
        last.or_else(|| self.next.map(|next| next.of(experiment)))
    }
}

impl Schedule {
    pub fn upcoming(&self, now: Timestamp) -> Upcoming {
        let mut upcoming = Upcoming::default();
        // Whoever follows an earlier one by the longest spread has run.
        let mut at = self.next_after(now.minus(LONGEST_SPREAD));
        while let Some(this) = at {
            let following = self.next_after(this);
            let gap = following.map_or(LONGEST_SPREAD * PART, |following| following.since(this));
            let occurrence = Occurrence { at: this, spread: LONGEST_SPREAD.min(gap / PART) };
            if this > now {
                upcoming.next = Some(occurrence);
                break;
            }
            upcoming.last = Some(occurrence);
            at = following;
        }
        upcoming
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(cron: &str) -> Schedule {
        Schedule { name: "s".into(), cron: cron.into(), time_zone: "UTC".into() }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_thousand_experiments_are_spread_evenly_over_ten_minutes() {
        let now = at("2026-03-01T07:00:00Z");
        let upcoming = schedule("0 6 * * *").upcoming(now);
        let mut runs: Vec<_> = (1..=1000).map(|id| upcoming.of(id, now).unwrap()).collect();
        let neighbours = runs[1].as_micros().abs_diff(runs[0].as_micros());
        assert!(neighbours > 200_000_000, "one after the other, they are minutes apart: {neighbours}");
        runs.sort();
        assert_eq!(runs[0], at("2026-03-02T06:00:00Z"));
        assert!(runs.windows(2).all(|pair| pair[1].since(pair[0]) == Duration::from_millis(600)));
    }

    #[test]
    fn no_run_of_a_close_schedule_comes_near_the_next() {
        let now = at("2026-03-01T07:02:30Z");
        for (cron, most) in [("* * * * *", 6), ("*/15 * * * *", 90), ("0 0 1 1 *", 600)] {
            let schedule = schedule(cron);
            let next = schedule.next_after(now).unwrap();
            for id in [1, 2, 999, 1000, i64::MAX, -1] {
                let run = schedule.upcoming(now).of(id, now).unwrap();
                assert!(run >= next && run.since(next) < Duration::from_secs(most), "{cron}: {run}");
            }
        }
    }

    /// An edit between the schedule's time and an experiment's own does not lose the run.
    #[test]
    fn who_has_not_run_yet_is_still_due_and_who_has_waits_for_the_next() {
        let schedule = schedule("0 6 * * *");
        let late =
            (1..=1000).max_by_key(|id| schedule.upcoming(at("2026-03-01T05:00:00Z")).next.unwrap().of(*id)).unwrap();
        let now = at("2026-03-01T06:05:00Z");
        assert_eq!(schedule.upcoming(now).of(1000, now), Some(at("2026-03-02T06:00:00Z")), "its share is none");
        let due = schedule.upcoming(now).of(late, now).unwrap();
        assert!(due > now && due < at("2026-03-01T06:10:00Z"), "{due}");
        assert!(schedule.upcoming(due).of(late, due).unwrap() > at("2026-03-02T06:09:00Z"), "run once");
    }
}
