-- Lanes and their owners, health of endpoints, recovery by hand, operational events.

-- An event is of an experiment's change or, with experiment_id 0, of an endpoint's health: so `changes` can be referred to
-- no longer.
ALTER TABLE events DROP CONSTRAINT events_experiment_id_revision_fkey;

ALTER TABLE endpoints ADD COLUMN headers BYTEA;
ALTER TABLE endpoints ADD COLUMN signing BYTEA;

CREATE TABLE endpoint_changes (
    id          TEXT NOT NULL PRIMARY KEY,
    endpoint_id TEXT NOT NULL REFERENCES endpoints (id),
    action      TEXT NOT NULL,
    actor       TEXT NOT NULL,
    occurred_at BIGINT NOT NULL,
    changes     TEXT NOT NULL,
    reason      TEXT NOT NULL
);
CREATE INDEX endpoint_changes_endpoint ON endpoint_changes (endpoint_id, id);

-- Who sends to an endpoint, and how it fares. probe_at is set while the breaker is open.
CREATE TABLE lanes (
    endpoint_id   TEXT NOT NULL PRIMARY KEY REFERENCES endpoints (id),
    node_id       TEXT,
    fence         BIGINT NOT NULL CHECK (fence >= 0),
    revised       BIGINT NOT NULL,
    failure_count BIGINT NOT NULL CHECK (failure_count >= 0),
    failing_since BIGINT,
    failed_with   TEXT,
    probe_at      BIGINT,
    paused_until  BIGINT,
    CHECK ((failure_count = 0) = (failing_since IS NULL))
);
INSERT INTO lanes (endpoint_id, fence, revised, failure_count) SELECT id, 0, 0, 0 FROM endpoints;

CREATE TABLE nodes (
    id         TEXT NOT NULL PRIMARY KEY,
    heartbeat  BIGINT NOT NULL,
    started_at BIGINT NOT NULL
);

ALTER TABLE runs ADD COLUMN node_id TEXT;
ALTER TABLE runs ADD COLUMN is_to_stop BIGINT NOT NULL DEFAULT 0 CHECK (is_to_stop IN (0, 1));
CREATE INDEX runs_running ON runs (id) WHERE state = 'running';

-- failure_count is what the retry schedule counts: attempts that failed while the breaker was closed.
ALTER TABLE deliveries ADD COLUMN origin TEXT NOT NULL DEFAULT 'change' CHECK (origin IN ('change', 'resend', 'replay'));
ALTER TABLE deliveries ADD COLUMN is_behind BIGINT NOT NULL DEFAULT 0 CHECK (is_behind IN (0, 1));
ALTER TABLE deliveries ADD COLUMN failure_count BIGINT NOT NULL DEFAULT 0 CHECK (failure_count >= 0);
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
    since         BIGINT NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('running', 'done', 'stopped')),
    experiment_id BIGINT NOT NULL,
    revision      BIGINT NOT NULL,
    examined      BIGINT NOT NULL CHECK (examined >= 0),
    moved         BIGINT NOT NULL CHECK (moved >= 0 AND moved <= examined),
    actor         TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    ended_at      BIGINT,
    CHECK ((state = 'running') = (ended_at IS NULL))
);
CREATE INDEX recoveries_endpoint ON recoveries (endpoint_id, id);
CREATE UNIQUE INDEX recoveries_running ON recoveries (endpoint_id) WHERE state = 'running';
