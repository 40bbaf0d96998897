-- The fact of a ratio's denominator.
ALTER TABLE metrics ADD COLUMN denominator_fact_id TEXT REFERENCES facts (id);

-- What this experiment sets for the metric in place of the metric's own.
ALTER TABLE experiment_metrics ADD COLUMN settings TEXT;

-- What the run warns of, and the table that a step's rows are kept as.
ALTER TABLE runs ADD COLUMN warnings TEXT;
ALTER TABLE run_steps ADD COLUMN kept_as TEXT;
