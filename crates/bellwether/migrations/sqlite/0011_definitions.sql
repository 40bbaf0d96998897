-- Who changed a definition, and how. Of those that were deleted, too.
CREATE TABLE definition_changes (
    definition_id TEXT NOT NULL,
    version       INTEGER NOT NULL,
    action        TEXT NOT NULL,
    actor         TEXT NOT NULL,
    occurred_at   INTEGER NOT NULL,
    changes       TEXT NOT NULL,
    reason        TEXT NOT NULL,
    PRIMARY KEY (definition_id, version)
) STRICT, WITHOUT ROWID;

-- Every definition has a number too, among those of its kind, and keeps it.
ALTER TABLE entities ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE warehouses ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE schedules ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE assignment_sources ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE fact_sources ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE metrics ADD COLUMN number INTEGER NOT NULL DEFAULT 0;
ALTER TABLE collections ADD COLUMN number INTEGER NOT NULL DEFAULT 0;

UPDATE entities SET number = (SELECT COUNT(*) FROM entities earlier WHERE earlier.id <= entities.id);
UPDATE warehouses SET number = (SELECT COUNT(*) FROM warehouses earlier WHERE earlier.id <= warehouses.id);
UPDATE schedules SET number = (SELECT COUNT(*) FROM schedules earlier WHERE earlier.id <= schedules.id);
UPDATE assignment_sources SET number = (SELECT COUNT(*) FROM assignment_sources earlier WHERE earlier.id <= assignment_sources.id);
UPDATE fact_sources SET number = (SELECT COUNT(*) FROM fact_sources earlier WHERE earlier.id <= fact_sources.id);
UPDATE metrics SET number = (SELECT COUNT(*) FROM metrics earlier WHERE earlier.id <= metrics.id);
UPDATE collections SET number = (SELECT COUNT(*) FROM collections earlier WHERE earlier.id <= collections.id);

INSERT INTO settings (name, value) SELECT 'numbers_of_entities', CAST(COUNT(*) AS TEXT) FROM entities HAVING COUNT(*) > 0;
INSERT INTO settings (name, value) SELECT 'numbers_of_warehouses', CAST(COUNT(*) AS TEXT) FROM warehouses HAVING COUNT(*) > 0;
INSERT INTO settings (name, value) SELECT 'numbers_of_schedules', CAST(COUNT(*) AS TEXT) FROM schedules HAVING COUNT(*) > 0;
INSERT INTO settings (name, value) SELECT 'numbers_of_assignment_sources', CAST(COUNT(*) AS TEXT) FROM assignment_sources HAVING COUNT(*) > 0;
INSERT INTO settings (name, value) SELECT 'numbers_of_fact_sources', CAST(COUNT(*) AS TEXT) FROM fact_sources HAVING COUNT(*) > 0;
INSERT INTO settings (name, value) SELECT 'numbers_of_metrics', CAST(COUNT(*) AS TEXT) FROM metrics HAVING COUNT(*) > 0;
INSERT INTO settings (name, value) SELECT 'numbers_of_collections', CAST(COUNT(*) AS TEXT) FROM collections HAVING COUNT(*) > 0;

-- What was deleted keeps no definition from being deleted.
UPDATE experiments SET entity_id = NULL, assignment_source_id = NULL, schedule_id = NULL, entry_fact_source_id = NULL
    WHERE deleted_at IS NOT NULL;
