-- The fact of a ratio's denominator.
ALTER TABLE metrics ADD COLUMN denominator_fact_id TEXT REFERENCES facts (id);

-- What this experiment sets for the metric in place of the metric's own.
ALTER TABLE experiment_metrics ADD COLUMN settings TEXT;

-- What the run warns of, and the table that a step's rows are kept as.
ALTER TABLE runs ADD COLUMN warnings TEXT;
ALTER TABLE run_steps ADD COLUMN kept_as TEXT;

-- All that defines what the run computes, in short. One run of an experiment may be running and another be queued.
ALTER TABLE runs ADD COLUMN definitions TEXT;
DROP INDEX runs_open;
CREATE UNIQUE INDEX runs_open ON runs (experiment_id, state) WHERE state IN ('queued', 'running');
