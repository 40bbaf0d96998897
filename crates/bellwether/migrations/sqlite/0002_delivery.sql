-- Lanes and their owners, health of endpoints, recovery by hand, operational events.

-- An event is of an experiment's change or, with experiment_id 0, of an endpoint's health: so `changes` can be referred to
-- no longer. SQLite drops a foreign key only with its table; the rows come back before the commit checks the others.
PRAGMA defer_foreign_keys = ON;
CREATE TABLE kept_events AS SELECT * FROM events;
CREATE TEMP TABLE kept_sequence AS SELECT seq FROM sqlite_sequence WHERE name = 'events';
DROP TABLE events;
CREATE TABLE events (
    sequence      INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    experiment_id INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    type          TEXT NOT NULL,
    occurred_at   INTEGER NOT NULL,
    data          TEXT NOT NULL,
    detailed      TEXT NOT NULL,
    UNIQUE (experiment_id, revision)
) STRICT;
INSERT INTO events SELECT sequence, id, experiment_id, revision, type, occurred_at, data, detailed FROM kept_events;
-- The newest may have been pruned; nobody's cursor may meet their numbers again.
DELETE FROM sqlite_sequence WHERE name = 'events';
INSERT INTO sqlite_sequence (name, seq) SELECT 'events', seq FROM temp.kept_sequence;
DROP TABLE kept_events;
DROP TABLE temp.kept_sequence;

ALTER TABLE endpoints ADD COLUMN headers BLOB;
ALTER TABLE endpoints ADD COLUMN signing BLOB;

CREATE TABLE endpoint_changes (
    id          TEXT NOT NULL PRIMARY KEY,
    endpoint_id TEXT NOT NULL REFERENCES endpoints (id),
    action      TEXT NOT NULL,
    actor       TEXT NOT NULL,
    occurred_at INTEGER NOT NULL,
    changes     TEXT NOT NULL,
    reason      TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX endpoint_changes_endpoint ON endpoint_changes (endpoint_id, id);

-- Who sends to an endpoint, and how it fares. probe_at is set while the breaker is open.
CREATE TABLE lanes (
    endpoint_id   TEXT NOT NULL PRIMARY KEY REFERENCES endpoints (id),
    node_id       TEXT,
    fence         INTEGER NOT NULL CHECK (fence >= 0),
    revised       INTEGER NOT NULL,
    failure_count INTEGER NOT NULL CHECK (failure_count >= 0),
    failing_since INTEGER,
    failed_with   TEXT,
    probe_at      INTEGER,
    paused_until  INTEGER,
    CHECK ((failure_count = 0) = (failing_since IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO lanes (endpoint_id, fence, revised, failure_count) SELECT id, 0, 0, 0 FROM endpoints;

CREATE TABLE nodes (
    id         TEXT NOT NULL PRIMARY KEY,
    heartbeat  INTEGER NOT NULL,
    started_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

ALTER TABLE runs ADD COLUMN node_id TEXT;
ALTER TABLE runs ADD COLUMN is_to_stop INTEGER NOT NULL DEFAULT 0 CHECK (is_to_stop IN (0, 1));
CREATE INDEX runs_running ON runs (id) WHERE state = 'running';

-- failure_count is what the retry schedule counts: attempts that failed while the breaker was closed.
ALTER TABLE deliveries ADD COLUMN origin TEXT NOT NULL DEFAULT 'change' CHECK (origin IN ('change', 'resend', 'replay'));
ALTER TABLE deliveries ADD COLUMN is_behind INTEGER NOT NULL DEFAULT 0 CHECK (is_behind IN (0, 1));
ALTER TABLE deliveries ADD COLUMN failure_count INTEGER NOT NULL DEFAULT 0 CHECK (failure_count >= 0);
UPDATE deliveries SET failure_count = attempt_count WHERE state = 'pending';
DROP INDEX deliveries_event;
CREATE INDEX deliveries_event ON deliveries (event_id, endpoint_id);
DROP INDEX deliveries_pending;
CREATE INDEX deliveries_pending ON deliveries (endpoint_id, is_behind, experiment_id, revision, id) WHERE state = 'pending';
CREATE INDEX deliveries_failed ON deliveries (endpoint_id, due_at) WHERE state = 'pending' AND failure_count > 0;
CREATE INDEX deliveries_exhausted ON deliveries (endpoint_id, experiment_id, revision, id) WHERE state = 'exhausted';

CREATE TABLE recoveries (
    id            TEXT NOT NULL PRIMARY KEY,
    endpoint_id   TEXT NOT NULL REFERENCES endpoints (id),
    kind          TEXT NOT NULL CHECK (kind IN ('recover', 'replay')),
    since         INTEGER NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('running', 'done', 'stopped')),
    experiment_id INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    examined      INTEGER NOT NULL CHECK (examined >= 0),
    moved         INTEGER NOT NULL CHECK (moved >= 0 AND moved <= examined),
    actor         TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    CHECK ((state = 'running') = (ended_at IS NULL))
) STRICT, WITHOUT ROWID;
CREATE INDEX recoveries_endpoint ON recoveries (endpoint_id, id);
CREATE UNIQUE INDEX recoveries_running ON recoveries (endpoint_id) WHERE state = 'running';
