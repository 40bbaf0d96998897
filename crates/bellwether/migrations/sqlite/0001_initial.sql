-- Times are microseconds of UTC. JSON and identifiers are text. Ciphertexts are blobs (see src/secret.rs).
-- The same schema stands in ../postgres; a test compares the two.

CREATE TABLE settings (
    name  TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    id           TEXT NOT NULL PRIMARY KEY,
    name         TEXT NOT NULL,
    role         TEXT NOT NULL CHECK (role IN ('read', 'write', 'admin')),
    hash         BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT, WITHOUT ROWID;

CREATE TABLE entities (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    body       TEXT NOT NULL,
    version    INTEGER NOT NULL CHECK (version >= 1),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE warehouses (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    body       TEXT NOT NULL,
    version    INTEGER NOT NULL CHECK (version >= 1),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE schedules (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    body       TEXT NOT NULL,
    version    INTEGER NOT NULL CHECK (version >= 1),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE assignment_sources (
    id           TEXT NOT NULL PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    body         TEXT NOT NULL,
    version      INTEGER NOT NULL CHECK (version >= 1),
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    warehouse_id TEXT NOT NULL REFERENCES warehouses (id),
    entity_id    TEXT NOT NULL REFERENCES entities (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE fact_sources (
    id           TEXT NOT NULL PRIMARY KEY,
    name         TEXT NOT NULL UNIQUE,
    body         TEXT NOT NULL,
    version      INTEGER NOT NULL CHECK (version >= 1),
    created_at   INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL,
    warehouse_id TEXT NOT NULL REFERENCES warehouses (id)
) STRICT, WITHOUT ROWID;

-- Which source a fact stands in, so that a metric's fact is found and cannot be removed under it.
CREATE TABLE facts (
    id             TEXT NOT NULL PRIMARY KEY,
    fact_source_id TEXT NOT NULL REFERENCES fact_sources (id),
    name           TEXT NOT NULL,
    UNIQUE (fact_source_id, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE metrics (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    body       TEXT NOT NULL,
    version    INTEGER NOT NULL CHECK (version >= 1),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    entity_id  TEXT NOT NULL REFERENCES entities (id),
    fact_id    TEXT NOT NULL REFERENCES facts (id)
) STRICT, WITHOUT ROWID;

CREATE TABLE collections (
    id         TEXT NOT NULL PRIMARY KEY,
    name       TEXT NOT NULL UNIQUE,
    body       TEXT NOT NULL,
    version    INTEGER NOT NULL CHECK (version >= 1),
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE collection_metrics (
    collection_id TEXT NOT NULL REFERENCES collections (id) ON DELETE CASCADE,
    metric_id     TEXT NOT NULL REFERENCES metrics (id),
    PRIMARY KEY (collection_id, metric_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE experiments (
    id                   INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id > 0 AND id < 9007199254740992),
    key                  TEXT NOT NULL,
    status               TEXT NOT NULL CHECK (status IN ('draft', 'running', 'ready_for_review', 'wrap_up', 'concluded')),
    configuration        TEXT NOT NULL,
    decision             TEXT,
    revision             INTEGER NOT NULL CHECK (revision >= 1),
    version              INTEGER NOT NULL CHECK (version >= 1 AND version <= revision),
    is_traffic_imbalance INTEGER NOT NULL CHECK (is_traffic_imbalance IN (0, 1)),
    results_run_id       TEXT,
    results_updated_at   INTEGER,
    next_run_at          INTEGER,
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL,
    deleted_at           INTEGER,
    entity_id            TEXT REFERENCES entities (id),
    assignment_source_id TEXT REFERENCES assignment_sources (id),
    schedule_id          TEXT REFERENCES schedules (id),
    CHECK ((status = 'concluded') = (decision IS NOT NULL))
) STRICT;

-- A deleted experiment leaves its history, and frees its key.
CREATE UNIQUE INDEX experiments_key ON experiments (key) WHERE deleted_at IS NULL;
CREATE INDEX experiments_next_run ON experiments (next_run_at) WHERE next_run_at IS NOT NULL;

CREATE TABLE experiment_groups (
    id            TEXT NOT NULL PRIMARY KEY,
    experiment_id INTEGER NOT NULL REFERENCES experiments (id),
    collection_id TEXT NOT NULL,
    name          TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE INDEX experiment_groups_experiment ON experiment_groups (experiment_id);

-- group_id is '' for a metric that is attached alone.
CREATE TABLE experiment_metrics (
    experiment_id INTEGER NOT NULL REFERENCES experiments (id),
    group_id      TEXT NOT NULL,
    metric_id     TEXT NOT NULL REFERENCES metrics (id),
    position      INTEGER NOT NULL,
    is_primary    INTEGER NOT NULL CHECK (is_primary IN (0, 1)),
    PRIMARY KEY (experiment_id, group_id, metric_id)
) STRICT, WITHOUT ROWID;

CREATE UNIQUE INDEX experiment_metrics_primary ON experiment_metrics (experiment_id) WHERE is_primary = 1;

CREATE TABLE changes (
    experiment_id INTEGER NOT NULL REFERENCES experiments (id),
    revision      INTEGER NOT NULL CHECK (revision >= 1),
    action        TEXT NOT NULL,
    actor         TEXT NOT NULL,
    occurred_at   INTEGER NOT NULL,
    changes       TEXT NOT NULL,
    reason        TEXT NOT NULL,
    PRIMARY KEY (experiment_id, revision)
) STRICT, WITHOUT ROWID;

-- sequence is the log's order. PostgreSQL gives it after the commit, SQLite in it.
CREATE TABLE events (
    sequence      INTEGER PRIMARY KEY AUTOINCREMENT,
    id            TEXT NOT NULL UNIQUE,
    experiment_id INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    type          TEXT NOT NULL,
    occurred_at   INTEGER NOT NULL,
    data          TEXT NOT NULL,
    detailed      TEXT NOT NULL,
    UNIQUE (experiment_id, revision),
    FOREIGN KEY (experiment_id, revision) REFERENCES changes (experiment_id, revision)
) STRICT;

CREATE TABLE endpoints (
    id              TEXT NOT NULL PRIMARY KEY,
    description     TEXT NOT NULL,
    url             BLOB NOT NULL,
    secret          BLOB NOT NULL,
    settings        TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('enabled', 'disabled', 'deleted')),
    disabled_reason TEXT,
    version         INTEGER NOT NULL CHECK (version >= 1),
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE deliveries (
    id            TEXT NOT NULL PRIMARY KEY,
    event_id      TEXT NOT NULL REFERENCES events (id),
    endpoint_id   TEXT NOT NULL REFERENCES endpoints (id),
    experiment_id INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'exhausted', 'cancelled')),
    reason        TEXT,
    attempt_count INTEGER NOT NULL CHECK (attempt_count >= 0),
    due_at        INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    CHECK ((state = 'pending') = (ended_at IS NULL))
) STRICT, WITHOUT ROWID;

CREATE INDEX deliveries_pending ON deliveries (endpoint_id, experiment_id, revision) WHERE state = 'pending';
CREATE INDEX deliveries_event ON deliveries (event_id);
CREATE INDEX deliveries_endpoint ON deliveries (endpoint_id, id);

CREATE TABLE attempts (
    delivery_id   TEXT NOT NULL REFERENCES deliveries (id),
    number        INTEGER NOT NULL CHECK (number >= 1),
    started_at    INTEGER NOT NULL,
    duration_us   INTEGER NOT NULL CHECK (duration_us >= 0),
    status_code   INTEGER,
    error_class   TEXT,
    error         TEXT,
    response_body TEXT,
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE runs (
    id                   TEXT NOT NULL PRIMARY KEY,
    experiment_id        INTEGER NOT NULL REFERENCES experiments (id),
    mode                 TEXT NOT NULL CHECK (mode IN ('full', 'incremental')),
    is_manual            INTEGER NOT NULL CHECK (is_manual IN (0, 1)),
    state                TEXT NOT NULL CHECK (state IN ('queued', 'running', 'success', 'failure', 'cancelled')),
    actor                TEXT NOT NULL,
    window_start         INTEGER NOT NULL,
    window_end           INTEGER NOT NULL,
    created_at           INTEGER NOT NULL,
    started_at           INTEGER,
    ended_at             INTEGER,
    error                TEXT,
    is_data_updated      INTEGER NOT NULL CHECK (is_data_updated IN (0, 1)),
    is_traffic_imbalance INTEGER NOT NULL CHECK (is_traffic_imbalance IN (0, 1)),
    imbalance_p_value    REAL,
    CHECK (window_start <= window_end),
    CHECK ((state IN ('queued', 'running')) = (ended_at IS NULL)),
    CHECK (state IN ('queued', 'cancelled') OR started_at IS NOT NULL)
) STRICT, WITHOUT ROWID;

CREATE INDEX runs_experiment ON runs (experiment_id, id);
CREATE UNIQUE INDEX runs_open ON runs (experiment_id) WHERE state IN ('queued', 'running');

CREATE TABLE run_steps (
    run_id      TEXT NOT NULL REFERENCES runs (id),
    position    INTEGER NOT NULL,
    name        TEXT NOT NULL,
    sql         TEXT NOT NULL,
    row_count   INTEGER,
    duration_us INTEGER,
    error       TEXT,
    PRIMARY KEY (run_id, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE results (
    run_id        TEXT NOT NULL PRIMARY KEY REFERENCES runs (id),
    experiment_id INTEGER NOT NULL REFERENCES experiments (id),
    body          TEXT NOT NULL
) STRICT, WITHOUT ROWID;
