-- Deliveries and attempts refer to their rows by no foreign key any more: see ../postgres, where each was dear. What they
-- guarded is guarded otherwise. SQLite drops a foreign key only with its table. Attempts come first, for then nothing
-- refers to deliveries any more.

CREATE TABLE new_attempts (
    delivery_id   TEXT NOT NULL,
    number        INTEGER NOT NULL CHECK (number >= 1),
    started_at    INTEGER NOT NULL,
    duration_us   INTEGER NOT NULL CHECK (duration_us >= 0),
    status_code   INTEGER,
    error_class   TEXT,
    error         TEXT,
    response_body TEXT,
    PRIMARY KEY (delivery_id, number)
) STRICT, WITHOUT ROWID;
INSERT INTO new_attempts (delivery_id, number, started_at, duration_us, status_code, error_class, error, response_body)
SELECT delivery_id, number, started_at, duration_us, status_code, error_class, error, response_body FROM attempts;
DROP TABLE attempts;
ALTER TABLE new_attempts RENAME TO attempts;

CREATE TABLE new_deliveries (
    id            TEXT NOT NULL PRIMARY KEY,
    event_id      TEXT NOT NULL,
    endpoint_id   TEXT NOT NULL,
    experiment_id INTEGER NOT NULL,
    revision      INTEGER NOT NULL,
    state         TEXT NOT NULL CHECK (state IN ('pending', 'delivered', 'exhausted', 'cancelled')),
    reason        TEXT,
    attempt_count INTEGER NOT NULL CHECK (attempt_count >= 0),
    due_at        INTEGER NOT NULL,
    created_at    INTEGER NOT NULL,
    ended_at      INTEGER,
    origin        TEXT NOT NULL DEFAULT 'change' CHECK (origin IN ('change', 'resend', 'replay')),
    is_behind     INTEGER NOT NULL DEFAULT 0 CHECK (is_behind IN (0, 1)),
    failure_count INTEGER NOT NULL DEFAULT 0 CHECK (failure_count >= 0),
    CHECK ((state = 'pending') = (ended_at IS NULL))
) STRICT, WITHOUT ROWID;
INSERT INTO new_deliveries (id, event_id, endpoint_id, experiment_id, revision, state, reason, attempt_count, due_at,
    created_at, ended_at, origin, is_behind, failure_count)
SELECT id, event_id, endpoint_id, experiment_id, revision, state, reason, attempt_count, due_at,
    created_at, ended_at, origin, is_behind, failure_count FROM deliveries;
DROP TABLE deliveries;
ALTER TABLE new_deliveries RENAME TO deliveries;
CREATE INDEX deliveries_endpoint ON deliveries (endpoint_id, id);
CREATE INDEX deliveries_event ON deliveries (event_id, endpoint_id);
CREATE INDEX deliveries_pending ON deliveries (endpoint_id, is_behind, experiment_id, revision, id) WHERE state = 'pending';
CREATE INDEX deliveries_failed ON deliveries (endpoint_id, due_at) WHERE state = 'pending' AND failure_count > 0;
CREATE INDEX deliveries_exhausted ON deliveries (endpoint_id, experiment_id, revision, id) WHERE state = 'exhausted';
