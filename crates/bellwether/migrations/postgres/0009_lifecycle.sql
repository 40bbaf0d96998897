-- Where an experiment stands by its runs, since when it has its status, and when something is due by date.
ALTER TABLE experiments ADD COLUMN standing TEXT NOT NULL DEFAULT '{}';
ALTER TABLE experiments ADD COLUMN status_changed_at BIGINT NOT NULL DEFAULT 0;
ALTER TABLE experiments ADD COLUMN due_at BIGINT;
ALTER TABLE experiments ADD COLUMN is_archived BIGINT NOT NULL DEFAULT 0;

CREATE INDEX experiments_due ON experiments (due_at) WHERE due_at IS NOT NULL;

-- What was there before is looked at once, and says then when it is due.
UPDATE experiments SET status_changed_at = updated_at,
    due_at = CASE WHEN deleted_at IS NULL AND status IN ('draft', 'running') THEN updated_at END;

-- The fact source that an experiment's subjects enter by.
ALTER TABLE experiments ADD COLUMN entry_fact_source_id TEXT REFERENCES fact_sources (id);

-- Guardrails are attached to every new experiment of their entity.
ALTER TABLE metrics ADD COLUMN is_guardrail BIGINT NOT NULL DEFAULT 0 CHECK (is_guardrail IN (0, 1));
CREATE INDEX metrics_guardrails ON metrics (entity_id) WHERE is_guardrail = 1;

-- What an experiment's figures were at the end of each day, by the last run of that day or by one that filled it in.
CREATE TABLE result_points (
    experiment_id BIGINT NOT NULL REFERENCES experiments (id),
    day           TEXT NOT NULL,
    run_id        TEXT NOT NULL,
    figures       TEXT NOT NULL,
    PRIMARY KEY (experiment_id, day)
);
ALTER TABLE runs ADD COLUMN fills_history BIGINT NOT NULL DEFAULT 0;
