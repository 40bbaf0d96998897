-- What lists are sorted, filtered and searched by. The texts are filled in by the program, at its first start with this schema.
-- They are compared byte by byte on both databases.
-- Who defines and runs experiments together.
CREATE TABLE teams (
    id         TEXT NOT NULL PRIMARY KEY,
    number     INTEGER NOT NULL DEFAULT 0,
    name       TEXT NOT NULL UNIQUE,
    body       TEXT NOT NULL,
    version    INTEGER NOT NULL CHECK (version >= 1),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE experiments ADD COLUMN sort_name TEXT NOT NULL DEFAULT '';
ALTER TABLE experiments ADD COLUMN words TEXT NOT NULL DEFAULT '';
ALTER TABLE experiments ADD COLUMN team_id TEXT REFERENCES teams (id);
ALTER TABLE metrics ADD COLUMN team_id TEXT REFERENCES teams (id);
ALTER TABLE collections ADD COLUMN team_id TEXT REFERENCES teams (id);

ALTER TABLE entities ADD COLUMN sort_name TEXT NOT NULL DEFAULT '';
ALTER TABLE entities ADD COLUMN words TEXT NOT NULL DEFAULT '';
ALTER TABLE warehouses ADD COLUMN sort_name TEXT NOT NULL DEFAULT '';
ALTER TABLE warehouses ADD COLUMN words TEXT NOT NULL DEFAULT '';
ALTER TABLE schedules ADD COLUMN sort_name TEXT NOT NULL DEFAULT '';
ALTER TABLE schedules ADD COLUMN words TEXT NOT NULL DEFAULT '';
ALTER TABLE assignment_sources ADD COLUMN sort_name TEXT NOT NULL DEFAULT '';
ALTER TABLE assignment_sources ADD COLUMN words TEXT NOT NULL DEFAULT '';
ALTER TABLE fact_sources ADD COLUMN sort_name TEXT NOT NULL DEFAULT '';
ALTER TABLE fact_sources ADD COLUMN words TEXT NOT NULL DEFAULT '';
ALTER TABLE metrics ADD COLUMN sort_name TEXT NOT NULL DEFAULT '';
ALTER TABLE metrics ADD COLUMN words TEXT NOT NULL DEFAULT '';
ALTER TABLE collections ADD COLUMN sort_name TEXT NOT NULL DEFAULT '';
ALTER TABLE collections ADD COLUMN words TEXT NOT NULL DEFAULT '';
ALTER TABLE teams ADD COLUMN sort_name TEXT NOT NULL DEFAULT '';
ALTER TABLE teams ADD COLUMN words TEXT NOT NULL DEFAULT '';

CREATE TABLE experiment_words (
    word          TEXT NOT NULL,
    experiment_id INTEGER NOT NULL REFERENCES experiments (id),
    PRIMARY KEY (word, experiment_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE definition_words (
    word          TEXT NOT NULL,
    definition_id TEXT NOT NULL,
    PRIMARY KEY (word, definition_id)
) STRICT, WITHOUT ROWID;

-- One for each order of the list; what is archived lies apart.
CREATE INDEX experiments_by_id ON experiments (is_archived, id) WHERE deleted_at IS NULL;
CREATE INDEX experiments_by_name ON experiments (is_archived, sort_name, id) WHERE deleted_at IS NULL;
CREATE INDEX experiments_by_created_at ON experiments (is_archived, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX experiments_by_updated_at ON experiments (is_archived, updated_at, id) WHERE deleted_at IS NULL;

-- What a list may ask for alone, and what keeps a definition from being deleted.
CREATE INDEX experiments_status ON experiments (status, id) WHERE deleted_at IS NULL;
CREATE INDEX experiments_entity ON experiments (entity_id) WHERE entity_id IS NOT NULL;
CREATE INDEX experiments_assignment_source ON experiments (assignment_source_id) WHERE assignment_source_id IS NOT NULL;
CREATE INDEX experiments_schedule ON experiments (schedule_id) WHERE schedule_id IS NOT NULL;
CREATE INDEX experiments_team ON experiments (team_id) WHERE team_id IS NOT NULL;
CREATE INDEX experiment_metrics_metric ON experiment_metrics (metric_id, experiment_id);

CREATE INDEX entities_by_name ON entities (sort_name, id);
CREATE INDEX entities_by_created_at ON entities (created_at, id);
CREATE INDEX entities_by_updated_at ON entities (updated_at, id);
CREATE INDEX warehouses_by_name ON warehouses (sort_name, id);
CREATE INDEX warehouses_by_created_at ON warehouses (created_at, id);
CREATE INDEX warehouses_by_updated_at ON warehouses (updated_at, id);
CREATE INDEX schedules_by_name ON schedules (sort_name, id);
CREATE INDEX schedules_by_created_at ON schedules (created_at, id);
CREATE INDEX schedules_by_updated_at ON schedules (updated_at, id);
CREATE INDEX assignment_sources_by_name ON assignment_sources (sort_name, id);
CREATE INDEX assignment_sources_by_created_at ON assignment_sources (created_at, id);
CREATE INDEX assignment_sources_by_updated_at ON assignment_sources (updated_at, id);
CREATE INDEX fact_sources_by_name ON fact_sources (sort_name, id);
CREATE INDEX fact_sources_by_created_at ON fact_sources (created_at, id);
CREATE INDEX fact_sources_by_updated_at ON fact_sources (updated_at, id);
CREATE INDEX metrics_by_name ON metrics (sort_name, id);
CREATE INDEX metrics_by_created_at ON metrics (created_at, id);
CREATE INDEX metrics_by_updated_at ON metrics (updated_at, id);
CREATE INDEX collections_by_name ON collections (sort_name, id);
CREATE INDEX collections_by_created_at ON collections (created_at, id);
CREATE INDEX collections_by_updated_at ON collections (updated_at, id);
CREATE INDEX teams_by_name ON teams (sort_name, id);
CREATE INDEX teams_by_created_at ON teams (created_at, id);
CREATE INDEX teams_by_updated_at ON teams (updated_at, id);
